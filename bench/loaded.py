"""How much longer a study takes beside other busy processes, against what a fair share of the cores would give.

`python bench/loaded.py` takes the trace of a small digits network, alone and beside busy processes, with the threads
that lastbit chooses. With `b` busy processes on `c` cores the load is n = (b + 1) / c, at least 1, and the study
should take at most 1.5 n times what it takes alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

BUSY = "while True: sum(range(100_000))"
CORES = len(os.sched_getaffinity(0))
STUDY = ["trace", "--epochs", "2", "--train-size", "500", "--twins", "2", "--every", "4", "--quiet"]


def seconds(busy: int) -> float:
    """Return how long the study takes beside so many busy processes."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            call = f"import sys; from lastbit.cli.app import main; sys.exit(main({[*STUDY, '--out', folder + '/s']!r}))"
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", call], check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - begun
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> int:
    """Measure, print a table, and return 1 where the target is missed."""
    alone = min(seconds(0) for _ in range(2))
    print(f"alone on {CORES} cores: {alone:.1f} s (load of the machine before: {os.getloadavg()[0]:.1f})")
    missed = False
    for busy in (CORES, 3 * CORES):
        load, found = max(1.0, (busy + 1) / CORES), seconds(busy)
        allowed = 1.5 * load * alone
        missed |= found > allowed
        print(
            f"beside {busy} busy processes (load {load:.1f}): {found:.1f} s, {found / alone:.1f} times; "
            f"at most {allowed:.1f} s"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
