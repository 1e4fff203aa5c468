"""A study killed at any moment goes on, and ends as if it had not been."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lastbit import audit
from lastbit.core.errors import LastbitError
from lastbit.store import StudyFolder

SCRIPT = """
import sys
import lastbit.studies.frame.make as frame
from lastbit import audit
frame.check_processes = lambda *_: None
file, out, workers = sys.argv[1:]
audit(file, seeds=2, perturbations=2, workers=int(workers), out=out, quiet=True, checkpoint_seconds=0)
"""


def assert_same_runs(one: Path, two: Path):
    with StudyFolder.read(one) as left, StudyFolder.read(two) as right:
        assert [(r.run, r.metrics, r.status) for r in left.runs()] == [
            (r.run, r.metrics, r.status) for r in right.runs()
        ]


@pytest.fixture(scope="module")
def whole(task_file, tmp_path_factory):
    """The study without interruption."""
    out = tmp_path_factory.mktemp("whole") / "study"
    return audit(f"{task_file}:slow", seeds=2, perturbations=2, workers=1, out=out, quiet=True)


def begin_and_kill(task_file, out, workers, until):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, f"{task_file}:slow", str(out), str(workers)])
    deadline = time.monotonic() + 120
    try:
        while not until(out):
            assert process.poll() is None, "the study ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def checkpoints(out):
    return list((out / "checkpoints").glob("seed*.safetensors"))


def arrays(out):
    return list((out / "arrays").glob("seed*.npz"))


@pytest.mark.parametrize(
    ("workers", "moment"),
    [
        (1, "mid-run"),
        pytest.param(1, "later", marks=pytest.mark.slow),
        pytest.param(2, "mid-run", marks=pytest.mark.slow),
    ],
)
def test_a_killed_study_continues_to_the_same_bits(task_file, whole, tmp_path, workers, moment, assert_same_arrays):
    out = tmp_path / "study"
    wanted = {"mid-run": lambda out: checkpoints(out), "later": lambda out: len(arrays(out)) >= 3}[moment]
    begin_and_kill(task_file, out, workers, wanted)
    with StudyFolder.read(out) as folder:
        before = {run.run for run in folder.runs()}
    stamps = {path.name: path.stat().st_mtime_ns for path in arrays(out) if path.stem in before}
    study = audit(resume=out, quiet=True, workers=workers)
    assert_same_arrays(whole.path, out)
    assert_same_runs(whole.path, out)
    # Runs that were finished are not run again.
    assert {name: (out / "arrays" / name).stat().st_mtime_ns for name in stamps} == stamps
    assert study.result.verdict == whole.result.verdict
    assert not checkpoints(out)


def test_a_finished_study_resumes_to_itself(whole):
    before = (whole.path / "result.json").read_text()
    again = audit(resume=whole.path, quiet=True)
    assert again.verdict == whole.verdict
    assert json.loads((whole.path / "result.json").read_text()) == json.loads(before)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seeds": 3}, "begun with --seeds 2, not 3: leave --seeds out"),
        ({"dtype": "float64"}, "begun with --dtype float32, not float64"),
        ({"epochs": 2}, "begun with --epochs 5, not 2"),
    ],
)
def test_changed_settings_are_refused(whole, changed, message):
    with pytest.raises(LastbitError, match=message):
        audit(resume=whole.path, quiet=True, **changed)


def test_a_changed_task_is_refused(task_file, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(task_file.read_text())
    out = tmp_path / "study"
    audit(f"{mine}:calm", seeds=1, perturbations=1, workers=1, out=out, quiet=True)
    mine.write_text(task_file.read_text().replace("nn.Linear(6, 12)", "nn.Linear(6, 11)").replace("(12, 3)", "(11, 3)"))
    with pytest.raises(LastbitError, match=r"^mine.py, of the task of .* is not what it was when the study was begun"):
        audit(resume=out, quiet=True)


@pytest.mark.parametrize("fact", ["torch", "processor", "vector instructions", "gpu", "cudnn"])
def test_another_machines_arithmetic_is_refused(whole, tmp_path, fact):
    shutil.copytree(whole.path, tmp_path / "study")
    facts = json.loads((whole.path / "study.json").read_text())
    facts["environment"][fact] = "another"
    (tmp_path / "study" / "study.json").write_text(json.dumps(facts))
    with pytest.raises(LastbitError, match=f"begun with {fact} 'another'"):
        audit(resume=tmp_path / "study", quiet=True)


@pytest.mark.parametrize("fact", ["platform", "cores", "python", "numpy", "lastbit"])
def test_a_change_that_moves_no_bit_is_let_pass(whole, tmp_path, fact):
    shutil.copytree(whole.path, tmp_path / "study")
    facts = json.loads((whole.path / "study.json").read_text())
    facts["environment"][fact] = "another"
    (tmp_path / "study" / "study.json").write_text(json.dumps(facts))
    assert audit(resume=tmp_path / "study", quiet=True).verdict == whole.verdict


@pytest.fixture
def threads():
    """Set the number of threads, and set it back in the end."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("finished", [0, 1])
