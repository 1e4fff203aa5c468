"""What every `pde` command concludes, and the forms in which it is shown: JSON, page, figure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lastbit.core.config import Config
from lastbit.core.errors import LastbitError, choose
from lastbit.core.plain import plain
from lastbit.core.words import command_text
from lastbit.report.blocks import Code, Column, Facts, Page, Picture, Row, Section, Table, Tone
from lastbit.report.formatting import setting
from lastbit.report.markdown import render_markdown
from lastbit.report.notebook import render_fragment
from lastbit.report.text import print_page, render_text
from lastbit.studies.frame.json_schema import json_schema_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "STATUS_COLOURS", "PdeResult", "Progress", "table_of"]

Progress = Callable[[int, int], None]
"""Called with (done, all) now and then."""

FORMATS = ("png", "svg", "pdf")
"""Endings of a figure's file."""

STATUS_COLOURS = {"converged": "#3b6fb6", "restrained": "#e8a33d", "diverged": "#b2332e", "undecided": "#d9d9d9"}
"""Told apart by lightness too, so that they survive grey print."""


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What the JSON of every result begins with."""

    schema: int
    kind: str
    problem: str
    verdict: str
    verdict_kind: str
    command: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PdeResult(ABC):
    """The answer of a `pde` command; each kind adds what it computed.

    Attributes:
        settings: what was asked.
        problem: what it was asked about.
    """

    kind: ClassVar[str]
    """The command, `pde stability`."""
    schema: ClassVar[int] = 1
    """Version of the form of `to_json`."""
    forms: ClassVar[tuple[type, ...]]
    """Classes of the settings, then of what `measured` returns."""
    figure_size: ClassVar[tuple[float, float]] = (8.4, 3.4)
    """In inches."""
    settings: Config
    problem: str = "cnn"

    @property
    @abstractmethod
    def verdict(self) -> str:
        """The answer in one sentence."""

    @property
    @abstractmethod
    def verdict_kind(self) -> str:
        """The answer in one of a few fixed words."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The problem in a few words, for titles."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """The numbers behind the verdict."""

    @property
    def tables(self) -> list[Table]:
        """What the page shows of the numbers."""
        return [self.table]

    @abstractmethod
    def measured(self) -> Sequence[Any]:
        """Return what was computed, in typed parts whose fields stand beside each other in JSON."""

    @abstractmethod
    def draw_on(self, figure: Figure) -> None:
        """Draw on an empty figure of `figure_size`, or set another size first."""

    def draw(self) -> Figure:
        """Return the figure, which belongs to no window."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=self.figure_size, layout="constrained")
        self.draw_on(figure)
        return figure

    @property
    def tone(self) -> Tone:
        """Whether the answer is good news."""
        return "pass" if self.verdict_kind in ("stable", "converged") else "attention"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Every setting and its value."""
        return [(name.replace("_", " "), setting(value)) for name, value in self.settings.model_dump().items()]

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows the command's name."""
        return (self.problem,)

    @property
    def command(self) -> str:
        """The command that repeats this."""
        words = ["lastbit", *self.kind.split(), *self.arguments]
        for name, value in self.settings.model_dump(exclude_defaults=True).items():
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                values = value if isinstance(value, tuple) else (value,)
                words += [f"--{flag}", *map(str, values or ("none",))]
        return command_text(words)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON: infinities as "inf" and "-inf", None for what is not measured."""
        head = _Head(
            schema=self.schema,
            kind=self.kind,
            problem=self.problem,
            verdict=self.verdict,
            verdict_kind=self.verdict_kind,
            command=self.command,
        )
        parts: list[dict[str, Any]] = list(map(plain, (head, self.settings.model_dump(), *self.measured())))
        return {name: value for part in parts for name, value in part.items()}

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of what `to_json` returns."""
        return json_schema_of(_Head, *cls.forms)

    @property
    def page(self) -> Page:
        """The answer as a page, which `lastbit.report` renders as text, Markdown or HTML."""
        return Page(
            title=f"lastbit {self.kind}",
            subtitle=self.words,
            tone=self.tone,
            badge=self.verdict_kind.replace("_", " "),
            verdict=self.verdict,
            advice="",
            sections=[
                Section("The numbers", self.tables, brief=True),
                Section("The figure", [Picture(self._embedded, describe=f"Figure: {self.verdict}")]),
                Section("The settings", [Facts(self.facts)]),
                Section("Again", [Code(self.command)]),
            ],
        )

    def print_page(self) -> None:
        """Print the verdict and the numbers behind it; lines are broken on a terminal alone."""
        print_page(self.page, width=None)

    def summary(self) -> str:
        """Return the verdict and the numbers behind it as plain text of at most 110 columns."""
        return render_text(self.page)

    def markdown(self) -> str:
        """Return the same as GitHub-flavoured Markdown."""
        return render_markdown(self.page)

    def _repr_html_(self) -> str:
        """Return the same, with the figure, as a notebook shows it."""
        return render_fragment(self.page)

    def plot(self, path: str | Path) -> None:
        """Write the figure as PNG, SVG or PDF, by the ending.

        Raises:
            LastbitError: another ending, or a file that cannot be written.
        """
        target = Path(path)
        choose(target.suffix.lower().lstrip(".") or "(none)", FORMATS, "figure format")
        try:
            self.draw().savefig(target, dpi=150)
        except OSError as error:
            raise LastbitError(f"cannot write {target}: {error.strerror or error}") from None

    def _embedded(self) -> str:
        """Return the figure as an image that needs no file of its own."""
        drawn = BytesIO()
        self.draw().savefig(drawn, format="png", dpi=150)
        return f"data:image/png;base64,{b64encode(drawn.getvalue()).decode()}"


def table_of(texts: Sequence[str], numbers: Sequence[str], rows: Iterable[Iterable[str]]) -> Table:
    """Return a table of some columns of text, then of numbers."""
    return Table([*map(Column, texts), *(Column(title, True) for title in numbers)], [Row([*cells]) for cells in rows])
