"""Tables of stable learning rates as arrays, in which infinities keep; NaN stands for what is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from math import inf, isnan, nan
from typing import Any

import numpy as np

from lastbit.curvature import LayerStability, StableLearningRates

__all__ = ["former_stable_rows", "stable_arrays", "stable_rows"]

_FIELDS = [field.name for field in fields(LayerStability)]
_UNKNOWN = ("lr", "max_lr", "weight_decay", "sharpness_within", "smallest_within")
"""Fields that may be None, which is NaN in the arrays."""


def stable_arrays(tables: Mapping[int, StableLearningRates]) -> dict[str, np.ndarray]:
    """Return `stable_step` (Q,), `stable_layer` (L,), the whole last, and `stable_rows` (Q, L, fields).

    The fields are those of `LayerStability` from `size` on, both ends of `decay_interval` among them.
    """
    if not tables:
        return {}
    rows = [[*table.layers, table.whole] for table in tables.values()]
    return {
        "stable_step": np.array(list(tables)),
        "stable_layer": np.array([row.name for row in rows[0]]),
        "stable_rows": np.array([[_numbers(row) for row in table] for table in rows]),
    }


def stable_rows(arrays: Mapping[str, np.ndarray]) -> dict[int, StableLearningRates]:
    """Return the tables that `stable_arrays` took apart, by step."""
    if "stable_step" not in arrays:
        return {}
    names, found = arrays["stable_layer"].tolist(), {}
    for step, table in zip(arrays["stable_step"].tolist(), arrays["stable_rows"].tolist(), strict=True):
        *layers, whole = (_row(name, *numbers) for name, numbers in zip(names, table, strict=True))
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


def _numbers(row: LayerStability) -> np.ndarray:
    known = {**vars(row), "decay_interval": row.decay_interval or (None, None)}
    del known["name"]
    return np.hstack([np.array(value, dtype=float) for value in known.values()])


def _row(name: str, *numbers: float) -> LayerStability:
    # Studies of before have no certificates.
    size, *before, low, high, converged, products = numbers[: len(_FIELDS) - 2]
    within = numbers[len(_FIELDS) - 2 :] or (nan, nan)
    values = (name, int(size), *before, (low, high), bool(converged), int(products), *within)
    known: dict[str, Any] = dict(zip(_FIELDS, values, strict=True))
    if isnan(low):
        known["decay_interval"] = None if isnan(high) else (None, high)
    missing = [field for field in _UNKNOWN if isnan(known[field])]
    return LayerStability(**(known | dict.fromkeys(missing)))
