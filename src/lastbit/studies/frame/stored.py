"""What every study on disk can do as a Python object, whatever was measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console, RenderableType

from lastbit.core.errors import LastbitError, choose
from lastbit.report.blocks import Page
from lastbit.report.markdown import render_markdown
from lastbit.report.text import TEXT_WIDTH, brief
from lastbit.store import StudyFolder
from lastbit.studies.frame.report import compose_page, write_page
from lastbit.studies.frame.result import Result

__all__ = ["StoredStudy", "write_table"]


class StoredStudy(ABC):
    """A study on disk with its result."""

    path: Path
    """Folder of the study."""
    result: Any
    """What the study concluded."""

    @property
    def verdict(self) -> str:
        """The verdict, one sentence."""
        return str(self.to_json()["verdict"])

    def to_json(self) -> dict[str, Any]:
        """Return what the study concluded, as in the JSON file."""
        found: dict[str, Any] = self.result.to_json() if isinstance(self.result, Result) else self.result
        return found

    @property
    @abstractmethod
    def passed(self) -> bool:
        """Whether the controls passed."""

    @abstractmethod
    def export(self, target: str | Path) -> Path:
        """Write the runs to a table and return its path."""

    def page(self) -> Page:
        """Return the page that text, Markdown and HTML are rendered from."""
        return self._page

    @cached_property
    def _page(self) -> Page:
        with StudyFolder.read(self.path) as folder:
            return compose_page(folder, self.result)

    def _render(self) -> RenderableType:
        return brief(self.page())

    def summary(self) -> str:
        """Return the verdict, the controls and the tables as plain text of at most 110 columns."""
        target = StringIO()
        Console(file=target, width=TEXT_WIDTH, no_color=True, highlight=False).print(self._render())
        return "\n".join(line.rstrip() for line in target.getvalue().splitlines())

    def print_summary(self) -> None:
        """Print the summary to the terminal, as wide as it is."""
        console = Console(highlight=False)
        width = min(console.width, 120) if console.is_terminal else TEXT_WIDTH
        Console(highlight=False, width=width).print(self._render())

    def markdown(self) -> str:
        """Return the summary as GitHub-flavoured Markdown, for a pull request or a README."""
        return render_markdown(self.page())

    def report(self, path: str | Path | None = None) -> Path:
        """Write the HTML report, one file that opens offline, and return where it lies.

        A study that is unfinished is drawn as far as it was when it was opened, and says so first. Nothing else is
        written.

        Args:
            path: the file; by default `report.html` in the study, or `NAME-report.html` beside the folder `NAME` while
                a process is at work on it.

        Raises:
            LastbitError: the file cannot be written, or the study is damaged.
        """
        with StudyFolder.read(self.path) as folder:
            return write_page(folder, self.page(), None if path is None else Path(path))

    @property
    def too_early(self) -> bool:
        """Whether the study is unfinished and too little is in to conclude anything."""
        said = self.to_json()
        return not said.get("finished", True) and said["verdict_kind"] == "no_runs"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}): {self.verdict}"


def write_table(target: str | Path, data: xr.Dataset, rows: Callable[[xr.Dataset], xr.Dataset]) -> Path:
    """Write `data` whole to `.nc` (NetCDF), or what `rows` keeps of it as a table to `.csv` or `.parquet`.

    Raises:
        LastbitError: the ending is another, or the optional packages for tables are missing.
    """
    target = Path(target)
    choose(target.suffix, (".csv", ".parquet", ".nc"), "table format")
    try:
        if target.suffix == ".nc":
            data.to_netcdf(target, engine="scipy")
            return target
        table = rows(data).to_dataframe().reset_index()
        if target.suffix == ".csv":
            table.to_csv(target, index=False)
        else:
            table.to_parquet(target, index=False)
    except ImportError as error:
        raise LastbitError(f"{target.suffix} needs {error.name}: pip install 'lastbit[export]'") from None
    return target