@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1)])
def test_a_resumed_study_keeps_the_number_of_threads_it_was_begun_with(
    toy_task, tmp_path, threads, first, then, finished
):
    """It decides the order of sums, and with it the bits; in the first run as in any other."""
    seen, stopped = [], []

    def loss(outputs, targets):
        if (tmp_path / "study" / "runs.sqlite").exists():
            seen.append(torch.get_num_threads())
        # A run has nine steps and three evaluations.
        if len(seen) == 12 * finished + 5 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(outputs, targets)

    task = toy_task(loss=loss, epochs=3)
    settings = {"seeds": 2, "perturbations": 2, "workers": 1, "quiet": True}
    with pytest.raises(LastbitError, match="stopped with"):
        audit(task, out=tmp_path / "study", threads=first, **settings)
    with StudyFolder.read(tmp_path / "study") as folder:
        assert len(folder.runs()) == finished
    with pytest.raises(LastbitError, match=f"begun with --threads {first}, not {then}"):
        audit(task, resume=tmp_path / "study", threads=then, **settings)
    threads(then)
    audit(task, resume=tmp_path / "study", **settings)
    assert seen[-12:] == [first] * 12
    assert torch.get_num_threads() == then


def test_other_folders_are_refused(whole, task_file, tmp_path):
    with pytest.raises(LastbitError, match="is not empty"):
        audit(f"{task_file}:calm", out=whole.path, quiet=True)
    with pytest.raises(LastbitError, match="there is no study at"):
        audit(resume=tmp_path / "nothing", quiet=True)
    with pytest.raises(LastbitError, match="name the same thing"):
        audit(resume=whole.path, out=tmp_path / "other", quiet=True)


def test_a_second_process_on_the_folder_is_refused(whole):
    with StudyFolder.resume(whole.path), pytest.raises(LastbitError, match=f"another lastbit .process {os.getpid()}"):
        audit(resume=whole.path, quiet=True)


def test_an_interrupt_says_what_is_safe_and_how_to_go_on(task_file, tmp_path, monkeypatch):
    from lastbit.studies.frame.runner import Runner

    out = tmp_path / "study"
    monkeypatch.setattr(
        Runner,
        "_check_control",
        lambda self, cell: (_ for _ in ()).throw(KeyboardInterrupt) if len(self.records) == 2 else None,
    )
    with pytest.raises(LastbitError, match=f"stopped with 2 of 6 runs finished and safe: .*--resume {out}") as stopped:
        audit(f"{task_file}:calm", seeds=2, perturbations=2, workers=1, out=out, quiet=True)
    assert stopped.value.exit_code == 130
    monkeypatch.undo()
    assert audit(resume=out, quiet=True).result.runs_finished == 6


def test_a_full_disk_loses_no_finished_run(task_file, tmp_path, monkeypatch):
    out = tmp_path / "study"
    written = []
    savez = np.savez

    def fill_up(file, **arrays):
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(1)
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", fill_up)
    with pytest.raises(LastbitError, match=f"the disk that holds .* is full: .*--resume {out}"):
        audit(f"{task_file}:calm", seeds=2, perturbations=2, workers=1, out=out, quiet=True)
    monkeypatch.undo()
    with StudyFolder.read(out) as folder:
        assert len(folder.runs()) == 3
    assert audit(resume=out, quiet=True).result.runs_finished == 6
