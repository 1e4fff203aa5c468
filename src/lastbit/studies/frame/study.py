"""A study on disk as a Python object: its verdict, its text, its report, its runs as arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import xarray as xr

from lastbit.core.errors import LastbitError, MissingExtraError, choose
from lastbit.core.terminal import visible
from lastbit.store import SCHEMA, StudyFolder, sweep, write_atomically
from lastbit.studies.frame.condition import Condition
from lastbit.studies.frame.damage import concluded, set_aside
from lastbit.studies.frame.folders import check_kind
from lastbit.studies.frame.former import present_facts
from lastbit.studies.frame.presented import Shown
from lastbit.studies.frame.result import Result

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from lastbit.report.blocks import Page
    from lastbit.studies.frame.kind import Kind

__all__ = ["Study", "check_table", "table_of_rows", "training_named", "write_table"]

R = TypeVar("R", bound=Result)


class Study(Shown, Generic[R]):
    """A study on disk with its result.

    Args:
        path: folder of the study.
        kind: what sort of study it is.
        snapshot: leave the folder as it is, to the last file that SQLite would make there; see `StudyFolder.read`.

    Raises:
        LastbitError: the folder holds no study, one of another kind, or one that is damaged.
    """

    stem: ClassVar[str] = "report"
    """Name of its report in the study's folder, without the ending."""

    _snapshot = False

    def __init__(self, path: Path, kind: Kind[Any, R], *, snapshot: bool = False) -> None:
        self.path, self.kind, self._snapshot = path, kind, snapshot
        with self._folder() as folder:
            check_kind(folder, kind.name, kind.called)
            # A result of a former format has other names in it; the runs have all that a conclusion needs.
            stored = folder.result() if folder.facts["schema"] == SCHEMA else None
            self.result: R = kind.result.from_json(stored) if stored is not None else concluded(kind, folder)
            """What the study concluded."""

    def _folder(self) -> StudyFolder:
        folder = StudyFolder.read(self.path, snapshot=self._snapshot)
        folder.facts = present_facts(folder.facts)
        return folder

    @property
    def verdict(self) -> str:
        """The verdict, one sentence."""
        return self.result.verdict

    def to_json(self) -> dict[str, Any]:
        """Return what the study concluded, as in the JSON file."""
        return self.result.to_json()

    @property
    def passed(self) -> bool:
        """Whether the controls passed, so that what is reported is the last bit's."""
        return self.result.passed

    @property
    def too_early(self) -> bool:
        """Whether the study is unfinished and too little is in to conclude anything."""
        return not self.result.finished and self.result.verdict_kind == "no_runs"

    def holds(self, condition: str) -> bool:
        """Tell whether a condition holds of the result, such as `"last_bit_variance_share > 0.5"`.

        Args:
            condition: a field of the JSON (a dotted path; an estimate stands for its value), a comparison, a number.

        Raises:
            LastbitError: it is malformed, on a field that the result does not have, or on one that is not measured.
        """
        asked = Condition.parse(condition)
        asked.check(self.result.json_schema(), self.kind.called)
        found = asked.holds(self.to_json())
        if found is None:
            raise LastbitError(f"{asked.text!r} cannot be judged: it is not measured in {self.path}")
        return found

    def opened(self) -> StudyFolder:
        """Return its folder, opened to read, whose runs are those that can be read; close it."""
        folder = self._folder()
        set_aside(self.kind, folder)
        return folder

    @cached_property
    def page(self) -> Page:
        """Return the page that text, Markdown and HTML are rendered from."""
        with self.opened() as folder:
            return self.kind.page(folder, self.result)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the HTML report, one file that opens offline, and return its path.

        A study that is unfinished is drawn as far as it was when it was opened, and says so first. The file holds all
        that it shows (scripts, styles, figures) and asks no network for anything; the same study gives the same bytes
        but for the time at which it was drawn, which `SOURCE_DATE_EPOCH` in the environment sets.

        Args:
            path: the file, written atomically; by default `report.html` in the study, or `NAME-report.html` beside the
                folder `NAME` while a process is at work on it.

        Raises:
            LastbitError: the file cannot be written, or the study is damaged.
        """
        # Drawing libraries take a second to import: whoever only reads a study does not wait for them.
        from lastbit.report.html import render_html

        with self._folder() as folder:
            whole = folder.path.resolve()
            name = f"{self.stem}.html"
            beside = whole.with_name(f"{whole.name}-{name}") if folder.held else folder.path / name
        target = beside if path is None else Path(path)
        if target.is_dir():
            raise LastbitError(f"{target} is a folder: name the file to write, for example {target / 'report.html'}")
        # Where the links of the page lead from the place where it is written.
        text = render_html(self.page, base=os.path.relpath(whole, target.parent.resolve()))

        sweep(target.parent, target.stem)

        def write(path: Path) -> None:
            # Characters that UTF-8 has no bytes for (lone surrogates in a damaged name) must not lose the report.
            path.write_bytes(text.encode(errors="replace"))

        try:
            write_atomically(target, write)
        except OSError as error:
            reason = error.strerror or str(error)
            instead = "name another file"
            if path is None:  # a trace of an audit is drawn in its folder alone
                of_study = f"lastbit report {self.path} --out FILE.html writes it elsewhere"
                instead = of_study if self.stem == "report" else f"make {self.path} writable"
            raise LastbitError(f"cannot write the report to {target} ({reason}): {instead}") from error
        return target

    def to_xarray(self) -> xr.Dataset:
        """Return what was measured as arrays with named dimensions.

        Raises:
            LastbitError: this kind of study has none.
        """
        raise LastbitError(f"{self.kind.called} has no runs to export: its numbers are in result.json, see --json")

    def to_pandas(self) -> pd.DataFrame:
        """Return the runs as a table, a row for each as `export` writes it to `.csv` and `.parquet`.

        Raises:
            LastbitError: this kind of study has no runs.
        """
        return table_of_rows(self._rows(self.to_xarray()))

    def to_polars(self) -> pl.DataFrame:
        """Return the same table as a frame of polars.

        Raises:
            LastbitError: this kind of study has no runs, or polars is not installed.
        """
        try:
            import polars
        except ImportError:
            raise MissingExtraError("to_polars()", "polars", "polars") from None
        return polars.DataFrame({str(name): column.to_numpy() for name, column in self.to_pandas().items()})

    def export(self, target: str | Path) -> Path:
        """Write the runs to a table: `.csv` or `.parquet` (rows), or `.nc` (NetCDF, everything).

        Raises:
            LastbitError: the ending is another, the optional packages for tables are missing, or there are no runs.
        """
        return write_table(target, self.to_xarray(), self._rows)

    def _rows(self, data: xr.Dataset) -> xr.Dataset:
        """Return what of the arrays makes a table."""
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}): {visible(self.verdict)}"


def training_named(name: str | None, names: Sequence[str], what: str, path: Path, kind: str) -> str:
    """Return the name of a finished training, by default the first of `names`; `what` is what a sweep calls one.

    Raises:
        LastbitError: there is none of that name, or none at all.
    """
    if not names:
        raise LastbitError(f"{path} has no finished training: continue it with lastbit {kind} --resume {path}")
    return choose(name, names, what) if name is not None else names[0]


def check_table(target: str | Path) -> None:
    """Refuse a table of another format than lastbit writes.

    Raises:
        LastbitError: the ending is another.
    """
    choose(Path(target).suffix, (".csv", ".parquet", ".nc"), "table format")


def table_of_rows(data: xr.Dataset) -> pd.DataFrame:
    """Return arrays as a table, a column for each variable and each of their dimensions."""
    return data.to_dataframe().reset_index()


def write_table(target: str | Path, data: xr.Dataset, rows: Callable[[xr.Dataset], xr.Dataset]) -> Path:
    """Write `data` whole to `.nc` (NetCDF), or what `rows` keeps of it as a table to `.csv` or `.parquet`.

    Raises:
        LastbitError: the ending is another, or the optional packages for tables are missing.
    """
    target = Path(target)
    check_table(target)
    try:
        if target.suffix == ".nc":
            data.to_netcdf(target, engine="scipy")
            return target
        table = table_of_rows(rows(data))
        if target.suffix == ".csv":
            table.to_csv(target, index=False)
        else:
            table.to_parquet(target, index=False)
    except ImportError as error:
        raise MissingExtraError(target.suffix, str(error.name), "export") from None
    return target
