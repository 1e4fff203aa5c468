"""The shell of every report: a page of sections, and its rendering into one HTML file.

A study's page is data: what stands in it is composed by its kind, how it looks is decided in `templates/`. Every
string that a page holds is taken for untrusted text: jinja2 escapes it in HTML, and figures travel as JSON whose `<`,
`>` and `&` are written as escapes, so that nothing in a study can end a script or start a tag. The page forbids itself
every network access by a content security policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

__all__ = [
    "Block",
    "Card",
    "Cards",
    "Code",
    "Column",
    "Facts",
    "FigureBlock",
    "LegendEntry",
    "Page",
    "Prose",
    "Row",
    "Section",
    "Table",
    "Tone",
    "embedded_json",
    "render_page",
]

Tone = Literal["pass", "attention", "failure"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """One number that matters, with its interval and the number of samples behind it."""

    title: str
    value: str
    interval: str = ""
    samples: str = ""
    note: str = ""
    measured: bool = True


@dataclass(frozen=True)
class Cards:
    """A row of cards."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]


@dataclass(frozen=True)
class Prose:
    """Paragraphs of text, or a list of items."""

    kind: ClassVar[str] = "prose"
    paragraphs: Sequence[str]
    bullets: bool = False


@dataclass(frozen=True)
class Code:
    """Text to copy, with a button that copies it."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Facts:
    """Names and their values."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers are aligned to the right."""

    title: str
    numeric: bool = False
    quiet: bool = False
    """Whether it is a remark, set smaller."""


@dataclass(frozen=True)
class Row:
    """A row of a table, one cell per column."""

    cells: Sequence[str]
    tone: Tone | None = None


@dataclass(frozen=True)
class Table:
    """A table. Beyond `fold` rows it is folded away until asked for."""

    kind: ClassVar[str] = "table"
    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""
    fold: int = 24


@dataclass(frozen=True)
class LegendEntry:
    """A colour of a figure and what it stands for; `group` names the traces that it shows and hides."""

    label: str
    colour: str
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class FigureBlock:
    """A figure with its caption; `figure` is a plotly figure, `describe` its content in words for who cannot see it."""

    kind: ClassVar[str] = "figure"
    name: str
    figure: Any
    height: int
    max_width: int | None = None
    """Widest it may become, in pixels; None for the width of the page."""
    describe: str
    caption: str = ""
    legend: Sequence[LegendEntry] = ()

    @property
    def json(self) -> Markup:
        """The figure as JSON that may stand inside a script element."""
        return embedded_json(self.figure)


Block = Cards | Prose | Code | Facts | Table | FigureBlock


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own."""

    title: str
    blocks: Sequence[Block]
    lead: str = ""
    half: bool = False
    """Whether it may share a row with its neighbour on a wide screen."""


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
    figures: bool = field(init=False)

    def __post_init__(self) -> None:
        found = any(isinstance(block, FigureBlock) for section in self.sections for block in section.blocks)
        object.__setattr__(self, "figures", found)


def embedded_json(figure: Any) -> Markup:
    """Return a plotly figure as JSON without a character that HTML could take for its own.

    `<`, `>`, `&` and the line separators U+2028 and U+2029 occur in JSON inside strings only, where their escapes mean
    the same: no text in a figure can close the script element that holds it.
    """
    from plotly.io import to_json

    text: str = to_json(figure, validate=False, engine="json")
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    # Every template is escaped, whatever its name ends with; an undefined name is an error, never an empty text.
    return Environment(
        loader=PackageLoader("lastbit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(page: Page) -> str:
    """Return the page as one self-contained HTML document.

    Plotly's library (5 MB) is inlined once, and only where the page has figures.
    """
    library = Markup(get_plotlyjs()) if page.figures else Markup("")
    return _environment().get_template("page.html.j2").render(page=page, plotly=library)
