"""Processes that read ahead: the same bits as without them, and no hang."""

import pickle
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from readable import Failing, Killing, Noisy, Ragged, Rows, X, Y, masked, reading_task
from torch.utils.data import DataLoader, default_collate

from lastbit.core.errors import LastbitError
from lastbit.core.threads import PROCESSES
from lastbit.perturb.base import Identity
from lastbit.tasks import loader as loaders
from lastbit.tasks.loader import LoadedFeed, Loader
from lastbit.tasks.reading import Draws, Reader, UnreadableExample
from lastbit.tasks.split import Split
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

BATCHES = list(torch.split(torch.randperm(37, generator=torch.Generator().manual_seed(1)), 5))
DEVICE = torch.device("cpu")


class AtOnce:
    """A pool that does what it is asked in this process, and counts."""

    def __init__(self, readers):
        self.readers, self.asked = readers, []

    def submit(self, function, name, indices, draws):
        self.asked.append(indices)
        future = Future()
        future.set_result(("done", self.readers[name].read(indices, draws)))
        return future


@given(order=st.lists(st.integers(0, 7), min_size=1, max_size=12), workers=st.integers(1, 3), ahead=st.integers(0, 3))
@settings(deadline=None, max_examples=25)
def test_batches_are_those_asked_for_in_any_order_and_no_more_are_asked_for_than_may_be(order, workers, ahead):
    readers = {"train": Reader(Noisy(), default_collate, name="train")}
    loader = Loader(readers, workers, ahead=ahead)
    loader._pool = AtOnce(readers)
    feeds = [LoadedFeed(loader, "train", BATCHES, Draws(2)) for _ in range(2)]
    for number in order:
        for feed in feeds:
            inputs, _ = feed.take(number)
            assert torch.equal(inputs, Split(Noisy()).batch(BATCHES[number], Draws(2))[0])
            assert sum(each.asked for each in feeds) <= max(1, workers * ahead)


def test_in_order_every_batch_is_asked_for_once():
    readers = {"train": Reader(Rows(), default_collate, name="train")}
    loader = Loader(readers, 2)
    loader._pool = AtOnce(readers)
    feed = LoadedFeed(loader, "train", BATCHES, Draws())
    for number in range(len(BATCHES)):
        feed.take(number)
    assert loader._pool.asked == [batch.tolist() for batch in BATCHES]


def test_processes_of_a_study_have_no_more_loaders_than_cores_left(monkeypatch):
    loader = Loader({}, 4)
    monkeypatch.setattr(loaders, "own_cores", lambda: 16)
    assert loader.workers == 4
    for siblings, left in ((2, 4), (4, 3), (8, 1), (16, 0), (40, 0)):
        monkeypatch.setenv(PROCESSES, str(siblings))
        assert loader.workers == left


class Local(Rows):
    """A dataset with something that cannot be pickled."""

    def __init__(self):
        super().__init__()
        self.change = lambda x: x


def test_what_cannot_be_sent_to_a_process_is_refused_before_a_study():
    task = reading_task(Local(), loader_workers=2)
    with pytest.raises(
        LastbitError, match=r"^train: Local cannot be sent to a loader process .*, or write loader_work"
    ):
        task.check()
    reading_task(Local()).check()


def test_a_task_with_a_loader_can_be_pickled_and_shares_one_over_its_changes():
    split = reading_task(Rows(), loader_workers=3).train
    again = pickle.loads(pickle.dumps(split))  # noqa: S301
    assert torch.equal(again.batch(torch.arange(3))[0], X[:3])
    assert again._loader.workers == 3
    assert reading_task(split, loader_workers=3, test=split).train._reader is split._reader


def final(task, *, at=None):
    """Weights at the end, gone on from a checkpoint at step `at` where that is given."""
    training = Training(task, streams(5), Identity(), device=DEVICE, dtype=torch.float32)
    with training.active():
        while training.position < (at or training.total_steps):
            training.step()
        if at is None:
            return torch.from_numpy(training.weights()), training.evaluate().loss
        state = training.state()
    training = Training(task, streams(5), Identity(), device=DEVICE, dtype=torch.float32)
    with training.active():
        training.restore(state)
        while training.position < training.total_steps:
            training.step()
        return torch.from_numpy(training.weights()), training.evaluate().loss


def test_tensors_arrays_and_datasets_of_the_same_rows_give_the_same_bits():
    plain = final(reading_task((X, Y)))
    for train in (Rows(), (X.numpy(), Y.numpy())):
        found = final(reading_task(train))
        assert torch.equal(found[0], plain[0])
        assert found[1] == plain[1]


