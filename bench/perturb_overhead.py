"""What perturbing costs: the time of a training step with each perturbation, over the time of one without.

    python bench/perturb_overhead.py [--rounds 300] [--seed 0]

A three-layer CNN (widths 8, 16, 32, batch norm, 28x28 input, batch 128), one thread. Steps with and without take turns
within a round, in shuffled order, so that a slow moment of the machine falls on all of them alike; the table shows the
median over rounds of the ratio within a round, and its 95% bootstrap interval. Time is the processor time of this
process, which other work on the machine disturbs less than the clock on the wall. `again` is a second unperturbed
training: how well the ratio resolves on this machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from lastbit.perturb.base import Identity, Perturbation
from lastbit.perturb.flip_ulp import FlipUlp
from lastbit.perturb.reorder_batch import ReorderBatch
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd, nesterov": lambda m: torch.optim.SGD(m.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True),
    "adamw": lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
}

PERTURBATIONS: dict[str, Perturbation] = {
    "again": Identity(),
    "identity": Identity(),
    "rescale": Rescale(k=3),
    "ulp": FlipUlp(),
    "rounding": StochasticRounding(),
    "reorder": ReorderBatch(),
}


def cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for before, width in ((1, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if width < 32 else [nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 10))


def trainer(build: Callable[[nn.Module], torch.optim.Optimizer], perturbation: Perturbation | None, seed: int):
    torch.manual_seed(seed)
    model = cnn()
    optimizer = build(model)
    if perturbation is not None:
        perturbation.attach(optimizer, model)
    images, labels = torch.randn(128, 1, 28, 28), torch.randint(0, 10, (128,))

    def step() -> float:
        start = time.process_time()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        return time.process_time() - start

    return step


def measure(optimizer: str, rounds: int, seed: int) -> None:
    build, stream = OPTIMIZERS[optimizer], np.random.default_rng(seed)
    steps = {"base": trainer(build, None, seed)}
    steps |= {
        name: trainer(build, None if name == "again" else perturbation, seed)
        for name, perturbation in PERTURBATIONS.items()
    }
    names = list(steps)
    times = np.zeros((rounds, len(names)))
    for row in range(-10, rounds):
        for column in stream.permutation(len(names)):
            seconds = steps[names[column]]()
            if row >= 0:
                times[row, column] = seconds
    ratios = times / times[:, :1]
    drawn = np.median(ratios[stream.integers(0, rounds, (400, rounds))], axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    print(f"{optimizer}: base {np.median(times[:, 0]) * 1e3:.2f} ms a step")
    for column, name in enumerate(names[1:], start=1):
        print(f"  {name:10s} {np.median(ratios[:, column]):.3f}  [{low[column]:.3f}, {high[column]:.3f}]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for optimizer in OPTIMIZERS:
        measure(optimizer, arguments.rounds, arguments.seed)


if __name__ == "__main__":
    main()
