"""Tables of stable learning rates as arrays, in which infinities keep; NaN stands for what differs by group."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isnan, nan
from typing import Any

import numpy as np

from lastbit.curvature import LayerStability, StableLearningRates

__all__ = ["former_stable_rows", "stable_arrays", "stable_rows"]

Array = np.ndarray[Any, Any]

_COLUMNS = (
    "size",
    "sharpness",
    "smallest",
    "limit",
    "ratio",
    "lr",
    "max_lr",
    "lr_factor",
    "weight_decay",
    "lowest_decay",
    "highest_decay",
    "converged",
    "products",
)


def stable_arrays(tables: Mapping[int, StableLearningRates]) -> dict[str, Array]:
    """Return `stable_step` (Q,), `stable_layer` (L,), the whole last, and `stable_rows` (Q, L, columns)."""
    if not tables:
        return {}
    rows = [[*table.layers, table.whole] for table in tables.values()]
    return {
        "stable_step": np.array(list(tables)),
        "stable_layer": np.array([row.name for row in rows[0]]),
        "stable_rows": np.array([[_numbers(row) for row in table] for table in rows]),
    }


def stable_rows(arrays: Mapping[str, Array]) -> dict[int, StableLearningRates]:
    """Return the tables that `stable_arrays` took apart, by step."""
    if "stable_step" not in arrays:
        return {}
    names, found = arrays["stable_layer"].tolist(), {}
    for step, table in zip(arrays["stable_step"].tolist(), arrays["stable_rows"].tolist(), strict=True):
        *layers, whole = (
            _row(name, dict(zip(_COLUMNS, row, strict=True))) for name, row in zip(names, table, strict=True)
        )
        found[step] = StableLearningRates(tuple(layers), whole)
    return found


def former_stable_rows(tables: Mapping[str, Mapping[str, Any]]) -> dict[int, StableLearningRates]:
    """Return the tables that format 1 kept in `study.json`, where null stood for an infinity too."""
    return {
        int(step): StableLearningRates(tuple(map(former_row, table["layers"])), former_row(table["whole"]))
        for step, table in tables.items()
    }


def former_row(row: Mapping[str, Any]) -> LayerStability:
    """Return a row of format 1: a number that it lacks was infinite, unless the groups of the block differ in it."""
    ratio = inf if row["ratio"] is None else row["ratio"]
    known = {"limit": inf if row["limit"] is None else row["limit"], "ratio": ratio}
    known["lr_factor"] = inf if row["lr_factor"] is None else row["lr_factor"]
    if row["lr"] is not None and row["max_lr"] is None:
        known["max_lr"] = inf
    if row["decay_interval"] is not None:
        low, high = row["decay_interval"]
        # The upper end was minus infinity where the step is too long without any decay.
        unbounded = -inf if ratio > 1 else inf
        known["decay_interval"] = (low, unbounded if high is None else high)
    return LayerStability(**{**row, **known})


def _numbers(row: LayerStability) -> list[float]:
    low, high = row.decay_interval or (nan, nan)
    values = {**vars(row), "lowest_decay": low, "highest_decay": high}
    return [nan if values[name] is None else float(values[name]) for name in _COLUMNS]


def _row(name: str, row: Mapping[str, float]) -> LayerStability:
    known = {column: None if isnan(value) else value for column, value in row.items()}
    low, high = known["lowest_decay"], known["highest_decay"]
    return LayerStability(
        name=name,
        size=int(row["size"]),
        sharpness=row["sharpness"],
        smallest=row["smallest"],
        limit=row["limit"],
        ratio=row["ratio"],
        lr=known["lr"],
        max_lr=known["max_lr"],
        lr_factor=row["lr_factor"],
        weight_decay=known["weight_decay"],
        decay_interval=None if low is None or high is None else (low, high),
        converged=bool(row["converged"]),
        products=int(row["products"]),
    )
