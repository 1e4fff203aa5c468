"""The forms in which an answer that is no study is shown: text, terminal, notebook, HTML."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from lastbit.core.errors import LastbitError
from lastbit.report.blocks import Page
from lastbit.store import sweep, write_atomically

__all__ = ["Presented", "write_page"]


class Presented(ABC):
    """An answer with a page. Drawing libraries take a second to import, so each form imports its own."""

    @property
    @abstractmethod
    def page(self) -> Page:
        """The page that every form is rendered from."""

    @property
    @abstractmethod
    def default_report(self) -> Path:
        """Where the HTML report is written where nobody says."""

    def summary(self) -> str:
        """Return the answer as plain text of at most 110 columns."""
        from lastbit.report.text import render_text

        return render_text(self.page)

    def print_summary(self) -> None:
        """Print the answer to the terminal, as wide as it is."""
        from lastbit.report.text import print_page

        print_page(self.page)

    def _repr_html_(self) -> str:
        """Return the answer as a notebook shows it."""
        from lastbit.report.notebook import render_fragment

        return render_fragment(self.page)

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
        raise LastbitError(
            f"cannot write the report to {target} ({error.strerror or error}): name another file"
        ) from error
    return target
