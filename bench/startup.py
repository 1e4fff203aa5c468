"""What the first answer waits for: `lastbit --help`, and `import lastbit`.

`python bench/startup.py` starts Python anew for each, in turns, and prints medians in seconds with their budgets.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REPEATS = 9
STARTS = {
    "python": "pass",
    "import lastbit": "import lastbit",
    "lastbit --help": "import sys; from lastbit.cli import main; sys.exit(main(['--help']))",
    "lastbit audit --help": "import sys; from lastbit.cli import main; sys.exit(main(['audit', '--help']))",
    "import torch": "import torch",
    "import lastbit, torch, and all that makes a study": "import torch, lastbit; lastbit.audit",
}


def seconds(code: str) -> float:
    """Return how long a fresh Python takes to run the code."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> int:
    """Measure, print a table, and return 1 where a budget is exceeded."""
    taken: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(REPEATS):
        for name, code in STARTS.items():
            taken[name].append(seconds(code))
    median = {name: statistics.median(times) for name, times in taken.items()}
    for name, value in median.items():
        print(f"{name:<52} {value:6.3f} s")
    beyond, help_ = median["import lastbit"] - median["python"], median["lastbit --help"]
    print(f"`lastbit --help`: {help_:.3f} s (budget 0.5), {help_ / median['import torch']:.2f} of an import of torch")
    print(f"`import lastbit`: {beyond:.3f} s (budget 0.3)")
    return int(help_ > 0.5 or beyond > 0.3)


if __name__ == "__main__":
    sys.exit(main())
