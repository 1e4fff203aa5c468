"""What worker processes gain for a sweep of `lastbit eos`, four trainings of the default network: ratios of one run.

    python bench/eos_sweep.py [--rounds 3] [--steps 1500]

Each round trains the same four cells (seeds 0 to 3, with repeat and two twins) one after another in one process, then
shared by one process per core with one thread each; process start and conclusion are counted, the bits compared.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from lastbit import eos
from lastbit.train.executors.choose import default_workers

CELLS = 4


def seconds(workers, steps, folder):
    """Return how long the sweep takes, and every sharpness that it measures."""
    begun = time.perf_counter()
    study = eos("digits", seeds=CELLS, steps=steps, workers=workers, out=folder, quiet=True)
    taken = time.perf_counter() - begun
    return taken, [cell.sharpness for cell in study.result.cells]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    ratios, workers = [], min(default_workers(), CELLS)
    with tempfile.TemporaryDirectory() as place:
        for number in range(options.rounds):
            one, serial = seconds(1, options.steps, Path(place) / f"serial{number}")
            several, shared = seconds(workers, options.steps, Path(place) / f"shared{number}")
            assert serial == shared, "the processes trained other bits"
            ratios.append(one / several)
            print(
                f"  one process {one:5.1f} s, {workers} processes {several:5.1f} s, ratio {ratios[-1]:.2f}", flush=True
            )
    print(f"1 process / {workers} processes, {CELLS} cells: median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
