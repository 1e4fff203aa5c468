"""The forms in which whatever has a page is shown: text, terminal, Markdown, notebook, figures, HTML."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lastbit.core.errors import LastbitError, choose
from lastbit.report.blocks import Page
from lastbit.store import sweep, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Presented", "Shown", "write_page"]


class Shown(ABC):
    """What has a page. Drawing libraries take a second to import, so each form imports its own."""

    @property
    @abstractmethod
    def page(self) -> Page:
        """The page that every form is rendered from."""

    def summary(self) -> str:
        """Return the verdict, the tables and the controls as plain text of at most 110 columns."""
        from lastbit.report.text import render_text

        return render_text(self.page)

    def print_summary(self) -> None:
        """Print the summary to the terminal, as wide as it is."""
        from lastbit.report.text import print_page

        print_page(self.page)

    def markdown(self) -> str:
        """Return the summary as GitHub-flavoured Markdown."""
        from lastbit.report.markdown import render_markdown

        return render_markdown(self.page)

    def _repr_html_(self) -> str:
        """Return the summary, with the main figure, as a notebook shows it."""
        from lastbit.report.notebook import render_fragment

        return render_fragment(self.page)

    @property
    def figures(self) -> list[str]:
        """The names of the figures of its report, the main one first; of a sweep, each training has its own."""
        return [*self._drawings()]

    def figure(self, name: str) -> Figure:
        """Return a figure of its report in matplotlib, which belongs to no window.

        Args:
            name: one of `figures`.

        Raises:
            LastbitError: its report has no figure of that name.
        """
        drawings = self._drawings()
        if not drawings:
            raise LastbitError(f"its report has no figure: {self.page.verdict}")
        return drawings[choose(name, drawings, "figure")]()

    def plot(self) -> Figure:
        """Return the main figure of its report, the first of `figures`, in matplotlib.

        Raises:
            LastbitError: its report has no figure.
        """
        return self.figure(next(iter(self._drawings()), ""))

    def save_figures(self, folder: str | Path) -> list[Path]:
        """Write every figure of its report as `NAME.svg` and `NAME.png`, and return the files.

        Args:
            folder: made where there is none.

        Raises:
            LastbitError: a file cannot be written.
        """
        from lastbit.report.figures.printed import written

        target = Path(folder)
        try:
            target.mkdir(exist_ok=True)
        except OSError as error:
            raise LastbitError(f"cannot make {target} ({error.strerror or error}): name another folder") from error
        found = []
        for name, draw in self._drawings().items():
            drawn = draw()
            found += [write_page(target / f"{name}.{form}", written(drawn, form)) for form in ("svg", "png")]
        return found

    def _drawings(self) -> Mapping[str, Callable[[], Figure]]:
        """Return what draws each figure, by its name."""
        from lastbit.report.figures.still import still

        return {name: partial(still, block, title) for name, (title, block) in self.page.figures.items()}


class Presented(Shown):
    """An answer with a page that is no study."""

    @property
    @abstractmethod
    def default_report(self) -> Path:
        """Where the HTML report is written where nobody says."""

    def report(self, path: str | Path | None = None) -> Path:
        """Write the HTML report, one file that opens offline with every figure in it, and return its path.

        Args:
            path: the file, written atomically; `report.html` in the folder by default.

        Raises:
            LastbitError: the file cannot be written.
        """
        from lastbit.report.html import render_html

        target = self.default_report if path is None else Path(path)
        return write_page(target, render_html(self.page).encode(errors="replace"))


def write_page(target: Path, content: bytes) -> Path:
    """Write a file atomically and return its path.

    Raises:
        LastbitError: it cannot be written.
    """
    try:
        sweep(target.parent, target.stem)
        write_atomically(target, lambda place: place.write_bytes(content))
    except OSError as error:
        raise LastbitError(f"cannot write {target} ({error.strerror or error}): name another file") from error
    return target
