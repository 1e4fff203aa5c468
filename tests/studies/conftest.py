"""Small audits that the tests share."""

import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from lastbit import Task, audit
from lastbit.train.executors.processes import ProcessExecutor

TASKS = '''
import os
import numpy as np
import torch
from torch import nn
from lastbit import Task

generator = torch.Generator().manual_seed(0)
X = torch.randn(96, 6, generator=generator)
Y = (X[:, 0] + X[:, 1] > 0).long() + (X[:, 2] > 0).long()


class Network(nn.Module):
    """A small network that does something particular in training."""

    def __init__(self, trick=lambda x, model: x):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
        self.trick = trick
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        return self.layers(self.trick(x, self) if self.training else x)


def task(trick=lambda x, model: x, lr=0.5, epochs=3, **more):
    settings = dict(
        name="toy", model=lambda: Network(trick), train=(X, Y), test=(X[:40], Y[:40]), epochs=epochs, batch_size=16,
        optimizer=lambda params: torch.optim.SGD(params, lr=lr, momentum=0.9),
    )
    return Task(**{**settings, **more})


def calm():
    return task()


def lively():
    """A step size at which the last bit grows to order one within the training."""
    labels = torch.randint(0, 3, (96,), generator=torch.Generator().manual_seed(1))
    return task(lr=1.5, epochs=30, train=(X, labels), test=(X, Y), batch_size=32)


def elsewhere():
    return task(test=(X[50:90], Y[50:90]))


def still():
    return task(lr=0.0)


def unseeded():
    def trick(x, model):
        noise = int.from_bytes(os.urandom(4), "little") / 2**32
        return x + noise * (model.calls == 5)
    return task(trick)


def fragile():
    """Raises in the fourth step from initial weights with a positive first entry, whatever the perturbation."""
    def trick(x, model):
        if model.calls == 4 and float(model.layers[0].weight.flatten()[0]) > 0:
            raise RuntimeError("a <b>bad</b> seed")
        return x
    return task(trick)


def deadly():
    def trick(x, model):
        if model.calls == 4 and float(model.layers[0].weight.flatten()[0]) > 0:
            os.kill(os.getpid(), 9)
        return x
    return task(trick)


def explosive():
    def trick(x, model):
        return x * (float("inf") if model.calls == 8 and float(model.layers[0].weight.flatten()[0]) > 0 else 1)
    return task(trick)


def slow():
    import time
    def trick(x, model):
        time.sleep(0.01)
        return x
    return task(trick, epochs=5)


def regression():
    from lastbit.tasks.metric import MSE
    target = X[:, :3].clone()
    return task(loss=nn.functional.mse_loss, metric=MSE, train=(X, target), test=(X[:40], target[:40]), lr=0.05)
'''


@pytest.fixture(scope="session")
def task_file(tmp_path_factory):
    """A file of tasks, each with one peculiarity."""
    path = tmp_path_factory.mktemp("tasks") / "toys.py"
    path.write_text(textwrap.dedent(TASKS))
    return path


@pytest.fixture(scope="session")
def lively_study(task_file, tmp_path_factory):
    """A finished audit of 3 seeds x 3 perturbations."""
    out = tmp_path_factory.mktemp("studies") / "lively"
    return audit(f"{task_file}:lively", seeds=3, perturbations=3, workers=1, out=out, quiet=True)


@pytest.fixture(scope="session")
def assert_same_arrays():
    """Compare the arrays of two studies bit for bit, but for those named."""

    def check(one, two, without=()):
        names = sorted(path.name for path in (one / "arrays").glob("*.npz"))
        assert names == sorted(path.name for path in (two / "arrays").glob("*.npz"))
        for name in names:
            left, right = np.load(one / "arrays" / name), np.load(two / "arrays" / name)
            assert left.files == right.files
            for array in left.files:
                if array not in without:
                    assert left[array].tobytes() == right[array].tobytes(), (name, array)

    return check


@pytest.fixture
def one_process(monkeypatch):
    """Let a study that asks for several processes have one: a second takes as long to start and shows no more."""

    def executor(factory, *, workers, threads, places=()):
        return ProcessExecutor(factory, workers=1, threads=threads, places=places)

    monkeypatch.setattr("lastbit.train.executors.choose.ProcessExecutor", executor)


@pytest.fixture
def toy_task():
    """Make a task of 24 examples in batches of 8 that learns with a plain SGD; what is given replaces its own."""

    def make(**given):
        x, y = torch.linspace(-1, 1, 72).view(24, 3), torch.arange(24) % 2
        own = {"name": "toy", "model": lambda: nn.Linear(3, 2), "train": (x, y), "test": (x, y), "epochs": 2}
        optimizer = {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1), "batch_size": 8}
        return Task(**{**own, **optimizer, **given})

    return make


@pytest.fixture
def user_files(tmp_path, monkeypatch):
    """Write a user's files, texts by name, into a folder and return the first; their imports are forgotten after."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    home, before = tmp_path / "home", set(sys.modules)

    def write(texts):
        for name, text in texts.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)
        return home / next(iter(texts))

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(home)):
            del sys.modules[name]
