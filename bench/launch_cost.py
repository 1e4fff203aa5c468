"""What it costs to run a program under lastbit: its start before torch is imported, and its steps.

    python bench/launch_cost.py [--starts 30] [--runs 5] [--steps 400]

Start-up: `python -c pass` with and without lastbit's folder on `PYTHONPATH`, in turn; the aim is at most 0.15 s more.
Steps: a small CNN (0.02 M weights, batch 64, one thread) trained by a script of its own, plain and launched with each
perturbation, in turn; the script itself takes the times, of the second half of its steps and of the processor, which
other work on the machine disturbs less than the clock on the wall, and the table shows medians of the ratio to
the plain run of the same turn. Hooks, perturbation and records are in it; the aim is at most 1.05.

Only ratios within one run count. The load of the machine is printed with them: figures from a busy one are no result.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lastbit.launch.command import run_command
from lastbit.launch.process import SITE
from lastbit.launch.settings import LaunchSettings
from lastbit.perturb.registry import make_perturbation

SCRIPT = """
import sys, time
import torch
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
    nn.MaxPool2d(2), nn.Conv2d(32, 48, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    nn.Linear(48, 10),
)
optimizer = getattr(torch.optim, sys.argv[1])(model.parameters(), lr=0.01)
inputs, targets = torch.randn(64, 1, 28, 28), torch.randint(10, (64,))
times = []
for _ in range(int(sys.argv[2])):
    began = time.process_time()
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    times.append(time.process_time() - began)
half = times[len(times) // 2:]
print(sum(half) / len(half))
"""

KINDS = {"counted": ("identity", 0), "rescale": ("rescale", 1), "rounding": ("rounding", 1), "auto": ("auto", 1)}


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


def steps(optimizer: str, runs: int, count: int, folder: Path) -> None:
    script = folder / "train.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), optimizer, str(count)]
    ratios: dict[str, list[float]] = {name: [] for name in KINDS}
    for _ in range(runs):
        plain = float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        for name, (kind, index) in KINDS.items():
            settings = LaunchSettings(perturbation=make_perturbation(kind, index), deterministic=False)
            run = run_command(words, settings=settings, folder=folder / "run")
            ratios[name].append(float(run.stdout.read_text()) / plain)
    for name, found in ratios.items():
        print(f"{optimizer:<8} {name:<10} {statistics.median(found):5.3f}   ({min(found):5.3f} to {max(found):5.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    arguments = parser.parse_args()
    print(f"load of the last minute, by core: {os.getloadavg()[0] / (os.cpu_count() or 1):.2f}")
    with tempfile.TemporaryDirectory() as folder:
        starts(arguments.starts, Path(folder))
        for optimizer in ("SGD", "AdamW"):
            steps(optimizer, arguments.runs, arguments.steps, Path(folder))


if __name__ == "__main__":
    main()
