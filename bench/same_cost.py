"""What it costs to hold a program against another step by step, in runs of that program.

    python bench/same_cost.py [--runs 3] [--thorough]

Programs with AdamW, one thread: a small MLP (of which the time per step is Python's), a CNN with batch norm and
dropout fed by a loader, and a network of 8 million weights, in which the exchange of weights and states weighs most.
Each is run plainly and then held against itself, start-up and all, in processor time: three runs with `--quick` (the
reference, the candidate, one that measures rounding), eight without.

Only ratios within one run count. The load of the machine is printed with them: figures from a busy one are no result.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lastbit.launch.forced.run import Side, run_forced
from lastbit.launch.settings import Launch, LaunchSettings

SCRIPT = """
import sys, torch
from torch import nn
torch.manual_seed(0)
torch.set_num_threads(1)

def mlp():
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10)), torch.randn(2048, 20), 32

def cnn():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.1),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32 * 49, 10),
    )
    return model, torch.randn(2048, 1, 28, 28), 64

def large():
    model = nn.Sequential(nn.Linear(1024, 4096), nn.GELU(), nn.Linear(4096, 1024), nn.GELU(), nn.Linear(1024, 10))
    return model, torch.randn(2048, 1024), 128

model, inputs, size = globals()[sys.argv[1]]()
data = torch.utils.data.TensorDataset(inputs, torch.randint(10, (len(inputs),)))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
steps = 0
while steps < int(sys.argv[2]):
    for x, y in torch.utils.data.DataLoader(data, batch_size=size, shuffle=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        steps += 1
"""

STEPS = {"mlp": 2048, "cnn": 320, "large": 48}


def children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def measured(name: str, words: list[str], folder: Path, runs: int, *, quick: bool) -> None:
    """Print what a check costs over a plain run, in processor time and on the wall."""
    many = {"jitters": 1, "double": False, "control": False} if quick else {}
    spent, walls, plain = [], [], []
    for _ in range(runs):
        began, used = time.perf_counter(), children()
        subprocess.run(words, check=True, capture_output=True)
        wall, one = time.perf_counter() - began, children() - used
        began, used = time.perf_counter(), children()
        side = Side(words)
        ran = run_forced(side, side, Launch(settings=LaunchSettings(threads=1), folder=folder / name), **many)
        walls.append((time.perf_counter() - began) / wall)
        spent.append((children() - used) / one)
        plain.append(one)
        assert ran.candidate.equal
    print(
        f"{name:<6} {len(ran.candidate.steps):5d} steps, {'quick' if quick else 'all':<5}: a plain run "
        f"{statistics.median(plain):5.1f} s, a check {statistics.median(spent):5.2f} of them in processor time "
        f"({min(spent):.2f} to {max(spent):.2f}), {statistics.median(walls):.2f} on the wall",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--thorough", action="store_true", help="the eight runs without --quick too")
    parser.add_argument("names", nargs="*", default=list(STEPS))
    arguments = parser.parse_args()
    print("load", os.getloadavg())
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(SCRIPT)
        for name in arguments.names:
            words = [sys.executable, str(script), name, str(STEPS[name])]
            for quick in (True, False) if arguments.thorough else (True,):
                measured(name, words, Path(folder), arguments.runs, quick=quick)
    print("load", os.getloadavg())


if __name__ == "__main__":
    main()
