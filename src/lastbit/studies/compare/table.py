"""The results of runs from a CSV file: `seed,value` in rows, or one run a column."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lastbit.core.errors import LastbitError, choose

__all__ = ["Table", "read_table"]

_FORMS = "a header seed,value with a row for each run, or one row of numbers, a column for each run"


_UNNAMED = ("value", "values")
"""Headings that say nothing of what was measured."""


@dataclass(frozen=True)
class Table:
    """The results of runs."""

    values: tuple[float, ...]
    seeds: tuple[str, ...] | None
    """Of each; None where it names none."""
    metric: str = ""
    """What its column is called; empty where that is `value`, or there is no column."""


def read_table(path: Path, metric: str | None = None) -> Table:
    """Return the values of a table, and the seed of each where it names them.

    Three forms are read: `seed,value` in rows under a header; one row of numbers, with names of the runs above it or
    without; one column of numbers, with a name above it or without.

    Args:
        path: of the file; fields are separated by commas, tabs or semicolons.
        metric: the column to read, where there are several beside the seed or their names are to be checked.

    Raises:
        LastbitError: it cannot be read, is of another form, has no such column, or a value is no finite number; says in
            which line.
    """
    rows = _rows(path)
    line, first = rows[0]
    if any(map(_is_number, first)):
        header = None
        for place in range(len(first)):
            _number(path, line, first, place)
    else:
        header = rows.pop(0)[1]
    if not rows:
        raise LastbitError(f"{path} has no numbers: write {_FORMS}")
    width = len(rows[0][1])
    names = [word.lower() for word in header or ()]
    if header is not None and "seed" in names:
        seed = names.index("seed")
        beside = [name for place, name in enumerate(header) if place != seed]
        if not beside or (len(beside) > 1 and metric is None):
            raise LastbitError(
                f"{path} must have one column beside seed, and has {', '.join(beside) or 'none'}: "
                + ("say which by --metric" if beside else "write seed and the value")
            )
        name = _column(path, beside, metric)
        place = header.index(name)
        for line, row in rows:
            if not row[seed]:
                raise LastbitError(f"line {line} of {path} names no seed: write it, or leave that run out")
        values = tuple(_number(path, line, row, place) for line, row in rows)
        return Table(values, tuple(row[seed] for _, row in rows), _named(name))
    if width == 1 and len(rows) > 1:
        name = _column(path, header, metric) if header else ""
        return Table(tuple(_number(path, line, row, 0) for line, row in rows), None, _named(name))
    if len(rows) == 1:
        line, row = rows[0]
        return Table(tuple(_number(path, line, row, place) for place in range(len(row))), None)
    raise LastbitError(
        f"{path} has {len(rows)} rows of {width} columns, and which of them are runs is not clear: {_FORMS}"
    )


def _column(path: Path, names: Sequence[str], metric: str | None) -> str:
    """Return the column that is meant, be it by another case; one that says nothing is what the user calls it.

    Raises:
        LastbitError: there is no such column.
    """
    if metric is None or (len(names) == 1 and not _named(names[0])):
        return names[0]
    by_name = {name.lower(): name for name in names}
    return by_name[choose(metric.lower(), by_name, f"column of {path}")]


def _named(name: str) -> str:
    return "" if name.lower() in _UNNAMED else name


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
    if re.fullmatch(r"[-+]?\d+,\d+", word):
        point = word.replace(",", ".")
        raise LastbitError(f"line {line} of {path} has {word!r}: write {point}, with a point")
    if not _is_number(word) or not math.isfinite(float(word)):
        raise LastbitError(
            f"line {line} of {path} has {word!r} where a finite number must stand: leave that run out, or mend it"
        )
    return float(word)
