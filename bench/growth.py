"""How the cost of perturbing and recording grows with the network, on the step that is least favourable to it.

    python bench/growth.py [--rounds 40] [--seconds 60] [--sizes 0.1 0.8 4.8 25]

A transformer trained on 256 tokens a step with one thread: few tokens and many weights, so that little arithmetic
stands beside each weight. A plain optimizer and perturbed ones take turns, step by step and in shuffled order, and so
does a sketch of all weights; the table shows medians over rounds of the ratio to the plain step of the same round. Time
is the processor time of this process, which other work on the machine disturbs less than the clock on the wall;
`again` is a second plain training and shows how well the ratio resolves. The aim from 0.1 to 25 M weights: `rescale` at
most 1.15 with SGD and 1.3 with AdamW, `rounding` 1.4, a sketch 0.2 of a step.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from lastbit.dynamics.sketch import CountSketch
from lastbit.perturb.base import Perturbation
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding

SHAPES = {"0.1": (64, 2), "0.8": (128, 4), "4.8": (256, 6), "25": (512, 8)}
"""Width and layers by millions of weights."""

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "SGD": lambda model: torch.optim.SGD(model.parameters(), lr=0.01),
    "SGD, momentum": lambda model: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
    "AdamW": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-3),
}

KINDS: dict[str, Perturbation | None] = {
    "plain": None,
    "again": None,
    "rescale": Rescale(k=3),
    "rounding": StochasticRounding(seed=1),
}

TOKENS, WORDS = 256, 64


def transformer(width: int, layers: int) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
    body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    return nn.Sequential(nn.Embedding(WORDS, width), body, nn.Linear(width, WORDS))


def trainer(size: str, optimizer: str, perturbation: Perturbation | None) -> tuple[nn.Module, Callable[[], float]]:
    model = transformer(*SHAPES[size])
    stepper = OPTIMIZERS[optimizer](model)
    if perturbation is not None:
        perturbation.attach(stepper)
    words = torch.randint(WORDS, (4, TOKENS // 4 + 1), generator=torch.Generator().manual_seed(1))

    def step() -> float:
        began = time.process_time()
        stepper.zero_grad()
        scores = model(words[:, :-1])
        nn.functional.cross_entropy(scores.flatten(0, 1), words[:, 1:].flatten()).backward()
        stepper.step()
        return time.process_time() - began

    return model, step


def measure(size: str, optimizer: str, rounds: int, seconds: float) -> None:
    trained = {name: trainer(size, optimizer, perturbation) for name, perturbation in KINDS.items()}
    model = trained["plain"][0]
    parameters = dict(model.named_parameters())
    sketch = CountSketch(parameters)

    def timed_sketch() -> float:
        began = time.process_time()
        sketch(parameters)
        return time.process_time() - began

    turns = {name: step for name, (_, step) in trained.items()} | {"sketch": timed_sketch}
    names, stream, rows = list(turns), np.random.default_rng(0), []
    until = time.perf_counter() + seconds
    for number in range(-2, rounds):
        taken = {names[place]: turns[names[place]]() for place in stream.permutation(len(names))}
        if number >= 0:
            rows.append([taken[name] for name in names])
        if len(rows) >= 5 and time.perf_counter() > until:
            break
    times = np.array(rows)
    ratios = np.median(times / times[:, :1], axis=0)
    weights = sum(weight.numel() for weight in model.parameters())
    cells = "".join(f"{ratios[place]:10.3f}" for place in range(1, len(names)))
    print(
        f"{weights / 1e6:8.2f} M  {optimizer:14}{1e3 * np.median(times[:, 0]):9.1f} ms{cells}   ({len(rows)})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=60, help="at most for one line, after five rounds")
    parser.add_argument("--sizes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--optimizers", nargs="+", choices=list(OPTIMIZERS), default=list(OPTIMIZERS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"one thread; load of the last minute, by core: {os.getloadavg()[0] / (os.cpu_count() or 1):.2f}")
    print(
        f"{'weights':>10}  {'optimizer':14}{'plain':>12}"
        + "".join(f"{name:>10}" for name in [*list(KINDS)[1:], "sketch"])
    )
    for size in arguments.sizes:
        for optimizer in arguments.optimizers:
            measure(size, optimizer, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
