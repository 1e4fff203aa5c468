"""What it costs to run a program under lastbit: its start before torch is imported, and its steps.

    python bench/launch_cost.py [--starts 10] [--rounds 20] [--steps 6] [--seconds 15] [--whole 60]

Start-up: `python -c pass` with and without lastbit's folder on `PYTHONPATH`, in turn; the aim is at most 0.15 s more.
Steps: a small CNN (0.02 M weights, batch 64, one thread). In one process, twins of one training take turns, in blocks
of steps and in shuffled order: plain, counted only, and with each perturbation, as a launched process sets it up. Each
block enters the global hooks anew, and its first steps, in which directions are checked, are not timed. What is timed
is the optimizer's step, hooks and perturbation included, between a gradient and the next, so that the caches are as
they are in training; a difference of some 0.1 ms would drown in the time of the gradients. The table shows medians over
rounds: what is added to a plain step of the same round, and the ratio to the plain step with its gradient. The aim is
at most 1.05, records included, which by their cadence take at most 0.03; the time of one is shown.
`whole` checks that against a script that is run plain and launched, once each, by the median of the second half of its
own steps. Time is processor time, which other work on the machine disturbs less than the clock on the wall.

Only ratios within one run count. The load of the machine is printed with them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lastbit.launch.command import run_command
from lastbit.launch.everywhere import Everywhere, Met
from lastbit.launch.process import SITE
from lastbit.launch.record import Recorder
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.perturb.registry import make_perturbation

MODEL = """
import torch
from torch import nn

def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(32, 48, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(48, 10),
    )

def stepper(optimizer):
    model = network()
    optimizer = getattr(torch.optim, optimizer)(model.parameters(), lr=0.01)
    inputs, targets = torch.randn(64, 1, 28, 28), torch.randint(10, (64,))
    def gradient():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
    return gradient, optimizer.step
"""

SCRIPT = (
    MODEL
    + """
import sys, time
torch.set_num_threads(1)
(gradient, step), times = stepper(sys.argv[1]), []
for _ in range(int(sys.argv[2])):
    began = time.process_time()
    gradient()
    step()
    times.append(time.process_time() - began)
print(sorted(times[len(times) // 2:])[len(times) // 4])
"""
)

KINDS = {"counted": ("identity", 0), "rescale": ("rescale", 1), "rounding": ("rounding", 1)}

WARM = 5
"""Steps of a block that are not timed: more than those whose directions are checked."""


def start(path: str, message: str) -> float:
    environment = os.environ | {"PYTHONPATH": path, "LASTBIT_LAUNCH": message}
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], env=environment, check=True)
    return time.perf_counter() - began


def starts(count: int, folder: Path) -> None:
    records = folder / "start"
    records.mkdir()
    for name, settings in {"start": LaunchSettings(), "start, --reseed": LaunchSettings(reseed=1)}.items():
        message = settings.message(records, "bench")
        pairs = [(start("", message), start(str(SITE), message)) for _ in range(count)]
        plain, more = statistics.median(a for a, _ in pairs), statistics.median(b - a for a, b in pairs)
        print(f"{name:<18} plain {1000 * plain:6.1f} ms   lastbit's share {1000 * more:6.1f} ms")


class Twin:
    """One training that is continued block by block, under lastbit or plain."""

    def __init__(self, optimizer: str, kind: tuple[str, int] | None) -> None:
        made: dict[str, Any] = {}
        exec(MODEL, made)
        self._gradient, self._step = made["stepper"](optimizer)
        self._kind = kind

    def everywhere(self) -> Everywhere | None:
        # One that was left does not perturb the optimizers again that it knows.
        return None if self._kind is None else Everywhere(make_perturbation(*self._kind), strict=False)

    def block(self, steps: int) -> tuple[float, float]:
        """Return the processor time of a gradient and of an optimizer's step, in seconds."""
        rows = []
        with self.everywhere() or nullcontext():
            for number in range(-WARM, steps):
                began = time.process_time()
                self._gradient()
                middle = time.process_time()
                self._step()
                if number >= 0:
                    rows.append((middle - began, time.process_time() - middle))
        gradient, step = np.median(rows, axis=0)
        return gradient, step

    def record(self, folder: Path) -> float:
        """Return the processor time of one record, the median of 20."""
        recorder = Recorder(folder, 1)
        times = []

        def timed(met: Met) -> None:
            began = time.process_time()
            recorder.step(met)
            times.append(time.process_time() - began)

        with Everywhere(make_perturbation("identity", 0), on_step=timed):
            for _ in range(21):
                self._gradient()
                self._step()
        return float(np.median(times[1:]))


def steps(optimizer: str, rounds: int, count: int, seconds: float, folder: Path) -> None:
    twins = {"plain": Twin(optimizer, None), "again": Twin(optimizer, None)}
    twins |= {name: Twin(optimizer, kind) for name, kind in KINDS.items()}
    names, stream, rows = list(twins), np.random.default_rng(0), []
    until = time.perf_counter() + seconds
    for _ in range(rounds):
        taken = {names[place]: twins[names[place]].block(count) for place in stream.permutation(len(names))}
        rows.append([taken[name] for name in names])
        if len(rows) >= 5 and time.perf_counter() > until:
            break
    gradients, stepped = np.array(rows).transpose(2, 0, 1)
    plain = np.median(gradients[:, 0] + stepped[:, 0])
    print(f"{optimizer:<8} {'plain':<10} {1e3 * plain:5.1f} ms a step, {len(rows)} rounds")
    for place, name in enumerate(names[1:], 1):
        more = np.median(stepped[:, place] - stepped[:, 0])
        print(f"{optimizer:<8} {name:<10} {1e6 * more:5.0f} us   {1 + more / plain:5.3f}")
    print(f"{optimizer:<8} {'a record':<10} {1e6 * twins['again'].record(folder):5.0f} us")


def whole(optimizer: str, count: int, folder: Path) -> None:
    script = folder / "train.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), optimizer, str(count)]
    plain = float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    settings = LaunchSettings(perturbation=make_perturbation("rescale", 1), deterministic=False)
    run = run_command(words, Launch(settings=settings, folder=folder / f"run-{optimizer}"))
    print(f"{optimizer:<8} {'whole':<10} {float(run.stdout.read_text()) / plain:5.3f}   rescale, median step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=6, help="of a block")
    parser.add_argument("--seconds", type=float, default=15, help="at most for an optimizer, after five rounds")
    parser.add_argument("--whole", type=int, default=60, help="steps of the whole runs")
    arguments = parser.parse_args()
    print(f"load of the last minute, by core: {os.getloadavg()[0] / (os.cpu_count() or 1):.2f}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        starts(arguments.starts, Path(folder))
        for optimizer in ("SGD", "AdamW"):
            steps(optimizer, arguments.rounds, arguments.steps, arguments.seconds, Path(folder))
        whole("AdamW", arguments.whole, Path(folder))


if __name__ == "__main__":
    main()
