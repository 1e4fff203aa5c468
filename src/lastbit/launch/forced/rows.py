"""A table as it is written while a run goes on: one line of JSON for each row, so that what was written can be read.

- `tensors`: new columns, each with its name, role, number of elements and format; they count up from 0.
- `row`: the columns that were compared at a step (`at`, little-endian 32-bit numbers in base64) and their values
  (float64 in base64, in the order of `COLUMNS`, then the number of unequal elements).
- `mismatch`, `facts`: as in `ForcedTable`; facts of later lines replace those of earlier ones.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.launch.forced.table import COLUMNS, ForcedTable, ForcedTensor, Mismatch, Role

__all__ = ["Row", "TableWriter", "read_rows"]

Row = Mapping[str, NDArray[np.float64]]
"""Of some tensors: arrays by the names of `COLUMNS`, NaN by default, and `unequal`, -1 by default."""


class TableWriter:
    """Writes one table.

    Args:
        path: of the file of lines, which is made with the first of them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[str, str], int] = {}
        self._lines: list[dict[str, Any]] = []

    def row(self, step: int, tensors: Sequence[ForcedTensor], values: Row) -> None:
        """Note what a step's comparison gave for some tensors."""
        if not tensors:
            return
        new = [one for one in tensors if (one.role, one.name) not in self._known]
        for one in new:
            self._known[one.role, one.name] = len(self._known)
        if new:
            self._lines.append({"tensors": [[one.name, one.role, one.elements, one.dtype] for one in new]})
        at = np.array([self._known[one.role, one.name] for one in tensors], dtype="<i4")
        nothing = np.full(len(at), np.nan)
        parts = [np.asarray(values.get(name, nothing), dtype="<f8") for name in COLUMNS]
        parts.append(np.asarray(values.get("unequal", np.full(len(at), -1.0)), dtype="<f8"))
        self._lines.append({"row": step, "at": _text(at), "values": _text(np.stack(parts))})

    def mismatch(self, one: Mismatch) -> None:
        """Note that something differs."""
        self._lines.append({"mismatch": [one.step, one.what, one.name, one.reference, one.candidate]})

    def facts(self, **facts: Any) -> None:
        """Note what is known besides."""
        self._lines.append({"facts": facts})

    def flush(self) -> None:
        """Write what was noted."""
        if self._lines:
            text = "".join(json.dumps(line) + "\n" for line in self._lines)
            self._lines = []
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)


def read_rows(path: Path) -> ForcedTable:
    """Read what a `TableWriter` wrote, up to where it was cut off.

    Of a tensor that was compared more than once in a step, the comparison with the largest difference is kept.
    """
    tensors: list[ForcedTensor] = []
    rows: dict[int, dict[int, NDArray[np.float64]]] = {}
    mismatches: list[Mismatch] = []
    facts: dict[str, Any] = {}
    for text in path.read_bytes().split(b"\n")[:-1]:  # the last ends without a newline, where it was cut off
        line = json.loads(text)
        if "tensors" in line:
            tensors += [ForcedTensor(name, Role(role), *rest) for name, role, *rest in line["tensors"]]
        elif "row" in line:
            at = np.frombuffer(b64decode(line["at"]), dtype="<i4")
            values = np.frombuffer(b64decode(line["values"]), dtype="<f8").reshape(-1, len(at))
            kept = rows.setdefault(line["row"], {})
            for column, value in zip(at.tolist(), values.T, strict=True):
                if column not in kept or _further(value, kept[column]):
                    kept[column] = value
        elif "mismatch" in line:
            mismatches.append(Mismatch(*line["mismatch"]))
        else:
            facts |= line["facts"]
    return _table(tensors, rows, tuple(mismatches), facts)


def _further(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Tell whether a comparison found more than another: what cannot be compared is most."""
    return bool(one[0] > other[0] or np.isnan(one[0]))


def _table(
    tensors: list[ForcedTensor],
    rows: dict[int, dict[int, NDArray[np.float64]]],
    mismatches: tuple[Mismatch, ...],
    facts: dict[str, Any],
) -> ForcedTable:
    steps = sorted(rows)
    values = np.full((len(COLUMNS) + 1, len(steps), len(tensors)), np.nan)
    values[-1] = -1
    for place, step in enumerate(steps):
        columns = list(rows[step])
        values[:, place, columns] = np.stack(list(rows[step].values()), axis=1)
    floats = dict(zip(COLUMNS, values[:-1], strict=True))
    return ForcedTable(
        tensors=tuple(tensors),
        steps=np.array(steps, dtype=np.int64),
        **floats,
        unequal=values[-1].astype(np.int64),
        mismatches=mismatches,
        facts=facts,
    )


def _text(array: NDArray[Any]) -> str:
    return b64encode(array.tobytes()).decode()
