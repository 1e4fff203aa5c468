"""Ten settings over the four kinds of study, trained by two source trees, compared bit for bit.

As a script it trains all of them with whatever `lastbit` stands on the path (one process a tree, one thread):
`PYTHONPATH=TREE/src python same_bits.py FOLDER [SETTING ...]`.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PRODUCT = f"{ROOT / 'examples' / 'my_task.py'}:task"

SMALL = {"epochs": 2, "width": 3, "train_size": 120, "batch_size": 8}
SETTINGS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "audit-nesterov-augmented": ("audit", "digits", {**SMALL, "augment": "crop-flip", "seeds": 2, "perturbations": 3}),
    "audit-adamw-ulp-bfloat16": (
        "audit",
        "digits",
        {**SMALL, "optimizer": "adamw", "perturb": "ulp", "dtype": "bfloat16", "seeds": 2, "perturbations": 2},
    ),
    "audit-rmsprop-rounding-float64": (
        "audit",
        "digits",
        {
            **SMALL,
            "optimizer": "rmsprop",
            "momentum": 0.5,
            "perturb": "rounding",
            "dtype": "float64",
            "vary": "order",
            "schedule": "cosine",
            "norm": "none",
            "seeds": 2,
            "perturbations": 3,
        },
    ),
    "audit-file-reorder": ("audit", PRODUCT, {"epochs": 3, "perturb": "reorder", "seeds": 2, "perturbations": 3}),
    "trace-tangent-from-step": ("trace", "digits", {**SMALL, "twins": 2, "tangent": True, "from_step": 5, "seed": 3}),
    "trace-renormalised-sweep": (
        "trace",
        "digits",
        {**SMALL, "twins": 2, "renormalise": True, "perturb": "ulp", "lr": (0.1, 0.05), "scaled_time": True},
    ),
    "trace-object-float64": ("trace", None, {"twins": 2, "dtype": "float64", "every": 3}),
    "eos-flow-depths": (
        "eos",
        "digits",
        {"depth": (1, 3), "width": 6, "steps": 60, "train_size": 80, "flow": True, "lr": 0.4},
    ),
    "eos-adamw-rounding-batches": (
        "eos",
        "digits",
        {
            "optimizer": "adamw",
            "loss": "cross-entropy",
            "model": "cnn",
            "width": 4,
            "steps": 30,
            "train_size": 60,
            "batch_size": 20,
            "schedule": "step",
            "perturb": "rounding",
            "seeds": 2,
        },
    ),
    "sharpness-rmsprop-after": (
        "sharpness",
        "digits",
        {"optimizer": "rmsprop", "after": 40, "by": "tensor", "width": 8, "train_size": 120, "dtype": "float64"},
    ),
}
"""Kind, task (None for a Task object) and settings, by name."""

TIMES = frozenset({"seconds", "cost"})
"""Names of what a clock said."""

MAY_DIFFER = TIMES | {"lastbit", "created", "schema"}


def task_object() -> Any:
    """Return a Task that was written in Python: Adam with two parameter groups, and dropout."""
    import torch
    from torch import nn

    from lastbit import Task

    generator = torch.Generator().manual_seed(5)
    x = torch.randn(90, 7, generator=generator)
    y = (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] > 0.4).long()

    def optimizer(parameters: Any) -> Any:
        parameters = list(parameters)
        return torch.optim.Adam([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 3e-3}], lr=1e-2)

    return Task(
        name="two groups",
        model=lambda: nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.Dropout(0.2), nn.Linear(9, 3)),
        train=(x[:60], y[:60]),
        test=(x[60:], y[60:]),
        optimizer=optimizer,
        epochs=6,
        batch_size=10,
    )


def train(setting: str, folder: Path) -> None:
    """Make the study of one setting in `folder`, one after another on one thread."""
    import torch

    import lastbit as lb

    torch.set_num_threads(1)
    kind, task, options = SETTINGS[setting]
    if kind in ("audit", "eos"):
        options = {**options, "workers": 1}
    if kind != "sharpness":
        options = {**options, "quiet": True}
    getattr(lb, kind)(task_object() if task is None else task, out=folder, **options)


def train_all(folder: Path, settings: list[str]) -> None:
    """Make the study of each setting below `folder`; of one that fails, leave what it said as `SETTING.error`."""
    for setting in settings:
        try:
            train(setting, folder / setting)
        except Exception:
            (folder / f"{setting}.error").write_text(traceback.format_exc(), "utf-8")


def train_with(tree: Path, folder: Path) -> Path:
    """Make the studies of all settings with the `lastbit` of a source tree, in a process of its own."""
    folder.mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run([sys.executable, __file__, str(folder)], env=environment, cwd=folder, check=True)
    return folder


def failure(folder: Path, setting: str) -> str:
    """Return what a setting that failed said; empty where it did not fail."""
    path = folder / f"{setting}.error"
    return path.read_text("utf-8") if path.exists() else ""


def different_bits(before: Path, now: Path) -> list[str]:
    """Return a line for every array and metric of the study `before` that `now` lacks or has other bits of."""
    runs = {"before": _runs(before), "now": _runs(now)}
    if runs["before"].keys() != runs["now"].keys():
        return [f"runs were {sorted(runs['before'])}, now {sorted(runs['now'])}"]
    found = []
    pairs = [(str(role), runs["before"][role], runs["now"][role]) for role in runs["before"]]
    for role, old, new in pairs:
        found += _different_metrics(role, _metrics(before, old), _metrics(now, new))
    # What belongs to several runs together (the measures of a trace's twins) has a file of its own.
    shared = [_files(folder) - set(runs[side].values()) for side, folder in (("before", before), ("now", now))]
    if len(shared[0]) != len(shared[1]):
        found.append(f"shared files were {sorted(shared[0])}, now {sorted(shared[1])}")
    pairs += [(old, old, new) for old, new in zip(*map(sorted, shared), strict=False)]
    for role, old, new in pairs:
        found += _different_arrays(role, before / "arrays" / f"{old}.npz", now / "arrays" / f"{new}.npz")
    return found


def _runs(study: Path) -> dict[tuple[int, int, str], str]:
    """Return the names of a study's runs by (cell, twin, role)."""
    with closing(sqlite3.connect(study / "runs.sqlite")) as database:
        database.row_factory = sqlite3.Row
        rows = list(database.execute("SELECT * FROM runs"))
    if "role" in rows[0].keys():  # noqa: SIM118
        found = {(row["cell"], row["twin"], row["role"]): row["run"] for row in rows}
    else:
        eos = json.loads((study / "study.json").read_text("utf-8"))["kind"] == "eos"
        found = {}
        for row in rows:
            cell, twin = (row["perturbation"], 0) if eos else (row["seed"], row["perturbation"])
            role = "repeat" if row["control"] else "twin" if twin else "base"
            found[cell, twin, role] = row["run"]
    cells = {cell: number for number, cell in enumerate(sorted({cell for cell, _, _ in found}))}
    return {(cells[cell], twin, role): name for (cell, twin, role), name in found.items()}


