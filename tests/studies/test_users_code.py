"""What a user's own code does wrong is an error of the run or of the task, in one line: never a defect or silence."""

import os
import subprocess
import sys

import pytest
from torch import nn

import lastbit
from lastbit.cli.app import main
from lastbit.core.errors import LastbitError

FILE = """
import os, sys, torch
from pathlib import Path
from torch import nn
from torch.nn import functional
from lastbit import Task
from lastbit import Metric

CALLS = []

def ends(where, at, begun):
    def call(value):
        if begun.exists():
            CALLS.append(where)
        if CALLS.count(where) >= at:
            sys.exit(0)
        return value
    return call

def make(where, at, begun=Path(__file__)):
    x, y = torch.linspace(-1, 1, 72).view(24, 3), torch.arange(24) % 2
    end = ends(where, at, begun)
    through = lambda name: end if name == where else lambda value: value
    return Task(name="toy", model=lambda: through("model")(nn.Linear(3, 2)), train=(x, y), test=(x, y),
                loss=lambda outputs, targets: through("loss")(functional.cross_entropy(outputs, targets)),
                metric=Metric(name="hits", per_example=lambda outputs, targets: through("metric")(outputs.mean(1))),
                optimizer=lambda p: torch.optim.SGD(p, lr=0.1), epochs=2, batch_size=8)

def model(): return make("model", 1)
def loss(): return make("loss", 1)
def metric(): return make("metric", 1)
def function(): sys.exit(0)
def late(): return make("loss", 3, Path(__file__).parent.with_name("study") / "runs.sqlite")
def set_labels():
    words = ["ash", "birch", "cedar", "date", "elm", "fir"]
    number = {word: i for i, word in enumerate(set(words))}
    x = torch.linspace(-1, 1, 72).view(24, 3)
    y = torch.tensor([number[words[i % 6]] for i in range(24)])
    return Task(name="toy", model=lambda: nn.Linear(3, 6), train=(x, y), test=(x, y),
                optimizer=lambda p: torch.optim.SGD(p, lr=0.1), epochs=2, batch_size=8)
def drawn_anew():
    x, y = torch.linspace(-1, 1, 72).view(24, 3), torch.arange(24) % 2
    def model():
        network = nn.Linear(3, 2)
        with torch.no_grad():
            network.weight.add_(int.from_bytes(os.urandom(4), "little") / 2**32)
        return network
    return Task(name="toy", model=model, train=(x, y), test=(x, y),
                optimizer=lambda p: torch.optim.SGD(p, lr=0.1), epochs=2, batch_size=8)
"""

SMALL = {
    "audit": ["--seeds", "1", "--perturbations", "2", "--workers", "1"],
    "trace": ["--twins", "1"],
    "eos": ["--twins", "1", "--every", "1"],
    "sharpness": ["--after", "5"],
}


@pytest.fixture
def file(user_files):
    return user_files({"mine.py": FILE})


def run(kind, task, tmp_path, capsys, *more):
    code = main([kind, "--task", task, *SMALL[kind], "--out", str(tmp_path / "study"), "--quiet", *more])
    said = capsys.readouterr()
    assert "defect" not in said.err
    return code, said.out + said.err


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("where", ["model", "loss", "function", "late"])
def test_a_task_that_ends_the_program_is_an_error_of_the_task(file, tmp_path, capsys, kind, where):
    code, said = run(kind, f"{file}:{where}", tmp_path, capsys)
    assert code == 2
    assert "SystemExit" in said
    assert len(said.splitlines()) == 1


def test_a_metric_that_ends_the_program_is_an_error_of_the_task(file, tmp_path, capsys):
    assert run("audit", f"{file}:metric", tmp_path, capsys)[0] == 2


def test_a_file_that_ends_the_program_is_an_error_of_the_task(file, tmp_path, capsys):
    file.write_text("import sys\nsys.exit(0)\n")
    code, said = run("audit", f"{file}:loss", tmp_path, capsys)
    assert code == 2
    assert "raised on import: SystemExit: 0 (line 2)" in said


@pytest.mark.parametrize("kind", SMALL)
def test_what_is_raised_late_is_the_runs_error(toy_task, tmp_path, kind):
    out, calls = tmp_path / "study", []

    def loss(outputs, targets):
        if (out / "runs.sqlite").exists():
            calls.append(1)
        if len(calls) > 2:
            raise ValueError("no such target")
        return nn.functional.cross_entropy(outputs, targets)

    task = toy_task(loss=loss, epochs=4)
    settings = {"audit": {"workers": 1}, "trace": {"twins": 1}, "eos": {"twins": 1}, "sharpness": {"after": 12}}[kind]
    with pytest.raises(LastbitError, match=r"run of toy crashed, tried 2 times each: ValueError: no such target$"):
        getattr(lastbit, kind)(task, out=out, quiet=True, **settings)
    if kind == "sharpness":
        with pytest.raises(LastbitError, match="crashed: ValueError: no such target"):
            lastbit.open_study(out)


@pytest.mark.parametrize("kind", SMALL)
def test_weights_drawn_anew_are_not_reproducible_in_any_kind(file, tmp_path, capsys, kind):
    code, said = run(kind, f"{file}:drawn_anew", tmp_path, capsys)
    assert code == 3
    assert "not reproducible here" in said.lower() or "did not match" in said


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["0", "7"])
def test_labels_that_follow_a_sets_order_are_an_error_whatever_the_hash_seed(file, tmp_path, hash_seed):
    words = ["audit", "--task", f"{file}:set_labels", *SMALL["audit"], "--out", str(tmp_path / "study"), "--quiet"]
    code = f"import sys; from lastbit.cli.app import main; sys.exit(main({words!r}))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "is not the same in every process" in found.stderr
    assert not (tmp_path / "study").exists()
