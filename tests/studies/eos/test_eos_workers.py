"""A sweep in worker processes: the same bits as one training after another, and nothing lost or left behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lastbit import eos
from lastbit.core.errors import LastbitError
from lastbit.store import StudyFolder

SWEEP = {"seeds": 2, "depth": 1, "steps": 9, "width": 4, "twins": 1, "train_size": 60}

TASK = '''
import os
import torch
from lastbit import Task
from lastbit.tasks.metric import MSE

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))


class Network(torch.nn.Linear):
    """Ends the worker process that trains it where its first initial weight is positive."""

    def __init__(self):
        super().__init__(4, 3)
        self.bad = float(self.weight.detach()[0, 0]) > 0

    def forward(self, x):
        if self.bad and os.getpid() != int(os.environ["CALLER"]):
            os.kill(os.getpid(), 9)
        return super().forward(x)


def deadly():
    return Task(
        name="deadly", model=Network, train=(X, X[:, :3]), test=(X, X[:, :3]), metric=MSE,
        loss=torch.nn.functional.mse_loss, optimizer=lambda p: torch.optim.SGD(p, lr=0.1), batch_size=40, epochs=9,
    )
'''


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The sweep, one training after another."""
    return eos("digits", out=tmp_path_factory.mktemp("serial") / "s", workers=1, quiet=True, **SWEEP)


@pytest.mark.slow
def test_processes_train_the_same_bits_as_one_after_another(serial, tmp_path, assert_same_arrays):
    study = eos("digits", out=tmp_path / "s", workers=2, quiet=True, **SWEEP)
    assert_same_arrays(serial.path, study.path, without=["seconds"])
    for before, after in zip(serial.result.cells, study.result.cells, strict=True):
        assert replace(before, seconds=0) == replace(after, seconds=0)
    with StudyFolder.read(study.path) as folder:
        assert folder.facts["execution"] == {"workers": 2, "threads": 1, "reason": "as asked"}


def test_every_seed_is_a_training_of_its_own(serial):
    cells = serial.result.cells
    assert [(cell.seed, cell.label) for cell in cells] == [(0, "seed 0"), (1, "seed 1")]
    assert cells[0].sharpness[0] != cells[1].sharpness[0]


def test_the_seed_of_a_cell_is_that_of_a_training_alone(serial, tmp_path):
    alone = eos("digits", out=tmp_path / "s", quiet=True, **{**SWEEP, "seeds": 1, "seed": 1})
    assert alone.result.sharpness == serial.result.cells[1].sharpness
    assert alone.result.growth == serial.result.cells[1].growth


@pytest.mark.slow
def test_a_process_that_dies_leaves_its_siblings_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CALLER", str(os.getpid()))
    (tmp_path / "tasks.py").write_text(TASK)
    study = eos(f"{tmp_path}/tasks.py:deadly", seeds=4, out=tmp_path / "s", workers=2, twins=0)
    finished = {cell.seed for cell in study.result.cells}
    assert 0 < len(finished) < 4
    told = capsys.readouterr().err
    given_up = [line for line in told.splitlines() if line.endswith("given up")]
    assert len(given_up) == 4 - len(finished)
    assert all("crashed (its process died (killed by signal 9" in line for line in given_up)
    # Those that are missing, and only they, are tried again: here in this process, where they are not killed.
    stamps = {path.name: path.stat().st_mtime_ns for path in (study.path / "arrays").glob("*.npz")}
    again = eos(resume=study.path, workers=1, quiet=True)
    assert {cell.seed for cell in again.result.cells} == {0, 1, 2, 3}
    assert {name: (study.path / "arrays" / name).stat().st_mtime_ns for name in stamps} == stamps


@pytest.mark.parametrize("workers", [0, -1, "2", 1.5, True])
def test_a_number_of_workers_below_one_is_refused(tmp_path, workers):
    with pytest.raises(LastbitError, match=f"--workers = {workers!r}: give a whole number of processes"):
        eos("digits", out=tmp_path / "s", workers=workers, quiet=True)
    assert not (tmp_path / "s").exists()


SCRIPT = """
import sys
from lastbit import eos
eos("digits", seeds=2, depth=1, steps=9, width=4, twins=1, train_size=60, out=sys.argv[1], workers=2, quiet=True)
"""


def children_of(parent):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if any("lastbit.train.executors.child" in word for word in words) and str(parent) in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_a_killed_sweep_goes_on_to_the_same_bits_and_leaves_no_process(serial, tmp_path, assert_same_arrays):
    out = tmp_path / "s"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)])
    deadline = time.monotonic() + 120
    try:
        while not list((out / "arrays").glob("cell*.npz")):
            assert process.poll() is None, "the sweep ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert children_of(process.pid), "its workers are not recognised"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    while children_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children_of(process.pid) == []
    with StudyFolder.read(out) as folder:
        before = {run.run for run in folder.runs()}
    stamps = {name: (out / "arrays" / f"{name}.npz").stat().st_mtime_ns for name in before}
    eos(resume=out, workers=1, quiet=True)
    assert_same_arrays(serial.path, out, without=["seconds"])
    assert {name: (out / "arrays" / f"{name}.npz").stat().st_mtime_ns for name in stamps} == stamps
