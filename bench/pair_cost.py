"""What it costs to run a program twice in lock step, and what an operation costs that only passes through.

    python bench/pair_cost.py [--runs 3]

Passing through: the steps of a small MLP and CNN with AdamW, one thread, plain and with the tape off, in turn; the
difference is shared among the operations that the dispatcher runs in a step. The aim is at most 8 microseconds.
Taped: the same steps with the tape on, beside the plain ones.
A pair: `python train.py`, run twice one after the other, against one pair in lock step, on the clock on the wall and in
processor time, start-up and all; the aim is at most 4 times the two plain runs.

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
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from lastbit.launch.pair.run import run_pair
from lastbit.launch.pair.tape import OpRecorder
from lastbit.launch.settings import Launch, LaunchSettings

MODELS = """
def mlp():
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10))
    return model, torch.randn(32, 20), torch.randint(10, (32,))

def cnn():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32),
        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 49, 10),
    )
    return model, torch.randn(64, 1, 28, 28), torch.randint(10, (64,))

def large():
    model = nn.Sequential(nn.Linear(1024, 4096), nn.GELU(), nn.Linear(4096, 1024), nn.Linear(1024, 2048))
    return model, torch.randn(64, 1024), torch.randint(10, (64,))
"""

SCRIPT = (
    "import sys, torch\nfrom torch import nn\ntorch.manual_seed(0)\ntorch.set_num_threads(1)\n"
    + MODELS
    + """
model, inputs, targets = globals()[sys.argv[1]]()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for _ in range(int(sys.argv[2])):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
"""
)

STEPS = {"mlp": 2000, "cnn": 200, "large": 40}


def fail(error: Exception) -> None:
    raise error


def step_seconds(name: str, count: int, done: Callable[[], None] = lambda: None) -> float:
    """The processor time of a step that few others disturb: nine tenths take longer."""
    space: dict[str, object] = {"torch": torch, "nn": nn}
    exec(MODELS, space)
    model, inputs, targets = space[name]()  # type: ignore[operator]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times = []
    for _ in range(count):
        began = time.process_time()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        times.append(time.process_time() - began)
        done()
    return sorted(times)[count // 10]


def in_process(runs: int) -> None:
    for name, count in {"mlp": 300, "cnn": 40, "large": 8}.items():
        plain, through, taped, operations = [], [], [], 0
        for _ in range(runs):
            plain.append(step_seconds(name, count))
            recorder = OpRecorder(fail)
            with recorder.mode():
                through.append(step_seconds(name, count))
                recorder.on = True
                step_seconds(name, 1)
                first = len(recorder.ops)
                step_seconds(name, 2)
                operations = len(recorder.ops) - 2 * first
                recorder.cut()
                taped.append(step_seconds(name, count, recorder.cut))
        a, b, c = (1e6 * statistics.median(times) for times in (plain, through, taped))
        print(
            f"{name:<8} {operations:4d} operations a step: plain {a:8.0f} us, off {b:8.0f} us "
            f"({(b - a) / operations:5.1f} us an operation), on {c:8.0f} us ({c / a:.2f} times)"
        )


def children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def whole(runs: int, folder: Path) -> None:
    script = folder / "train.py"
    script.write_text(SCRIPT)
    for name, count in STEPS.items():
        words = [sys.executable, str(script), name, str(count)]
        walls, spent, sizes = [], [], []
        for _ in range(runs):
            began, used = time.perf_counter(), children()
            for _ in range(2):
                subprocess.run(words, check=True, capture_output=True)
            plain, plain_used = time.perf_counter() - began, children() - used
            began, used = time.perf_counter(), children()
            pair = run_pair(words, Launch(settings=LaunchSettings(threads=1), folder=folder / name))
            walls.append((time.perf_counter() - began) / plain)
            spent.append((children() - used) / plain_used)
            sizes.append(plain)
            assert pair.identical
        print(
            f"{name:<8} {count:5d} steps: two plain runs {statistics.median(sizes):6.1f} s, a pair "
            f"{statistics.median(walls):.2f} times that, in processor time {statistics.median(spent):.2f} times"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("load", os.getloadavg())
    in_process(arguments.runs)
    with tempfile.TemporaryDirectory() as folder:
        whole(arguments.runs, Path(folder))
    print("load", os.getloadavg())


if __name__ == "__main__":
    main()
