"""A folder to work in, with a file of small tasks that the commands are tried on."""

import pytest

from lastbit.cli import main

TOY = """
import os
import torch
from lastbit import Task

generator = torch.Generator().manual_seed(0)
X = torch.randn(64, 4, generator=generator)
Y = (X[:, 0] > 0).long()


def make(**more):
    settings = dict(
        name="toy", model=lambda: torch.nn.Linear(4, 2), train=(X, Y), test=(X, Y), batch_size=16, epochs=10,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.5, momentum=0.9),
    )
    return Task(**{**settings, **more})


def full_batch():
    return make(batch_size=64, epochs=70, optimizer=lambda params: torch.optim.SGD(params, lr=0.5))


def rmsprop():
    return make(optimizer=lambda params: torch.optim.RMSprop(params, lr=0.01))


def signs():
    return make(optimizer=lambda params: torch.optim.Rprop(params))


def convolutional():
    return make(model=lambda: torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 4)), torch.nn.Conv1d(1, 3, 2), torch.nn.Flatten(), torch.nn.Linear(9, 2)
    ))


class Noisy(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x + int.from_bytes(os.urandom(2), "little") * self.training)


def noisy():
    return make(model=lambda: Noisy(4, 2))


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


class Squared(torch.nn.Module):
    def forward(self, x):
        return Square.apply(x)


def once():
    return make(model=lambda: torch.nn.Sequential(torch.nn.Linear(4, 2), Squared()))


def labels_too_high():
    return make(train=(X, Y + 36), test=(X, Y + 36))


def not_a_task():
    return 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, `toy.py` in it, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.py").write_text(TOY)
    return tmp_path


@pytest.fixture
def refused(here, capsys):
    """Run a command that must end with exit code 2 and one line, and leave the folder as it was; return the line."""

    def check(words):
        (here / "full").mkdir()
        (here / "full" / "x").touch()
        before = sorted(str(path) for path in here.rglob("*") if "__pycache__" not in str(path))
        assert main([*words, "--quiet"]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert len(told.err.strip().splitlines()) == 1
        assert told.err.startswith("error: ")
        assert sorted(str(path) for path in here.rglob("*") if "__pycache__" not in str(path)) == before
        return told.err

    return check