def _files(study: Path) -> set[str]:
    return {path.stem for path in (study / "arrays").glob("*.npz")}


def _metrics(study: Path, run: str) -> dict[tuple[str, int], float | None]:
    with closing(sqlite3.connect(study / "runs.sqlite")) as database:
        rows = database.execute("SELECT name, step, value FROM metrics WHERE run = ?", (run,))
        return {(name, step): value for name, step, value in rows}


def _different_metrics(role: str, old: dict[tuple[str, int], Any], new: dict[tuple[str, int], Any]) -> list[str]:
    lacking = [f"{role}: metric {key} is missing" for key in old if key not in new]
    changed = [key for key in old if key in new and repr(old[key]) != repr(new[key])]
    return lacking + [f"{role}: metric {key} was {old[key]!r}, now {new[key]!r}" for key in changed]


def _different_arrays(role: str, old: Path, new: Path) -> list[str]:
    if old.exists() != new.exists():
        return [f"{role}: arrays {'are missing now' if old.exists() else 'are there now'}"]
    if not old.exists():
        return []
    found = []
    with np.load(old) as before, np.load(new) as now:
        for name in before.files:
            if name in MAY_DIFFER:
                continue
            if name not in now.files:
                found.append(f"{role}: array {name} is missing")
            elif before[name].dtype != now[name].dtype or before[name].shape != now[name].shape:
                one, two = (f"{array.dtype} {array.shape}" for array in (before[name], now[name]))
                found.append(f"{role}: array {name} was {one}, now {two}")
            elif before[name].tobytes() != now[name].tobytes():
                count = int((before[name] != now[name]).sum())
                found.append(f"{role}: array {name} differs in {count} of {before[name].size} elements")
    return found


def result_of(study: Path) -> dict[str, Any]:
    """Return what a study concluded, without the folder it lies in."""
    text = (study / "result.json").read_text("utf-8")
    return dict(json.loads(re.sub(re.escape(str(study)), "STUDY", text)))


if __name__ == "__main__":
    train_all(Path(sys.argv[1]), sys.argv[2:] or list(SETTINGS))
