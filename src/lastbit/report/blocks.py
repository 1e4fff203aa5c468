"""A study's page as data: the verdict and what to do first, then sections of blocks.

What stands on a page is composed by each kind of study, once; `html`, `text` and `markdown` render it and know no kind.
Every string that a page holds is taken for untrusted text: how it is made harmless is each renderer's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeVar

from lastbit.report.formatting import Shown

__all__ = [
    "Block",
    "Card",
    "Cards",
    "Code",
    "Column",
    "Columns",
    "Facts",
    "FigureBlock",
    "LegendEntry",
    "Mark",
    "Page",
    "Picture",
    "Prose",
    "Raw",
    "Row",
    "Section",
    "Sheet",
    "Table",
    "Tone",
    "columns",
    "estimate_table",
    "sheet_of",
    "table_of",
]

T = TypeVar("T")

Tone = Literal["pass", "attention", "failure"]

Mark = Literal[
    "fill", "band", "line", "dashed", "dotted", "point", "ring", "diamond", "cross", "triangle", "dash", "whisker"
]
"""How a legend draws what it names."""

Raw = str | float | None
"""What stands behind a cell: a number with all its digits, a text, or nothing."""


@dataclass(frozen=True)
class Card:
    """One number that matters, with its interval and the number of samples behind it."""

    title: str
    value: str
    interval: str = ""
    samples: str = ""
    note: str = ""
    measured: bool = True


@dataclass(frozen=True)
class Prose:
    """Paragraphs of text, or a list of items."""

    paragraphs: Sequence[str]
    bullets: bool = False


@dataclass(frozen=True)
class Code:
    """Text to copy, with a button that copies it."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names and their values."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers are aligned to the right."""

    title: str
    numeric: bool = False
    quiet: bool = False
    """Whether it is a remark, set smaller."""


def columns(text: Sequence[str], numeric: Sequence[str] = (), note: str = "") -> list[Column]:
    """Return columns by their titles: of text, then of numbers, then of remarks where there are any."""
    remarks = [Column(note, quiet=True)] if note else []
    return [*(Column(title) for title in text), *(Column(title, True) for title in numeric), *remarks]


@dataclass(frozen=True)
class Row:
    """A row of a table, one cell per column."""

    cells: Sequence[str]
    tone: Tone | None = None
    values: Sequence[float | None] = ()
    """The numbers behind the cells, one for each, by which a table is sorted; None where a cell is text."""
    links: Sequence[str] = ()
    """The file of the study that each cell leads to in HTML, relative to its folder; "" where it leads nowhere."""


@dataclass(frozen=True)
class Sheet:
    """What a table's button saves for a spreadsheet: every row, each number with all its digits."""

    name: str
    """Of the file, without its ending."""
    header: Sequence[str]
    rows: Sequence[Sequence[Raw]]


def sheet_of(name: str, items: Iterable[T], columns: Mapping[str, Callable[[T], Raw]]) -> Sheet:
    """Return a sheet with a row for each item: what each column says of it."""
    return Sheet(name, list(columns), [[say(item) for say in columns.values()] for item in items])


@dataclass(frozen=True)
class Table:
    """A table. Beyond `fold` rows it is folded away until asked for."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""
    fold: int = 24
    sheet: Sheet | None = None
    """Of a table with a row for each run: it can be saved, and sorted by each of its columns."""

    @property
    def remarks(self) -> list[str]:
        """What is said below it where it cannot be unfolded."""
        left = len(self.rows) - self.fold
        said = [f"and {left} more rows in the report"] if left > 0 else []
        return said + ([self.caption] if self.caption else [])

    @property
    def filled(self) -> Table:
        """The same without the columns that no row fills."""
        kept = [i for i in range(len(self.columns)) if any(row.cells[i] for row in self.rows)]
        rows = [replace(row, cells=[row.cells[i] for i in kept]) for row in self.rows]
        return replace(self, columns=[self.columns[i] for i in kept], rows=rows)


Columns = Mapping[Column, Callable[[T], str]]
"""What each column says of an item."""


def table_of(
    items: Iterable[T],
    columns: Columns[T],
    *,
    tone: Callable[[T], Tone | None] = lambda item: None,
    caption: str = "",
    fold: int = 24,
) -> Table:
    """Return a table with a row for each item: what each column says of it."""
    rows = [Row([say(item) for say in columns.values()], tone(item)) for item in items]
    return Table(list(columns), rows, caption, fold)


def estimate_table(rows: Iterable[tuple[str, Shown]]) -> Table:
    """Return estimates by name, with their intervals."""
    cells = [Row((title, shown.value, shown.interval, shown.n, shown.note)) for title, shown in rows]
    return Table(columns(["quantity"], ["estimate", "95% interval", "n"], "note"), cells)


@dataclass(frozen=True)
class Cards:
    """A row of cards."""

    cards: Sequence[Card]

    @property
    def table(self) -> Table:
        """The cards as a table, a row for each, without the columns that no card fills."""
        columns = (Column(""), Column("value", True), Column("interval"), Column("samples"), Column("note", quiet=True))
        rows = [Row((card.title, card.value, card.interval, card.samples, card.note)) for card in self.cards]
        return Table(columns, rows).filled


@dataclass(frozen=True)
class LegendEntry:
    """A colour and a mark of a figure, and what they stand for; `group` names the traces that it shows and hides."""

    label: str
    colour: str
    group: str = ""
    mark: Mark = "fill"


@dataclass(frozen=True, kw_only=True)
class FigureBlock:
    """A figure with its caption; `figure` is a plotly figure, `describe` its content in words for who cannot see it."""

    name: str
    figure: Any
    height: int
    max_width: int | None = None
    """Widest it may become, in pixels; None for the width of the page."""
    describe: str
    caption: str = ""
    legend: Sequence[LegendEntry] = ()
    text: Sequence[str] = ()
    """Lines of characters that stand for it where nothing can be drawn."""


@dataclass(frozen=True)
class Picture:
    """An image: `source` returns it as a `data:` URL, drawn only where it is shown; `describe` says it in words."""

    source: Callable[[], str]
    describe: str
    file: str = ""
    """Its file, relative to the page's, for what holds no image itself; "" where there is none."""


Block = Cards | Prose | Code | Facts | Table | FigureBlock | Picture


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own."""

    title: str
    blocks: Sequence[Block]
    lead: str = ""
    half: bool = False
    """Whether it may share a row with its neighbour on a wide screen."""
    brief: bool = False
    """Whether it belongs to the short form of the page: the terminal's and Markdown's."""
    folded: bool = False
    """Whether its heading alone is shown until it is asked for."""
    training: str = ""
    """The training of a sweep that it shows, by which it is chosen; "" where it shows the whole study."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A report: the sentence first, then the sections in order."""

    title: str
    subtitle: str
    tone: Tone
    badge: str
    """The kind of verdict in a few words: colour alone says nothing to many readers."""
    verdict: str
    advice: str
    sections: Sequence[Section]
    footer: str = ""
    last_run: datetime | None = None
    """When the last run that it speaks of finished, in UTC."""

    @property
    def has_figures(self) -> bool:
        """Whether any section holds a figure."""
        return bool(self.figures)

    @property
    def figures(self) -> dict[str, tuple[str, FigureBlock]]:
        """The figures by name, in order, each with the title of its section; the main one comes first."""
        return {
            block.name: (section.title, block)
            for section in self.sections
            for block in section.blocks
            if isinstance(block, FigureBlock)
        }

    @property
    def trainings(self) -> list[str]:
        """The trainings of a sweep that have sections of their own, in order."""
        return list(dict.fromkeys(section.training for section in self.sections if section.training))
