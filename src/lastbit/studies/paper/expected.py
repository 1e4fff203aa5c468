"""The time that a claim takes on this machine, foretold from steps that are measured here and now."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
import torch
from torch import nn

from lastbit.pde import make_scheme
from lastbit.pde.cnn.flow import CnnFlow
from lastbit.pde.cnn.images import checkerboard
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels
from lastbit.pde.linear.analysis import analyse
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.simulation import simulate
from lastbit.studies.paper.claim import Piece
from lastbit.studies.paper.lab import one_thread

__all__ = ["STEPS", "measured_seconds", "seconds_of"]

_LONG_ENOUGH, _REPEATS = 0.05, 3
"""Seconds that a measurement lasts at least, and how many are taken; their median counts."""


def _heat() -> Callable[[], float]:
    heat = analyse("heat")
    grid = Grid(shape=(64,), spacing=(1.0,))
    start = np.ones(64)
    scheme = make_scheme("euler")

    def steps() -> float:
        simulate(heat.von_neumann.equation, scheme, grid, start, 0.4, 200)
        return 200

    return steps


def _flow() -> Callable[[], float]:
    problem = CnnProblem.of(checkerboard(64), kernel=32)
    flow, members = CnnFlow(problem), torch.ones(8)
    state = flow.init(initial_kernels(problem).expand(8, -1, -1, -1), 0.05 * members, 20 * members, members)

    def steps() -> float:
        flow.step(state)
        return len(members)

    return steps


def _training(
    width: int,
    depth: int,
    shape: tuple[int, int, int],
    batch: int,
    *,
    part: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Callable[[], Callable[[], float]]:
    """Return what makes one step of a convolutional network of about this cost, on images of a shape (C, H, W).

    Of a large one a batch `part` times smaller is measured, and counts as that part of a step.
    """

    def made() -> Callable[[], float]:
        layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 1):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)).to(dtype)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        images = torch.zeros(batch // part, *shape, dtype=dtype)
        labels = torch.zeros(batch // part, dtype=torch.int64)

        def step() -> float:
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(images), labels))
            optimizer.step()
            return 1 / part

        return step

    return made


_NETWORKS: Mapping[str, Callable[..., Callable[[], Callable[[], float]]]] = {
    "digits": partial(_training, 8, 3, (1, 8, 8), 32),
    "fashion": partial(_training, 16, 8, (1, 28, 28), 128, part=8),
    "cifar": partial(_training, 32, 56, (3, 32, 32), 128, part=32),
}

STEPS: Mapping[str, Callable[[], Callable[[], float]]] = {
    "heat": _heat,
    "flow": _flow,
    **{name: network() for name, network in _NETWORKS.items()},
    **{f"{name} in float64": network(dtype=torch.float64) for name, network in _NETWORKS.items()},
}
"""What is measured, by name: each makes a function that takes some steps and returns how many. `heat`: of a small
simulation of the heat equation; `flow`: of one member of the one-layer CNN's flow, a window of 32 x 32 on an image of
64 x 64; `digits`: of the built-in network on a batch of 32; `fashion`: of a network as
dear as ResNet-8 on a batch of 128; `cifar`: of one as dear as ResNet-56 on a batch of 128. A convolution in float64
has no fast path on a processor, and takes a multiple that only a measurement tells."""


def measured_seconds(names: Iterable[str]) -> dict[str, float]:
    """Return the seconds of one step of each name, on one thread of this machine as it is loaded now."""
    return {name: _measured(STEPS[name]()) for name in names}


def seconds_of(pieces: Iterable[Piece], step: Mapping[str, float], workers: int = 1) -> float:
    """Return the seconds that pieces take, given those of each step, spread over `workers` processes."""
    return sum(count * step[name] for piece in pieces for name, count in piece.steps.items()) / workers


def _measured(steps: Callable[[], float]) -> float:
    # A measurement must touch no generator that whoever asks draws from.
    with one_thread(), torch.random.fork_rng(devices=[]):
        steps()
        return statistics.median(_timed(steps) for _ in range(_REPEATS))


def _timed(steps: Callable[[], float]) -> float:
    begun, taken = time.perf_counter(), 0.0
    while (passed := time.perf_counter() - begun) < _LONG_ENOUGH:
        taken += steps()
    return passed / taken
