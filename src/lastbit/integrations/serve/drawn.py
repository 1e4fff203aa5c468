"""Studies as pages: opened from a snapshot, drawn when they change, and in one line where they cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lastbit.core.errors import LastbitError
from lastbit.integrations.serve.kept import Kept
from lastbit.integrations.serve.shelf import Shelf, Stamp, in_one_line, is_at_work, stamp_of
from lastbit.report.blocks import Block, Column, FigureBlock, Page, Prose, Row, Section, Table
from lastbit.studies.kinds import open_study

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
        _refuse_links(path)
        study = open_study(path, snapshot=True)
        page = study.page
        state = "running" if held else "finished" if study.result.finished else "stopped"
        shown = Shown(path.name, (stamp, state), state, page, None, study.to_json())
        return replace(shown, main=render_main(page, shown.address))
    except Exception as error:  # a study from elsewhere may hold anything; the line says what was found
        line = in_one_line(error)
        return Shown(path.name, ((), line), "damaged", None, None, None, line)


def _refuse_links(path: Path) -> None:
    """Refuse a study whose arrays or weights are links.

    Raises:
        LastbitError: one is.
    """
    for folder in (path / name for name in ("arrays", "checkpoints", "weights")):
        if folder.is_dir():
            with os.scandir(folder) as found:
                for one in found:
                    if one.is_symlink():
                        raise LastbitError(f"{folder.name}/{one.name} is a link to another place")


_CLOSING = ("The exact command to repeat it", "Task", "Environment", "Events")
"""Sections that say how a study was made: of two studies, only where they differ is shown."""

_DIFFERENCES = 80


def side_by_side(one: Page, two: Page, results: tuple[Mapping[str, Any], Mapping[str, Any]]) -> list[Section]:
    """Return the sections of two pages in turn, those of one heading beside each other, after where the studies differ.

    Args:
        one: the page on the left.
        two: the page on the right.
        results: what the two studies concluded.
    """
    left, right = (_own_sections(page, letter) for page, letter in ((one, "A"), (two, "B")))
    sections = [Section("Where they differ", [_differences(*results)])]
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


def _differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> Table | Prose:
    """Return the settings and facts in which two studies differ."""
    parts = ("kind", "spec", "task", "environment")
    left, right = ({name: value for part in parts for name, value in _flat(part, of.get(part))} for of in (one, two))
    names = [name for name in dict.fromkeys([*left, *right]) if left.get(name) != right.get(name)]
    if not names:
        return Prose(("In no setting, task or version.",))
    rows = [Row((name, left.get(name, "–"), right.get(name, "–"))) for name in names[:_DIFFERENCES]]
    more = len(names) - len(rows)
    return Table([Column(""), Column("A"), Column("B")], rows, f"and {more} more" if more else "", fold=_DIFFERENCES)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested objects as text, by their dotted names."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}", part)
    elif value is not None:
        text = str(value)
        yield name, text if len(text) <= 200 else f"{text[:199]}…"
