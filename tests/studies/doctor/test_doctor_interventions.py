"""Every change by which a cause is put to the test, on a program with that defect, from the command line to the end."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from lastbit.cli.app import main
from lastbit.launch.pair.run import run_pair
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.studies.doctor.interventions import ADDRESSES

DEFECTS = Path(__file__).parent / "defects"

RANKS = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

CHANGED = {
    "a clock": ("clock_rate", [], "clock", "fix-clock"),
    "a process": ("process_seed", [], "seed-process", "fix-process"),
    "a folder": ("listed_folder", [], "folder-order", "sort-folders"),
    "workers": ("unordered_loader", [], "worker-order", "no-workers"),
    "processes of two ranks": ("ranked_process", RANKS, "process-id", "fix-process"),
}


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(("name", "words", "cause", "change"), CHANGED.values(), ids=CHANGED)
def test_the_change_cures(name, words, cause, change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = shutil.copy(DEFECTS / f"{name}.py", tmp_path)
    # One pair each way, in which the difference does not hang on chance; how many confirm a cure is arithmetic.
    options = ["--runs", "1", "--progress", "none", "--json", "answer.json"]
    code = main(["doctor", *options, "--", sys.executable, *words, script])
    answer = json.loads(Path("answer.json").read_text())
    confirmation = answer["confirmation"]
    assert (code, answer["finding"]["cause"], confirmation["intervention"]) == (3, cause, change)
    assert (confirmation["differing_before"], confirmation["differing_after"]) == (1, 0)
    assert not confirmation["failed"]


FAILS = """
import os
import torch

torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
number = os.getpid()
os.kill(number, 0)
for step in range(3):
    loss = model(torch.randn(8, 4) * (1 + number % 997)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.slow
def test_a_change_under_which_the_program_fails_confirms_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("fails.py").write_text(FAILS)
    options = ["--runs", "1", "--progress", "none", "--json", "answer.json"]
    assert main(["doctor", *options, "--", sys.executable, "fails.py"]) == 3
    answer = json.loads(Path("answer.json").read_text())
    assert (answer["finding"]["cause"], answer["confirmation"]["failed"]) == ("process-id", True)
    assert (answer["confirmation"]["differing_after"], answer["confirmation"]["confirmed"]) == (0, False)
    assert "Cure confirmed: not decided: with the change" in " ".join(capsys.readouterr().out.split())


OBJECTS = """
import torch

torch.manual_seed(0)
layers = [torch.nn.Linear(4, 4) for _ in range(8)]
for layer in set(layers):
    torch.nn.init.normal_(layer.weight)
model = torch.nn.Sequential(*layers)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(3):
    loss = model(torch.ones(2, 4)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


# Whether addresses end alike in two runs hangs on all that was imported before.
@pytest.mark.slow
@pytest.mark.usefixtures("whole_torch")
def test_modules_in_a_set_take_no_hash_seed_for_an_order_and_numbers_for_one(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    (tmp_path / "objects.py").write_text(OBJECTS)
    settings, differ = LaunchSettings(deterministic=False), {}
    for name, changes in {"plain": {}, "numbered": ADDRESSES.changes}.items():
        launch = Launch(settings=settings, folder=tmp_path / name, cwd=tmp_path, timeout=180)
        pair = run_pair([sys.executable, "objects.py"], launch, changes=changes)
        differ[name] = bool(pair.differences), pair.identical
    assert differ == {"plain": (True, False), "numbered": (False, True)}
