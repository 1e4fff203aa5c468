"""A page in its short form as text: for a terminal, or for a file of plain text.

Every string is shown as it is, control characters as escapes, and nothing is taken for markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from lastbit.core.terminal import standard_output, visible
from lastbit.report.blocks import Block, Cards, Code, Facts, FigureBlock, Page, Prose, Table

__all__ = ["TEXT_WIDTH", "brief", "print_page", "render_text"]

TEXT_WIDTH = 110
"""Columns of a text where no terminal says how many it has."""


def render_text(page: Page, width: int = TEXT_WIDTH) -> str:
    """Return the short form of the page as plain text of at most `width` columns.

    Args:
        page: what to show: its verdict, its advice, and the sections that are `brief`.
        width: columns; tables and sentences are wrapped to it.
    """
    target = StringIO()
    # In a notebook rich would show what it prints in place of writing it.
    console = Console(
        file=target, width=width, no_color=True, highlight=False, legacy_windows=False, force_jupyter=False
    )
    console.print(brief(page))
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())


def print_page(page: Page, width: int | None = TEXT_WIDTH) -> None:
    """Print the short form of the page to standard output, as wide as a terminal is but for 120 columns at most.

    Args:
        page: what to show.
        width: columns where standard output is no terminal; with None no line is broken there.

    Raises:
        LastbitError: standard output cannot be written.
    """
    console = Console(file=standard_output(), highlight=False, force_jupyter=False)
    terminal = console.is_terminal
    if terminal:
        console.width = min(console.width, 120)
    elif width is not None:
        console.width = width
    console.print(brief(page), soft_wrap=not terminal and width is None)


def brief(page: Page) -> RenderableType:
    """Return the short form of the page for a rich console: print it with `highlight=False`."""
    parts: list[RenderableType] = [Text(visible(page.verdict), style="bold red" if page.tone == "failure" else "bold")]
    if page.advice:
        parts.append(Text(visible(page.advice)))
    for section in page.sections:
        for block in section.blocks if section.brief else ():
            if shown := list(_shown(block)):
                parts += [Text(""), *shown]
    return Group(*parts)


def _shown(block: Block) -> Iterator[RenderableType]:
    """Return the lines and tables of a block."""
    match block:
        case Table():
            yield _Grid(block)
            yield from (Text(visible(remark)) for remark in block.remarks)
        case Cards():
            yield _Grid(block.table)
        case Facts():
            yield from (Text(visible(f"{name}: {value}")) for name, value in block.rows)
        case Prose():
            mark = "- " if block.bullets else ""
            yield from (Text(mark + visible(paragraph)) for paragraph in block.paragraphs)
        case FigureBlock():
            yield from (Text(visible(line), no_wrap=True, overflow="ignore") for line in block.text)
        case Code():
            yield Padding(Text(visible(block.text, keep="\n\t"), no_wrap=True, overflow="ignore"), (0, 0, 0, 2))


_ENDLESS = 10**6
"""Columns where no line is broken."""

_LONG_WORD = 20
"""Columns of a word that may be broken, such as a path, where there is no room for it."""

_APART = 3
"""Columns between two columns of a table."""


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _APART * (len(widths) - 1)


@dataclass(frozen=True)
class _Grid:
    """A table whose headings are broken, at words, where it would be wider than the console; a number never is.

    Where that is not enough it is drawn in several, one below the other, each of which begins with its first column.
    """

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = _ENDLESS if options.no_wrap else options.max_width
        widths = [self._widths(index) for index in range(len(self.table.columns))]
        for place, columns in enumerate(self._parts([least for least, _ in widths], room)):
            if place:
                yield Text("")
            yield self._drawn(columns, [widths[index] for index in columns], room)

    def _parts(self, least: Sequence[int], room: int) -> list[list[int]]:
        """Return the columns of each table that is drawn, by their numbers, given how narrow each may become."""
        every = list(range(len(least)))
        parts = [every[:1]]
        for index in every[1:]:
            if len(parts[-1]) > 1 and _total([least[one] for one in (*parts[-1], index)]) > room:
                parts.append(every[:1])
            parts[-1].append(index)
        return parts

    def _widths(self, index: int) -> tuple[int, int]:
        """Return how narrow a column may become, and how wide it is by itself."""
        column = self.table.columns[index]
        title = visible(column.title)
        cells = [visible(row.cells[index]) for row in self.table.rows[: self.table.fold]]
        words = [*title.split(), *(cells if column.numeric else (word for cell in cells for word in cell.split()))]
        whole = [*title.splitlines(), *(line for cell in cells for line in cell.splitlines())]
        least = max(map(cell_len, words), default=0)
        return least if column.numeric else min(least, _LONG_WORD), max(map(cell_len, whole), default=0)

    def _drawn(self, columns: Sequence[int], each: Sequence[tuple[int, int]], room: int) -> RichTable:
        least, widths = (list(column) for column in zip(*each, strict=True))
        if _total(widths) > room:
            # First the headings over numbers, then the widest of the texts.
            numeric = [self.table.columns[index].numeric for index in columns]
            widths = [low if narrow else min(width, room) for (low, width), narrow in zip(each, numeric, strict=True)]
        while _total(widths) > room and widths != least:
            places = [place for place, width in enumerate(widths) if width > least[place]]
            widths[max(places, key=lambda place: widths[place])] -= 1
        grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for index, width in zip(columns, widths, strict=True):
            column = self.table.columns[index]
            justify: JustifyMethod = "right" if column.numeric else "left"
            grid.add_column(Text(visible(column.title)), justify=justify, overflow="fold", width=width)
        for row in self.table.rows[: self.table.fold]:
            grid.add_row(*(Text(visible(row.cells[index])) for index in columns))
        return grid
