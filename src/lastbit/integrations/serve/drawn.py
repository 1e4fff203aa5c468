"""Studies as pages: opened from a snapshot, drawn when they change, and in one line where they cannot be."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lastbit.core.errors import LastbitError
from lastbit.integrations.serve.kept import Kept
from lastbit.integrations.serve.shelf import Shelf, Stamp, cut, in_one_line, is_at_work, opened_study, stamp_of
from lastbit.report.blocks import Block, Column, FigureBlock, Page, Prose, Row, Section, Table

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Drawings", "Shown", "side_by_side"]

_PAGES = 24
"""Pages that are kept in memory, one to three megabytes each."""


@dataclass(frozen=True)
class Shown:
    """A study as it is now."""

    name: str
    stamp: tuple[Stamp, str]
    """Of its files, and its state."""
    state: str
    page: Page | None
    """None where it cannot be shown."""
    main: Markup | None
    """The page as HTML."""
    result: Mapping[str, Any] | None
    damage: str = ""
    """In one line why it cannot be shown."""

    @property
    def address(self) -> str:
        """Where it is served."""
        return f"/study/{quote(self.name, safe='')}"


class Drawings:
    """The studies of a shelf, each drawn once for every state that it is asked for in."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._kept: Kept[Shown] = Kept(_PAGES)

    def of(self, name: str) -> Shown | None:
        """Return a study; None where there is none of that name."""
        path = self._shelf.path(name)
        if path is None:
            return None
        return self._kept.get(name, lambda: _present(path), lambda: _draw(path))


def _present(path: Path) -> tuple[Stamp, bool] | None:
    try:
        return stamp_of(path), is_at_work(path)
    except (LastbitError, OSError):
        return None


def _draw(path: Path) -> Shown:
    # Drawing libraries take a second to import: whoever only lists studies does not wait for them.
    from lastbit.report.html import render_main

    try:
        stamp, held = stamp_of(path), is_at_work(path)
        study = opened_study(path)
        page = study.page
        state = "running" if held else "finished" if study.result.finished else "stopped"
        shown = Shown(path.name, (stamp, state), state, page, None, study.to_json())
        return replace(shown, main=render_main(page, shown.address))
    except Exception as error:  # a study from elsewhere may hold anything; the line says what was found
        line = in_one_line(error)
        return Shown(path.name, ((), line), "damaged", None, None, None, line)


_CLOSING = ("The exact command to repeat it", "Task", "Environment", "Events")
"""Sections that say how a study was made: of two studies, only where they differ is shown."""

_DIFFERENCES = 80

_LONGEST = 200
"""Characters that are shown of a setting."""


def side_by_side(one: Page, two: Page, results: tuple[Mapping[str, Any], Mapping[str, Any]]) -> list[Section]:
    """Return the sections of two pages in turn, those of one heading beside each other, after where the studies differ.

    Args:
        one: the page on the left.
        two: the page on the right.
        results: what the two studies concluded.
    """
    left, right = (_own_sections(page, letter) for page, letter in ((one, "A"), (two, "B")))
    sections = [Section("Where they differ", _differences(*results))]
    for title in dict.fromkeys([*left, *right]):
        for letter, own in (("A", left), ("B", right)):
            nothing = Section("", [Prose((f"{letter} has nothing of this.",))])
            sections.append(replace(own.get(title, nothing), title=f"{title} · {letter}", half=True, training=""))
    return sections


def _own_sections(page: Page, letter: str) -> dict[str, Section]:
    """Return the sections of a page by their headings; of a sweep those of its first training."""
    shown = [section for section in page.sections if section.training in ("", *page.trainings[:1])]
    return {
        section.title: replace(section, blocks=[_named(block, letter) for block in section.blocks])
        for section in shown
        if section.title not in _CLOSING
    }


def _named(block: Block, letter: str) -> Block:
    """Return the block with a name that none of the other study has."""
    return replace(block, name=f"{letter}-{block.name}") if isinstance(block, FigureBlock) else block


def _differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[Block]:
    """Return the settings and facts in which two studies differ; of two kinds, those that both have."""
    parts = ("kind", "spec", "task", "environment")
    left, right = (dict(leaf for part in parts for leaf in _flat((part,), of.get(part))) for of in (one, two))
    paths = [path for path in dict.fromkeys([*left, *right]) if left.get(path) != right.get(path)]
    said: list[Block] = []
    if one.get("kind") != two.get("kind"):
        paths = [path for path in paths if path in left and path in right]
        said.append(Prose(("They are of two kinds: what only one kind has is not listed.",)))
    if not paths:
        return [*said, Prose(("In no setting, task or version.",))]
    # A task repeats most of what was asked: what differs alike under one name is said once.
    pairs = {path: (left.get(path, "–"), right.get(path, "–")) for path in paths}
    alike = defaultdict(set)
    for path, pair in pairs.items():
        alike[path[-1]].add(pair)
    rows = {path[-1] if len(alike[path[-1]]) == 1 else ".".join(path): pair for path, pair in pairs.items()}
    more = len(rows) - _DIFFERENCES
    shown = [Row((name, *pair)) for name, pair in list(rows.items())[:_DIFFERENCES]]
    note = f"and {more} more" if more > 0 else ""
    return [*said, Table([Column(""), Column("A"), Column("B")], shown, note, fold=_DIFFERENCES)]


def _flat(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the leaves of nested objects as text, by the names that lead to them."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat((*path, str(key)), part)
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for number, part in enumerate(value, 1):
            yield from _flat((*path[:-1], f"{path[-1]} {number}"), part)
    elif value is not None:
        digest = path[-1] == "fingerprint"
        yield path, "-".join(part[:8] for part in str(value).split("-")) if digest else cut(_worded(value), _LONGEST)


def _worded(value: Any) -> str:
    """Return a value in the words of JSON, a list without its brackets."""
    if isinstance(value, list):
        return ", ".join(_worded(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
