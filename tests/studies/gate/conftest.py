"""Trainings of a few milliseconds in a file, and a session of them that the tests share."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import lastbit as lb

PROGRAMS = """
import os

import numpy as np
import torch


def trained(seed, shift):
    weight = torch.nn.Parameter(torch.tensor([float(np.random.default_rng(seed).normal())]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
    return {"score": 10 + weight.item() + shift}


def base(seed):
    return trained(seed, 0.0)


def same(seed):
    return trained(seed, 0.0)


def worse(seed):
    return trained(seed + 900, -5.0)


def bad(seed):
    return trained(seed + 500, -30.0)


def better(seed):
    return trained(seed + 100, 9.0)


def crashing(seed):
    raise ValueError("no <b>data</b> here")


def infinite(seed):
    return trained(seed, float("inf"))


def flaky(seed):
    if seed:
        raise ValueError(f"no data for {seed}")
    return trained(seed, 0.0)


def ends(seed):
    os._exit(3)


def stepless(seed):
    return {"score": 1.0}
"""


@dataclass(frozen=True)
class Desk:
    """A folder with programs, and a session in it."""

    folder: Path

    def __call__(self, candidate, baseline="base", **more):
        """Decide about a function of the file."""
        programs = f"{self.folder}/programs.py"
        told = {"better": "higher", "candidates": 20, "ledger": self.folder / "session", "threads": 1, "quiet": True}
        return lb.gate(f"{programs}:{baseline}", f"{programs}:{candidate}", **{**told, **more})


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "programs.py").write_text(PROGRAMS)
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """The answers of a session of four candidates, by name, in the order in which they came."""
    folder = tmp_path_factory.mktemp("night")
    (folder / "programs.py").write_text(PROGRAMS)
    desk = Desk(folder)
    return {name: desk(name) for name in ("worse", "same", "better", "crashing")}
