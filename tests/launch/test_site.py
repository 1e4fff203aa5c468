"""How lastbit gets into a Python program: after torch was imported, and without a trace where it is not.

A stand-in for torch, and one for lastbit, make these quick: what happens inside is tested with the real ones.
"""

import json
import os
import resource
import subprocess
import venv
from pathlib import Path

import pytest

from lastbit.launch.process import SITE

TORCH = "print('torch', flush=True)\n"
LASTBIT = """
import sys
def begin(settings):
    import torch
    open(settings["folder"] + "/begun", "a").write(" ".join([str(hasattr(torch, "late")), *sys.argv[:1]]) + "\\n")
"""
PROGRAM = "import torch\nprint('program')\n"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python in which nothing is installed, so that the stand-ins are found."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    return str(folder / "bin" / "python")


@pytest.fixture
def desk(tmp_path):
    """A folder with a program, a torch beside it, a lastbit elsewhere, and a folder for records."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(TORCH + "from torch.part import late\n")
    (tmp_path / "torch" / "part.py").write_text("late = 1\n")
    (tmp_path / "source" / "lastbit" / "launch").mkdir(parents=True)
    (tmp_path / "source" / "lastbit" / "launch" / "inside.py").write_text(LASTBIT)
    (tmp_path / "records").mkdir()
    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    (tmp_path / "pkg" / "__main__.py").write_text(PROGRAM)
    return tmp_path


def launched(desk, *words, env=None, path=(), **told):
    settings = {"folder": str(desk / "records"), "source": str(desk / "source"), "reseed": None} | told
    places = [str(SITE), *map(str, path)]
    added = {"PYTHONPATH": os.pathsep.join(places), "LASTBIT_LAUNCH": json.dumps(settings)}
    return subprocess.run(
        words, cwd=desk, env=os.environ | added | (env or {}), capture_output=True, text=True, timeout=60, check=False
    )


def begun(desk):
    file = desk / "records" / "begun"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["train.py"], {}),
        (["-m", "pkg"], {}),
        (["-P", "train.py"], {"PYTHONPATH": "TORCH"}),
        (["train.py"], {"PYTHONSAFEPATH": "1", "PYTHONPATH": "TORCH"}),
        (["-Wd", "-X", "utf8", "-c", "import torch\nprint('program')"], {}),
    ],
    ids=["script", "module", "-P", "PYTHONSAFEPATH", "options"],
)
def test_it_begins_once_torch_is_there(desk, python, words, env):
    if "PYTHONPATH" in env:  # torch is not found beside the script then
        env = env | {"PYTHONPATH": f"{SITE}{os.pathsep}{desk}"}
    run = launched(desk, python, *words, env=env)
    assert (run.returncode, run.stdout, run.stderr) == (0, "torch\nprogram\n", "")
    [(_, program)] = [line.split() for line in begun(desk)]
    assert Path(program).name in ("train.py", "__main__.py", "-c")
    assert begun(desk) == [f"True {program}"]


@pytest.mark.parametrize("first", ["#!{python}", "#!/bin/sh\nexec {python} train.py\n#"], ids=["console", "shell"])
def test_a_script_of_its_own_is_reached(desk, python, first):
    script = desk / "script"
    script.write_text(first.format(python=python) + "\n" + PROGRAM)
    script.chmod(0o755)
    run = launched(desk, "./script")
    assert (run.stdout, run.stderr, len(begun(desk))) == ("torch\nprogram\n", "", 1)


@pytest.mark.parametrize("option", ["-E", "-I", "-S"])
def test_some_options_keep_it_out(desk, python, option):
    launched(desk, python, option, "-c", "import sys; sys.path.insert(0, '.'); import torch")
    assert not list((desk / "records").iterdir())


def test_without_torch_it_only_says_that_it_was_there(desk, python):
    run = launched(desk, python, "-c", "import sys; print([m for m in sys.modules if 'numpy' in m], sys.path)")
    assert str(SITE) not in run.stdout
    assert run.stdout.startswith("[]")
    assert [file.name for file in (desk / "records").iterdir()] == ["python"]


def test_the_users_own_sitecustomize_runs_as_if_there_were_no_other(desk, python):
    own = desk / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys\nprint('own', __name__, __file__)\nsys.own = 1\n")
    script = "import sitecustomize, sys; print(sitecustomize.__file__, sys.own); import torch"
    run = launched(desk, python, "-c", script, path=[own])
    file = own / "sitecustomize.py"
    assert run.stdout == f"own sitecustomize {file}\n{file} 1\ntorch\n"
    assert begun(desk)


def test_an_error_in_the_users_own_sitecustomize_is_told_as_ever(desk, python):
    own = desk / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("raise ValueError('mine')")
    run = launched(desk, python, "-c", "import torch", path=[own])
    plain = launched(desk, python, "-c", "import torch", env={"PYTHONPATH": str(own)})
    assert "ValueError: mine" in run.stderr
    assert (run.returncode, run.stdout, run.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert begun(desk)


@pytest.mark.parametrize(
    ("inside", "said"),
    [(None, "No module named"), ("def begin(settings): raise ValueError('a\\nb')", "ValueError: a b")],
)
def test_what_goes_wrong_inside_never_reaches_the_program(desk, python, inside, said):
    file = desk / "source" / "lastbit" / "launch" / "inside.py"
    if inside is None:
        file.unlink()
    else:
        file.write_text(inside)
    run = launched(desk, python, "-W", "error", "train.py")
    assert (run.returncode, run.stdout, run.stderr) == (0, "torch\nprogram\n", "")
    [trouble] = (desk / "records").glob("trouble-*.txt")
    assert said in trouble.read_text()
    assert trouble.read_text().count("\n") == 1


def test_a_folder_that_is_gone_does_no_harm(desk, python):
    run = launched(desk, python, "train.py", folder=str(desk / "gone"))
    assert (run.returncode, run.stdout, run.stderr) == (0, "torch\nprogram\n", "")


def test_a_torch_that_fails_is_the_programs_affair_and_may_be_tried_again(desk, python):
    (desk / "torch" / "part.py").write_text("import os\nlate = os.environ.pop('FAIL')\nraise OSError('no driver')")
    script = (
        "try:\n import torch\nexcept OSError as error: print(error)\n"
        "open('torch/part.py', 'w').write('late = 1')\nimport torch"
    )
    run = launched(desk, python, "-B", "-c", script, env={"FAIL": "1"})
    assert run.stdout == "torch\nno driver\ntorch\n"
    assert begun(desk) == ["True -c"]


def test_the_users_modules_come_before_lastbits(desk, python):
    (desk / "source" / "helper.py").write_text("print('lastbit')")
    (desk / "helper.py").write_text("print('user')")
    assert launched(desk, python, "-c", "import torch, helper").stdout == "torch\nuser\n"


def test_children_are_reached_as_well(desk, python):
    script = "import subprocess, sys; subprocess.run([sys.executable, 'train.py'])"
    launched(desk, python, "-c", script)
    assert begun(desk) == ["True train.py"]


def test_imported_otherwise_it_does_nothing(desk, python):
    for file in (SITE / "sitecustomize.py", SITE / "reseeding.py"):
        run = launched(desk, python, str(file), env={"PYTHONPATH": ""})
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert not list((desk / "records").iterdir())


@pytest.mark.slow
def test_the_start_costs_little(desk, python):
    """Medians of starts in turn, in seconds of the processor, which a loaded machine leaves as they are."""
    plain, reached = [], []
    for _ in range(9):
        for times, path in ((plain, ""), (reached, str(SITE))):
            began = resource.getrusage(resource.RUSAGE_CHILDREN)
            launched(desk, python, "-c", "pass", env={"PYTHONPATH": path}, reseed=1)
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
    assert sorted(reached)[4] - sorted(plain)[4] < 0.15


def test_it_is_a_file_of_the_package():
    assert {file.name for file in Path(SITE).glob("*.py")} == {
        "addresses.py",
        "changes.py",
        "digests.py",
        "handed.py",
        "lines.py",
        "loaders.py",
        "rearranged.py",
        "reseeding.py",
        "sitecustomize.py",
        "taps.py",
    }
