"""A metric in a file that the program writes: JSON, JSON lines, CSV or TSV, told apart by what is in it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics.documents import NumberText, at_path, leaves, number_at_leaf, parsed
from lastbit.launch.metrics.printed import PrintedNumber, printed_number
from lastbit.launch.metrics.series import MetricSeries, series_of
from lastbit.launch.metrics.spec import file_and_key
from lastbit.launch.metrics.written import content_of

__all__ = ["is_newer", "read_file"]

_STEPS = ("step", "global_step", "iteration", "iter", "epoch")
_DELIMITERS = ",;\t|"


def read_file(argument: str, folder: Path, since: float) -> MetricSeries:
    """Return the values at PATH:key.path of a file that was written since a time.

    JSON is searched by keys and list positions (see `at_path`), in JSON lines each line by itself; of CSV and TSV the
    key is a column's heading. Empty cells, null and lines without the key are no values. A heading that comes again
    begins anew: a file that several runs append to gives the values of the last. Where `step`, `global_step`,
    `iteration`, `iter` or `epoch` stands beside every value, it is its step. Nothing is evaluated or unpickled.

    Args:
        argument: PATH:key.path; a PATH with `*` is the newest file that fits, for programs that number their folders.
        folder: what PATH is relative to.
        since: the start of the run, seconds since 1970; an older file is not its own.

    Raises:
        LastbitError: the file is missing, older, too large or of another form, or there is no number at the key.
    """
    name, key = file_and_key(argument)
    path = _path(folder, name)
    text = content_of(path, since).decode("utf-8-sig", "replace")
    where = f"{name}, {key}"
    if text.lstrip()[:1] not in ("{", "["):
        return _of_table(text, key, where)
    try:
        documents = [parsed(text)]
    except ValueError:
        try:
            documents = _lines(text, path)
        except LastbitError:
            if path.suffix.lower() not in (".csv", ".tsv"):
                raise
            # Its headings begin with a bracket.
            return _of_table(text, key, where)
    return _of_documents(documents, key, where)


def is_newer(argument: str, folder: Path, time: float) -> bool:
    """Tell whether the file of PATH:key.path is there and was written to after a time."""
    try:
        return _path(folder, file_and_key(argument)[0]).stat().st_mtime > time
    except (LastbitError, OSError):
        return False


def _path(folder: Path, name: str) -> Path:
    return _newest(folder, name) if "*" in name else folder / name


def _newest(folder: Path, pattern: str) -> Path:
    root = Path(pattern).anchor
    try:
        found = (Path(root) if root else folder).glob(pattern.removeprefix(root))
        return max((path for path in found if path.is_file()), key=lambda path: path.stat().st_mtime)
    except (ValueError, OSError):
        raise LastbitError(f"no file fits --metric-file {pattern} after the run: name the one it writes") from None


def _lines(text: str, path: Path) -> list[Any]:
    lines = [line for line in text.splitlines() if line.strip()]
    documents = []
    for position, line in enumerate(lines):
        try:
            documents.append(parsed(line))
        except ValueError as error:
            # A run that was ended while it wrote leaves half a line.
            if position and position == len(lines) - 1:
                break
            raise LastbitError(
                f"{path} is neither JSON nor JSON lines (line {position + 1}: {error}): write one document, "
                "or one a line"
            ) from None
    return documents


def _of_documents(documents: Sequence[Any], key: str, where: str) -> MetricSeries:
    numbers: list[PrintedNumber] = []
    steps: list[int | None] = []
    for document in documents:
        for value in at_path(document, key):
            if value is None:
                continue
            number = number_at_leaf(value)
            if number is None:
                below = [f"{key}.{path}" for path, _ in leaves(value)]
                instead = f"write {below[0]}" if len(below) == 1 else f"write the path of one{_choice(below, '')}"
                raise LastbitError(f"{where}: {_kind(value)} is no number: {instead}")
            numbers.append(number)
        steps += _steps_beside(document, key, len(numbers) - len(steps))
    if not numbers:
        known = [path for document in (documents[0], documents[-1]) for path, _ in leaves(document)]
        raise LastbitError(f"{where}: there is no number at that key{_choice(known)}")
    return series_of(numbers, where, _whole(steps))


def _steps_beside(document: Any, key: str, values: int) -> list[int | None]:
    """The step in the same object as each value: of the line, or of each item of a list."""
    holder, _, leaf = key.rpartition(".")
    if not values:
        return []
    for name in _STEPS:
        if leaf == name:
            continue
        objects = [document] if not holder else list(at_path(document, holder))
        beside = [one[name] for one in objects if isinstance(one, dict) and name in one and one.get(leaf) is not None]
        if len(beside) == values:
            return [int(step) if isinstance(step, NumberText) and step.isdigit() else None for step in beside]
    return [None] * values


def _whole(steps: Sequence[int | None]) -> list[int] | None:
    known = [step for step in steps if step is not None]
    return known if len(known) == len(steps) else None


def _kind(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value[:40]) if isinstance(value, str) else str(value).lower()


def _choice(names: Iterable[str], otherwise: str = ", nor anywhere else") -> str:
    known = list(dict.fromkeys(names))
    more = ", …" if len(known) > 10 else ""
    return f": choose one of {', '.join(known[:10])}{more}" if known else otherwise


def _of_table(text: str, column: str, where: str) -> MetricSeries:
    lines = [line for line in text.splitlines(keepends=True) if line.strip() and not line.startswith("#")]
    if not lines or "\0" in lines[0]:
        raise LastbitError(
            f"{where}: the file is {'binary' if lines else 'empty'}: name one of JSON, JSON lines or CSV"
        )
    headings = {mark: _cells(lines[0], mark) for mark in _DELIMITERS}
    mark = next((mark for mark, cells in headings.items() if column in cells), "")
    if not mark:
        known = max(headings.values(), key=len)
        raise LastbitError(f"{where}: there is no column {column!r}{_choice(cell[:40] for cell in known if cell)}")
    heading = headings[mark]
    at = heading.index(column)
    step_at = next((heading.index(name) for name in _STEPS if name in heading and name != column), None)
    numbers: list[PrintedNumber] = []
    steps: list[int | None] = []
    try:
        for row in csv.reader(io.StringIO("".join(lines[1:])), delimiter=mark):
            cells = [cell.strip() for cell in row]
            if cells == heading:
                numbers, steps = [], []
                continue
            cell = cells[at] if at < len(cells) else ""
            if not cell:
                continue
            number = printed_number(cell)
            if number is None:
                raise LastbitError(f"{where}: {cell[:40]!r} is no number: name a column of numbers")
            numbers.append(number)
            step = cells[step_at] if step_at is not None and step_at < len(cells) else ""
            steps.append(int(step) if re.fullmatch("[0-9]{1,18}", step) else None)
    except csv.Error as error:
        raise LastbitError(f"{where}: it is no CSV ({error}): name a file of JSON, JSON lines or CSV") from None
    if not numbers:
        raise LastbitError(f"{where}: the column is empty: name one that the run fills")
    return series_of(numbers, where, _whole(steps))


def _cells(line: str, mark: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])]
    except csv.Error:
        return []