def test_a_run_goes_on_in_the_middle_of_an_epoch_with_the_same_bits():
    task = reading_task(DataLoader(Noisy(), collate_fn=masked))
    assert torch.equal(final(task, at=6)[0], final(task)[0])


@pytest.mark.slow
def test_the_bits_do_not_depend_on_processes_nor_on_what_they_read_ahead(monkeypatch):
    train = DataLoader(Noisy(), collate_fn=masked)
    alone = final(reading_task(train, test=Noisy()))
    for workers, ahead in ((1, 5), (4, 2)):
        monkeypatch.setattr(loaders.Loader.__init__, "__kwdefaults__", {"ahead": ahead})
        task = reading_task(train, test=Noisy(), loader_workers=workers)
        for at in (None, 6):
            found = final(task, at=at)
            assert torch.equal(found[0], alone[0])
            assert found[1] == alone[1]


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_told_as_it_is_here(tmp_path):
    indices = [torch.arange(9, 14), torch.arange(3)]
    feed = reading_task(Failing(), loader_workers=1).train.feed(indices)
    with pytest.raises(UnreadableExample, match=r"^train example 11: Odd: no such file and more \(readable.py, line"):
        feed.take(0)
    assert torch.equal(feed.take(1)[0], X[:3])
    with pytest.raises(LastbitError, match="train: examples 9 and 10 differ in shape"):
        reading_task(Ragged(), loader_workers=1).train.feed(indices).take(0)
    feed = reading_task(Killing(tmp_path / "mark"), loader_workers=1).train.feed(indices)
    with pytest.raises(UnreadableExample, match="a process that read train died, often because memory ran out"):
        feed.take(0)
    assert torch.equal(feed.take(0)[0], X[9:14])


SCRIPT = """
import lastbit as lb, torch
from torch.utils.data import Dataset
class Mine(Dataset):
    def __len__(self): return 8
    def __getitem__(self, i): return torch.ones(2) * i, 0
task = lb.Task(name="t", model=lambda: torch.nn.Linear(2, 2), train=Mine(), test=Mine(), loader_workers=1,
               optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
"""


@pytest.mark.slow
@pytest.mark.parametrize("guarded", [True, False])
def test_a_script_begins_below_its_guard_or_is_told_to(guarded, tmp_path):
    lines = ["print(task.train.feed([torch.arange(2)]).take(0)[0].tolist())"]
    lines = ["if __name__ == '__main__':", f"    {lines[0]}"] if guarded else lines
    (tmp_path / "script.py").write_text(SCRIPT + "\n".join(lines))
    ended = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    if guarded:
        assert ended.stdout == "[[0.0, 0.0], [1.0, 1.0]]\n"
    else:
        assert "train: a loader process ended as it started: begin what a script runs below if __name__" in ended.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_loaders_end_with_the_process_that_started_them(tmp_path):
    (tmp_path / "script.py").write_text(
        SCRIPT
        + "if __name__ == '__main__':\n"
        + "    import os, signal\n"
        + "    task.train.feed([torch.arange(2)]).take(0)\n"
        + "    print(*task.train._loader._pool._processes, flush=True)\n"
        + "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE, timeout=300, check=False
    )
    (number,) = map(int, ended.stdout.split())
    deadline = time.monotonic() + 60
    while alive(number):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


TASK = """
import lastbit as lb, numpy as np, torch
from torch.utils.data import Dataset
class Mine(Dataset):
    def __init__(self): self.rows = np.memmap("rows", np.float32, "r", shape=(64, 2))
    def __len__(self): return 64
    def __getitem__(self, i): return self.rows[i] + np.random.rand(2).astype("f"), int(i % 2)
def task(loader_workers=1):
    return lb.Task(name="t", model=lambda: torch.nn.Linear(2, 2), train=Mine(), test=Mine(), epochs=1, batch_size=16,
                   loader_workers=loader_workers, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
"""


@pytest.mark.slow
def test_a_task_file_is_read_by_processes_too(tmp_path, monkeypatch):
    from lastbit.tasks.file_task import load_file_task

    monkeypatch.chdir(tmp_path)
    np.arange(128, dtype=np.float32).tofile("rows")
    (tmp_path / "file.py").write_text(TASK)
    reference = f"{tmp_path}/file.py:task"
    batches = [torch.arange(5), torch.tensor([9, 2])]
    feeds = [load_file_task(reference, {"loader_workers": n}).train.feed(batches, Draws(3)) for n in (0, 1)]
    for number in range(2):
        here, there = (feed.take(number) for feed in feeds)
        assert torch.equal(here[0], there[0])
