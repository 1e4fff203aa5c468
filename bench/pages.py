"""What a reader waits for: the list of a thousand studies in `lastbit serve`, and the opening of a long report.

`python bench/pages.py` prints medians in seconds and their ratios: the list beside only reading the same files and
beside a second look, when nothing has changed; the report of a trace of 10,000 recorded steps of 60 tensors beside that
of a short one, each opened in a headless Chromium that is started anew. The studies are those of the tests: nobody
trained them.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import lastbit as lb
from lastbit.integrations.serve.shelf import Shelf

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 5
STUDIES = 1000
NAMES = ("study.json", "result.json", "runs.sqlite")


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def listing(folder: Path) -> None:
    """Print what the list of many studies costs."""
    model = ROOT / "tests" / "data" / "studies-format-1" / "audit"
    for number in range(STUDIES):
        (folder / f"study-{number}").mkdir(parents=True)
        for name in NAMES:
            shutil.copyfile(model / name, folder / f"study-{number}" / name)

    def reading() -> None:
        for path in folder.iterdir():
            for name in NAMES:
                content = (path / name).read_bytes()
                if name.endswith(".json"):
                    json.loads(content)

    taken: dict[str, list[float]] = {"reading alone": [], "the first list": [], "the list again": []}
    for _ in range(REPEATS):
        shelf = Shelf(folder)
        taken["reading alone"].append(seconds(reading))
        taken["the first list"].append(seconds(shelf.entries))
        time.sleep(1)
        taken["the list again"].append(seconds(shelf.entries))
    show(taken)


def opening(folder: Path) -> None:
    """Print what the report of a long trace costs beside that of a short one."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from browser import browse
    from small_traces import write_trace

    long = write_trace(folder / "long", steps=np.arange(0, 10_001), names=tuple(f"layer.{i}.weight" for i in range(60)))
    pages = {"a short trace": write_trace(folder / "short"), "10,000 steps of 60 tensors": long}
    reports = {name: lb.open_study(study).report() for name, study in pages.items()}
    taken: dict[str, list[float]] = {name: [] for name in reports}
    for turn in range(REPEATS):
        for number, (name, report) in enumerate(reports.items()):
            profile = folder / f"profile-{number}-{turn}"
            taken[name].append(seconds(partial(browse, report, profile, script=None)))
    show(taken)


def show(taken: dict[str, list[float]]) -> None:
    """Print medians, each as a ratio to the first."""
    first = statistics.median(next(iter(taken.values())))
    for name, times in taken.items():
        middle = statistics.median(times)
        print(f"{name:<28} {middle:6.3f} s  {middle / first:5.2f} (from {min(times):.3f} to {max(times):.3f} s)")


def main() -> None:
    """Measure both."""
    with tempfile.TemporaryDirectory() as folder:
        listing(Path(folder) / "studies")
        opening(Path(folder))


if __name__ == "__main__":
    main()
