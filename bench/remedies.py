"""What the remedies cost: the time of a training step with each, over the time of one without.

    python bench/remedies.py [--rounds 300] [--seed 0]

The three-layer CNN of `bench/perturb_overhead.py` (widths 8, 16, 32, batch norm, 28x28 input, batch 128), and the
same on what the default task has (8x8 input, batch 32), where a step is short. One thread. Steps with and without take
turns within a round, in shuffled order, so that a slow moment of the machine falls on all of them alike; the table
shows the median over rounds of the ratio within a round, and its 95% bootstrap interval. Time is the processor time of
this process. `again` is a second training without: how well the ratio resolves on this machine. `limited` is a step
that is always limited, by layer, between two measurements; what measuring itself takes is shown apart, for a
measurement every 100 steps.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn

import lastbit as lb


def cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for before, width in ((1, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if width < 32 else [nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 10))


SHAPES = {"28x28, batch 128": (128, 1, 28, 28), "8x8, batch 32": (32, 1, 8, 8)}

REMEDIES = ("again", "gelu", "silu", "ema", "limited")


class Trainer:
    def __init__(self, shape: tuple[int, ...], remedy: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = cnn()
        self.batch = torch.randn(shape), torch.randint(0, 10, shape[:1])
        if remedy in ("gelu", "silu"):
            lb.remedies.smooth(self.model, to=remedy)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)
        self.average = lb.remedies.ema(self.model) if remedy == "ema" else None
        self.limit = None
        if remedy == "limited":
            self.limit = lb.remedies.step_limit(
                self.optimizer, self.model, nn.functional.cross_entropy, self.batch, every=10**9, per_layer=True
            )
            self.step()
            # Measured once, at the first step; from then on every layer is over its limit.
            self.optimizer.param_groups[0]["lr"] = 1e3

    def step(self) -> float:
        start = time.process_time()
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(self.batch[0]), self.batch[1]).backward()
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        return time.process_time() - start


def interval(ratios: np.ndarray, stream: np.random.Generator) -> str:
    drawn = np.median(ratios[stream.integers(0, len(ratios), (400, len(ratios)))], axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{np.median(ratios):.3f}  [{low:.3f}, {high:.3f}]"


def measure(name: str, shape: tuple[int, ...], rounds: int, seed: int) -> None:
    stream = np.random.default_rng(seed)
    names = ("base", *REMEDIES)
    trainers = [Trainer(shape, each, seed) for each in names]
    times = np.zeros((rounds, len(names)))
    for row in range(-10, rounds):
        for column in stream.permutation(len(names)):
            seconds = trainers[column].step()
            if row >= 0:
                times[row, column] = seconds
    print(f"{name}: base {np.median(times[:, 0]) * 1e3:.2f} ms a step")
    for column, each in enumerate(names[1:], start=1):
        print(f"  {each:10s} {interval(times[:, column] / times[:, 0], stream)}")
    assert trainers[-1].limit is not None
    assert trainers[-1].limit.limited == rounds + 10
    for per_layer in (False, True):
        trainer = Trainer(shape, "base", seed)
        options = {"every": 100, "per_layer": per_layer}
        loss_fn = nn.functional.cross_entropy
        with lb.remedies.step_limit(trainer.optimizer, trainer.model, loss_fn, trainer.batch, **options) as limit:
            for _ in range(300):
                trainer.step()
        products = np.mean([record.products for record in limit.monitor.records])
        what = "the whole and each layer" if per_layer else "the whole"
        print(f"  measuring {what}: {limit.share:.3f} of the training's time, {products:.0f} products a measurement")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, shape in SHAPES.items():
        measure(name, shape, arguments.rounds, arguments.seed)


if __name__ == "__main__":
    main()
