"""From a study folder to one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError

if TYPE_CHECKING:
    from lastbit.report.blocks import Page
    from lastbit.store import StudyFolder
    from lastbit.studies.frame.result import Result

__all__ = ["compose_page", "render_report", "write_page"]


def render_report(study: Path, target: Path | None = None, *, result: Mapping[str, Any] | Result | None = None) -> Path:
    """Write the report of a study as one HTML file that opens offline, and return its path.

    The file holds everything it shows (scripts, styles, figures) and asks no network for anything. The same study gives
    the same bytes. Nothing is trained: the report is drawn from what the folder holds, also while a process is at work
    on it.

    Args:
        study: folder of the study.
        target: the file to write, atomically; by default `report.html` in the study's folder, or, where a process is at
            work on it and the folder is its own, `NAME-report.html` beside the folder `NAME`.
        result: what the runs say that are in, of a study that is unfinished and so has stored no result.

    Returns:
        The path of the file.

    Raises:
        LastbitError: there is no study, it has no result yet, its kind has no report, its files are damaged, or the
            target cannot be written.

    Example:
        >>> render_report(Path("lastbit-studies/audit-digits-001"))  # doctest: +SKIP
        PosixPath('lastbit-studies/audit-digits-001/report.html')
    """
    # The page and its library take a second to import: whoever only imports this room does not wait for them.
    from lastbit.store import StudyFolder

    with StudyFolder.read(Path(study)) as folder:
        return write_page(folder, compose_page(folder, result), target)


def write_page(folder: StudyFolder, page: Page, target: Path | None = None) -> Path:
    """Write the page of a study as HTML, atomically, and return its path; see `render_report`.

    Raises:
        LastbitError: the target cannot be written.
    """
    from lastbit.report.html import render_html
    from lastbit.store import write_atomically

    target = _beside(folder) if target is None else Path(target)
    if target.is_dir():
        raise LastbitError(f"{target} is a folder: name the file to write, for example {target / 'report.html'}")
    text = render_html(page)

    def write(path: Path) -> None:
        # Characters that UTF-8 has no bytes for (lone surrogates in a damaged name) must not lose the report.
        path.write_bytes(text.encode(errors="replace"))

    try:
        write_atomically(target, write)
    except OSError as error:
        reason = error.strerror or str(error)
        raise LastbitError(f"cannot write the report to {target} ({reason}): name another file") from error
    return target


def _beside(folder: StudyFolder) -> Path:
    """Return where the report goes that was given no place."""
    if folder.held:
        whole = folder.path.resolve()
        return whole.with_name(f"{whole.name}-report.html")
    return folder.path / "report.html"


def compose_page(folder: StudyFolder, said: Mapping[str, Any] | Result | None = None) -> Page:
    """Return the page of a study, composed by its kind.

    Args:
        folder: the study.
        said: what it concluded; by default the result that the folder holds.

    Raises:
        LastbitError: it has no result yet, its kind has no report, or its files are damaged.
    """
    from lastbit.studies.audit.page import audit_page
    from lastbit.studies.audit.result import AuditResult
    from lastbit.studies.eos.page import eos_page
    from lastbit.studies.eos.result import EosResult
    from lastbit.studies.sharpness.page import sharpness_page
    from lastbit.studies.sharpness.result import SharpnessResult
    from lastbit.studies.trace.page import trace_page
    from lastbit.studies.trace.result import TraceResult

    def typed(page: Callable[[StudyFolder, Any], Page], result: type[Result]) -> Callable[[StudyFolder, Any], Page]:
        return lambda folder, said: page(folder, said if isinstance(said, result) else result.from_json(said))

    kinds: dict[str, Callable[[StudyFolder, Any], Page]] = {
        "audit": typed(audit_page, AuditResult),
        "trace": typed(trace_page, TraceResult),
        "eos": typed(eos_page, EosResult),
        "sharpness": typed(sharpness_page, SharpnessResult),
    }
    kind = folder.facts.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise LastbitError(f"{folder.path} is a study of kind {kind!r}, which has no report: choose {', '.join(kinds)}")
    result = said or folder.result()
    if result is None:
        raise LastbitError(f"{folder.path} has no result yet: continue it with lastbit {kind} --resume {folder.path}")
    try:
        return kinds[kind](folder, result)
    except KeyError as error:
        raise LastbitError(
            f"{folder.path} does not hold what a finished {kind} holds ({error} is missing): "
            f"make it again with lastbit {kind} --resume {folder.path}"
        ) from error
