"""Small audits drawn from a random generator, kept and concluded by the rooms that do so for real; none is trained."""

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.core.status import Role, RunStatus
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.result import conclude

__all__ = ["HOSTILE", "StudyMaker", "taken_out"]

HOSTILE = (
    '</script><script>document.documentElement.dataset.pwned="1"</script><img src=x onerror='
    "document.documentElement.dataset.pwned=2>"
    "<!--<script>\"'&amp;`${x}`{{ 7*7 }}{% raw %}%{x}\u2028é漢🙂"
)
"""A name that tries to be markup, script, template, plotly variable and more."""

STEPS_PER_EPOCH, EPOCHS, WEIGHTS, EXAMPLES = 10, 3, 20, 50


class StudyMaker:
    """Writes study folders without training anything."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made = 0

    def __call__(
        self,
        *,
        seeds: int = 3,
        perturbations: int = 3,
        name: str = "digits",
        metric: str = "accuracy",
        label: str = "k = {}",
        message: str = "",
        command: str = "lastbit audit --task digits",
        event: str = "",
        diverged: Collection[tuple[int, int]] = (),
        crashed: Collection[tuple[int, int]] = (),
        repeats_match: bool = True,
        landed: bool = True,
        classes: bool = True,
        steps_per_epoch: int = STEPS_PER_EPOCH,
        edit: Callable[[dict[str, Any]], None] = lambda result: None,
        finished: bool = True,
    ) -> Path:
        self.made += 1
        path = self.root / f"study-{self.made}"
        facts = {
            "kind": "audit",
            "spec": {
                "settings": {"seeds": seeds, "perturbations": perturbations, "perturb": "rescale", "dtype": "float32"}
            },
            "command": command,
            "task": {
                "name": name,
                "settings": {"model": "cnn", "nesterov": True},
                "metric": {"name": metric, "unit": "%"},
                "train_size": 100,
                "test_size": EXAMPLES,
                "steps": EPOCHS * steps_per_epoch,
                "steps_per_epoch": steps_per_epoch,
            },
            "environment": {"lastbit": "0.1.0", "torch": "2.13.0", "processor": name, "mkl": True},
            "execution": {"workers": 2, "threads": 1, "reason": "as asked"},
        }
        with StudyFolder.create(path, facts) as folder:
            for seed in range(seeds):
                for index in (*range(perturbations), -1):
                    control = index < 0
                    perturbation = max(index, 0)
                    status = RunStatus.OK
                    if not control and (seed, perturbation) in diverged:
                        status = RunStatus.DIVERGED
                    if not control and (seed, perturbation) in crashed:
                        status = RunStatus.CRASHED
                    words = (
                        "repeat"
                        if control
                        else label.replace("{}", str(2 * perturbation + 1), 1)
                        if perturbation
                        else "unperturbed"
                    )
                    noise = perturbation if landed else 0
                    if control and not repeats_match:
                        noise = 99
                    run = f"seed{seed:03d}-" + ("repeat" if control else f"p{perturbation:03d}")
                    arrays, metrics = _numbers(seed, noise, status, classes, metric, steps_per_epoch)
                    if status != RunStatus.CRASHED:
                        folder.files(run).arrays(arrays)
                    folder.add(
                        RunRecord(
                            run=run,
                            cell=seed,
                            role=Role.REPEAT if control else Role.TWIN if perturbation else Role.BASE,
                            twin=perturbation,
                            label=words,
                            status=status,
                            message="" if status == RunStatus.OK else message or "the training loss is not finite",
                            seconds=1.5,
                            steps=() if status == RunStatus.CRASHED else _ends(steps_per_epoch),
                            metrics={} if status == RunStatus.CRASHED else metrics,
                        )
                    )
            if event:
                folder.event("crashed", event, "seed000-p001")
            if finished:
                result = conclude(folder).to_json()
                edit(result)
                folder.save_result(result)
        return path


def _ends(steps_per_epoch: int) -> tuple[int, ...]:
    return tuple(steps_per_epoch * (epoch + 1) for epoch in range(EPOCHS))


def _numbers(
    seed: int, noise: int, status: RunStatus, classes: bool, metric: str, steps_per_epoch: int
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, list[float]]]:
    base, twin = np.random.default_rng(seed), np.random.default_rng([seed, noise])
    steps = EPOCHS * steps_per_epoch
    size = 1e-7 if noise else 0.0
    losses = 2 / (1 + np.arange(steps)) + 0.1 * base.random(steps)
    losses = losses + size * np.exp(np.arange(steps) * 12 / steps) * twin.standard_normal(steps)
    weights = base.standard_normal(WEIGHTS) + (1e-3 * twin.standard_normal(WEIGHTS) if noise else 0.0)
    first = base.standard_normal(WEIGHTS) + (1e-7 * twin.standard_normal(WEIGHTS) if noise else 0.0)
    right = base.random(EXAMPLES) < 0.9
    if noise:
        flip = twin.integers(EXAMPLES, size=3)
        right[flip] = ~right[flip]
    if status == RunStatus.DIVERGED:
        losses[steps // 2 :] = np.nan
        weights = np.full(WEIGHTS, np.nan)
    arrays = {
        "weights_first": first.astype(np.float32),
        "weights_final": weights.astype(np.float32),
        "buffers_final": np.zeros(2),
        "losses": losses,
        "per_example": np.packbits(right),
    }
    if classes:
        arrays["predictions"] = right.astype(np.uint8)
    share = 100 * float(right.mean())
    curves = losses.reshape(EPOCHS, -1).mean(axis=1)
    metrics = {
        "train_loss": curves.tolist(),
        "test_loss": (1.1 * curves).tolist(),
        metric: [0.8 * share, 0.9 * share, share],
    }
    return arrays, metrics


def taken_out(path: Path, prefix: str) -> dict[str, RunRecord]:
    """Take the runs whose names begin so out of the database, and return them, to be added one by one."""
    with StudyFolder.resume(path) as folder:
        found = {run.run: run for run in folder.runs() if run.run.startswith(prefix)}
    with closing(sqlite3.connect(path / "runs.sqlite")) as database, database:
        for table in ("metrics", "runs"):
            database.execute(f"DELETE FROM {table} WHERE run LIKE ?", (f"{prefix}%",))
    return found
