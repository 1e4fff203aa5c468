"""The results of runs from a CSV file: `seed,value` in rows, or one run a column."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from lastbit.core.errors import LastbitError

__all__ = ["read_table"]

_FORMS = "a header seed,value with a row for each run, or one row of numbers, a column for each run"


def read_table(path: Path) -> tuple[tuple[float, ...], tuple[str, ...] | None]:
    """Return the values of a table, and the seed of each where it names them.

    Three forms are read: `seed,value` in rows under a header; one row of numbers, with names of the runs above it or
    without; one column of numbers, with a name above it or without.

    Args:
        path: of the file; fields are separated by commas, tabs or semicolons.

    Raises:
        LastbitError: it cannot be read, is of another form, or a value is no finite number; says in which line.
    """
    rows = _rows(path)
    line, first = rows[0]
    if any(map(_is_number, first)):
        header = None
        for place in range(len(first)):
            _number(path, line, first, place)
    else:
        header = [word.lower() for word in rows.pop(0)[1]]
    if not rows:
        raise LastbitError(f"{path} has no numbers: write {_FORMS}")
    width = len(rows[0][1])
    if header is not None and "seed" in header:
        if width != 2 or len(header) != 2:
            beside = ", ".join(name for name in header if name != "seed") or "none"
            raise LastbitError(f"{path} must have one column beside seed, and has {beside}: keep seed and one value")
        seed = header.index("seed")
        for line, row in rows:
            if not row[seed]:
                raise LastbitError(f"line {line} of {path} names no seed: write it, or leave that run out")
        values = [_number(path, line, row, 1 - seed) for line, row in rows]
        return tuple(values), tuple(row[seed] for _, row in rows)
    if len(rows) == 1:
        line, row = rows[0]
        return tuple(_number(path, line, row, place) for place in range(len(row))), None
    if width == 1:
        return tuple(_number(path, line, row, 0) for line, row in rows), None
    raise LastbitError(
        f"{path} has {len(rows)} rows of {width} columns, and which of them are runs is not clear: {_FORMS}"
    )


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, each with the number of its line."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise LastbitError(f"cannot read {path} ({reason}): name a CSV file with {_FORMS}") from None
    head = text.partition("\n")[0]
    separator = next((one for one in "\t;" if one in head), ",")
    reader = csv.reader(text.splitlines(), delimiter=separator, skipinitialspace=True)
    rows = [(reader.line_num, [word.strip() for word in row]) for row in reader if any(word.strip() for word in row)]
    if not rows:
        raise LastbitError(f"{path} is empty: write {_FORMS}")
    for line, row in rows:
        if len(row) != len(rows[0][1]):
            raise LastbitError(f"line {line} of {path} has {len(row)} columns, and the first has {len(rows[0][1])}")
    return rows


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _number(path: Path, line: int, row: Sequence[str], place: int) -> float:
    word = row[place]
    if not _is_number(word) or not math.isfinite(float(word)):
        raise LastbitError(
            f"line {line} of {path} has {word!r} where a finite number must stand: leave that run out, or mend it"
        )
    return float(word)
