"""Lightning, the Trainer of transformers and accelerate train unmodified under an audit, and with lastbit's callbacks.

They are installed for these tests alone, into a virtual environment beside the packages that run the tests;
`LASTBIT_FRAMEWORKS=PYTHON` names a Python that has them already.
"""

import json
import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
import torch
from stand_ins import plain

from lastbit.cli.app import main
from lastbit.launch.command import run_command
from lastbit.launch.records import read_processes
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.perturb.rescale import Rescale

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"

FRAMEWORKS = {
    "Lightning": ([], "lightning_digits.py", "val_loss", {"AdamW": [57]}),
    "transformers": ([], "hugging_face.py", "eval_loss", {"AdamW": [45]}),
    "accelerate": (
        ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"],
        "with_accelerate.py",
        "test_loss",
        {"SGD": [72]},
    ),
}
"""What starts the program, its name, its metric, and the steps of every optimizer by class."""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment with the frameworks and the PyTorch of these tests."""
    if given := os.environ.get("LASTBIT_FRAMEWORKS"):
        return given
    folder = tmp_path_factory.mktemp("frameworks")
    venv.create(folder, symlinks=True, with_pip=True)
    found = folder / "bin" / "python"
    beside = folder / "beside"
    beside.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        # What is seen there is not installed again: no other build of PyTorch is fetched. The frameworks break on a
        # torchvision that does not load beside it, and need none.
        if (
            not entry.name.startswith(("torchvision", "pip", "setuptools", "__", "_distutils"))
            and entry.suffix != ".pth"
        ):
            (beside / entry.name).symlink_to(entry)
    site = subprocess.check_output([found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    (Path(site.strip()) / "beside.pth").write_text(f"{beside}\n")
    install = [found, "-m", "pip", "install", "-q", f"torch=={torch.__version__}", *["lightning", "transformers"]]
    done = subprocess.run([*install, "accelerate"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the frameworks cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return str(found)


@pytest.mark.evidence
@pytest.mark.parametrize("name", ["lightning", "huggingface"])
def test_the_callbacks_keep_their_promises_in_a_trainer(name, python, record_property):
    """What `tests/integrations` skips without the libraries, where they are."""
    environment = {name: value for name, value in os.environ.items() if name != "LASTBIT_EVIDENCE"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    words = [python, "-m", "pytest", "-m", "evidence", "-p", "no:cacheprovider", f"tests/integrations/test_{name}.py"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.findall(r"^(\d+) passed(?:, \d+ warnings?)? in", done.stdout, re.M)
    assert passed, done.stdout  # none was skipped
    record_property("measured", f"{passed[0]} tests passed")


@pytest.mark.evidence
@pytest.mark.parametrize(("start", "name", "metric", "steps"), FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_a_framework_is_audited_as_it_stands(
    start, name, metric, steps, python, tmp_path, monkeypatch, record_property
):
    words = [python, *start, str(PROGRAMS / name)]
    folders = {where: tmp_path / where for where in ("plain", "four", "audit")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.chdir(folders["plain"])
    bare = plain(words)
    assert bare.returncode == 0, bare.stderr.decode()

    monkeypatch.chdir(folders["audit"])
    options = ["--reseed", "--metric", metric, "--seeds", "2", "--perturbations", "2", "--quiet"]
    assert main(["audit", *options, "--out", "study", "--json", "result.json", "--", *words]) == 0
    result = json.loads(Path("result.json").read_text())
    record_property("measured", f"landed {result['perturbation']['landed_fraction']}, repeats equal 2 of 2")
    assert result["control"]["pairs_identical"] == 2
    assert result["perturbation"]["landed_fraction"] == 1
    metrics = {run["run"]: run["metrics"][metric] for run in result["runs"]}
    assert metrics["seed000-p000"] != metrics["seed001-p000"]

    base, three = (Path("study", "output", f"seed000-p00{twin}") for twin in (0, 1))
    assert (base / "stdout.txt").read_bytes() == bare.stdout
    optimizers = [one for process in read_processes(base / "records") for one in process.optimizers]
    assert {one.name: [other.steps for other in optimizers] for one in optimizers} == steps
    perturbed = {one.perturbed for process in read_processes(three / "records") for one in process.optimizers}
    assert perturbed == {"rescale"}

    settings = LaunchSettings(perturbation=Rescale(k=4))
    four = run_command(words, Launch(settings=settings, folder=tmp_path / "run", cwd=folders["four"]))
    assert (four.exit_code, four.stdout.read_bytes(), four.troubles) == (0, bare.stdout, ())
    assert [one.records[-1].checksum for one in four.optimizers] == [one.records[-1].checksum for one in optimizers]
    assert (folders["four"] / "model.pt").read_bytes() == (folders["plain"] / "model.pt").read_bytes()
