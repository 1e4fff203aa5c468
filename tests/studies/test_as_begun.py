"""A study goes on as it was begun: the same text of its task, the same threads, from whichever folder."""

import pytest
import torch
from torch import nn

import lastbit
from lastbit.core.errors import LastbitError
from lastbit.core.recorder import Recorder
from lastbit.perturb.base import Identity
from lastbit.store import StudyFolder
from lastbit.train.random_streams import streams
from lastbit.train.run import run_training

FILE = """
import torch
from torch import nn
from lastbit import Task
from helper import loss

def toy():
    x, y = torch.linspace(-1, 1, 72).view(24, 3), torch.arange(24) % 2
    return Task(name="toy", model=lambda: nn.Linear(3, 2), train=(x, y), test=(x, y), loss=loss,
                optimizer=lambda p: torch.optim.SGD(p, lr=0.1), epochs=2, batch_size=8)
"""
HELPER = """
from parts.deep import scale
from torch.nn import functional

def loss(outputs, targets):
    return scale() * functional.cross_entropy(outputs, targets)
"""
DEEP = """
def scale():
    return 1.0
"""


@pytest.fixture
def file(user_files, monkeypatch):
    """A task that imports a local module, which imports another from a package."""
    path = user_files({"mine.py": FILE, "helper.py": HELPER, "parts/__init__.py": "", "parts/deep.py": DEEP})
    monkeypatch.chdir(path.parent)
    return path


@pytest.mark.parametrize("changed", ["mine.py", "helper.py", "parts/deep.py"])
def test_a_study_of_a_changed_text_is_not_continued(file, tmp_path, changed):
    """A loss of another scale leaves sizes, weights and data what they were."""
    out = tmp_path / "study"
    lastbit.audit("mine.py:toy", seeds=1, perturbations=1, workers=1, out=out, quiet=True)
    (file.parent / changed).write_text((file.parent / changed).read_text() + "# another text\n")
    with pytest.raises(LastbitError, match=f"^{changed}, of the task of .* put it back as it was, or start another"):
        lastbit.audit(resume=out, quiet=True)


def test_a_file_named_by_a_relative_path_goes_on_from_any_folder(file, tmp_path, monkeypatch):
    out = tmp_path / "study"
    first = lastbit.audit("mine.py:toy", seeds=1, perturbations=2, workers=1, out=out, quiet=True)
    assert str(file) in first.result.command
    monkeypatch.chdir("/")
    assert lastbit.audit(resume=out, quiet=True).verdict == first.verdict
    monkeypatch.chdir(tmp_path)
    assert lastbit.audit("home/mine.py:toy", resume=out, quiet=True).verdict == first.verdict


KINDS = {
    "audit": {"seeds": 1, "perturbations": 2, "workers": 1},
    "trace": {"twins": 1, "workers": 1},
    "eos": {"twins": 1, "every": 1, "workers": 1},
    "sharpness": {"after": 3},
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_decided_is_kept_before_the_first_step(toy_task, tmp_path, kind):
    out, seen = tmp_path / "study", []

    def loss(outputs, targets):
        if (out / "runs.sqlite").exists():
            seen.append(torch.get_num_threads())
            if len(seen) == 1:
                raise KeyboardInterrupt
        return nn.functional.cross_entropy(outputs, targets)

    task = toy_task(loss=loss, epochs=1)
    make = getattr(lastbit, kind)
    stopped = "stopped with 0 of" if kind == "audit" else "stopped before the (training|measurement) was finished"
    with pytest.raises(LastbitError, match=stopped):
        make(task, out=out, threads=2, quiet=True, **KINDS[kind])
    with StudyFolder.read(out) as folder:
        assert folder.facts["execution"]["threads"] == 2
    study = make(task, resume=out, quiet=True, **KINDS[kind])
    assert study.result.finished
    # What is tried out before a run has one thread.
    assert seen[0] == 2
    assert seen[-3:] == [2, 2, 2]


class Kept(Recorder):
    """Keeps the last checkpoint."""

    checkpoint = None

    def save_checkpoint(self, tensors, facts):
        self.checkpoint = tensors, facts

    def load_checkpoint(self):
        return self.checkpoint


@pytest.mark.parametrize(("threads", "left"), [(1, 2), (2, 6)])
def test_a_checkpoint_made_with_other_threads_is_not_continued(toy_task, threads, left):
    task = toy_task()
    recorder, taken, before = Kept(), [], torch.get_num_threads()

    def run(until=None):
        def on_step(position):
            taken.append(position)
            if position == until:
                raise KeyboardInterrupt

        return run_training(
            task,
            streams(0),
            Identity(),
            device=torch.device("cpu"),
            recorder=recorder,
            checkpoint_seconds=0,
            on_step=on_step,
        )

    try:
        torch.set_num_threads(1)
        with pytest.raises(KeyboardInterrupt):
            run(until=5)
        taken.clear()
        torch.set_num_threads(threads)
        run()
    finally:
        torch.set_num_threads(before)
    assert len(taken) == left
