"""Runs of a command beside each other share the cores out, and see one GPU each."""

import json

import pytest

import lastbit as lb
from lastbit.train.executors.choose import gpus, unmeasured_choice
from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.executors.serial import SerialExecutor


@pytest.mark.parametrize(
    ("named", "count", "found"),
    [
        (None, 2, ["0", "1"]),
        ("3,1", 2, ["3", "1"]),
        ("GPU-5f, GPU-6a", 2, ["GPU-5f", "GPU-6a"]),
        ("2,-1,3", 1, ["2"]),  # what stands behind a number that is none does not count
        ("", 0, []),
        (None, 0, []),
    ],
)
def test_the_gpus_are_those_that_this_process_may_use(named, count, found, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    assert gpus() == found


@pytest.mark.parametrize(("workers", "threads", "each"), [(4, None, 3), (5, None, 2), (20, None, 1), (4, 2, 2)])
def test_threads_are_shared_out(workers, threads, each, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 12)
    assert unmeasured_choice(workers, 100, threads=threads, shared=True).threads == each
    assert unmeasured_choice(None, 100, threads=threads, shared=True).workers == 1


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The variables that each process of the last study would have had; its runs stay in this one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    found = []

    class Stays(SerialExecutor):
        def __init__(self, factory, *, workers, threads, places):
            super().__init__(factory, threads=threads)
            found[:] = [workers, *places]

    monkeypatch.setattr("lastbit.train.executors.choose.ProcessExecutor", Stays)
    return found


def test_runs_beside_each_other_see_one_gpu_and_do_so_when_resumed(places, monkeypatch, tmp_path):
    from in_this_process import InThisProcess

    stand_in = InThisProcess(lambda loss: f"loss: {loss:.12f}\n")
    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", stand_in)
    one_each = [{"CUDA_VISIBLE_DEVICES": "4"}, {"CUDA_VISIBLE_DEVICES": "7"}]
    words = {"metric": ["loss"], "perturbations": 2, "quiet": True}
    lb.audit(["sh", "-c", "train"], workers=3, out="several", **words)
    assert places == [3, *one_each]
    assert json.loads((tmp_path / "several" / "study.json").read_text())["execution"]["one_gpu"]
    (tmp_path / "several" / "arrays" / "seed000-p001.npz").unlink()
    lb.audit(resume="several", workers=1, quiet=True)
    assert places == [1, *one_each]
    places.clear()
    lb.audit(["sh", "-c", "train"], out="alone", **words)
    (tmp_path / "alone" / "arrays" / "seed000-p001.npz").unlink()
    (tmp_path / "alone" / "arrays" / "seed000-repeat.npz").unlink()
    assert not places
    lb.audit(resume="alone", workers=2, quiet=True)
    assert places == [2]  # all GPUs for each run, as it was begun


def test_processes_take_their_places_in_turn(monkeypatch):
    started = []

    def start(command, *, env, **given):
        started.append(env.get("CUDA_VISIBLE_DEVICES"))
        raise InterruptedError

    class Child:
        def __init__(self, process, heard, place):
            self.place = place

    monkeypatch.setattr("lastbit.train.executors.started.subprocess.Popen", start)
    executor = ProcessExecutor(None, workers=3, places=[{"CUDA_VISIBLE_DEVICES": "4"}, {"CUDA_VISIBLE_DEVICES": "7"}])
    for others in ([], [0], [0, 1], [0, 2]):
        executor._children = [Child(None, None, place) for place in others]
        with pytest.raises(InterruptedError):
            executor._start_child()
    assert started == ["4", "7", "4", "7"]
