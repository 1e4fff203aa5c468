"""The trace of an audit's runs: the same study read a second time, without training again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.core.words import command_text
from lastbit.launch.arrays import has_sketches
from lastbit.report.formatting import plural
from lastbit.store import StudyFolder, write_json
from lastbit.store.layout import disk_errors
from lastbit.studies.frame.damage import concluded
from lastbit.studies.trace.study import TraceStudy

if TYPE_CHECKING:
    from lastbit.studies.frame.kind import Kind
    from lastbit.studies.trace.result import TraceResult

__all__ = ["AuditTrace"]


class AuditTrace(TraceStudy):
    """The trace of an audit of a function or command, from the sketches that its runs left.

    Every seed is traced by itself: its unperturbed run is the base, its perturbed runs are the twins. Steps are those
    that every run of a seed recorded.

    Args:
        path: folder of the audit, finished or not.
        kind: the trace.

    Raises:
        LastbitError: the folder holds no audit, or one whose runs left no sketches or no twins, or too few of which are
            finished to say anything.
    """

    stem: ClassVar[str] = "trace"

    def __init__(self, path: Path, kind: Kind[Any, TraceResult]) -> None:
        self.path, self.kind = path, kind
        with self._folder() as folder:
            _check(folder)
            self.result = _advised(concluded(kind, folder), folder.facts["spec"].get("command"))
        if self.too_early:
            done, planned = self.result.runs_finished, plural(self.result.runs_planned, "run")
            raise LastbitError(
                f"{path} has no finished pair of an unperturbed and a perturbed run to trace yet ({done} of {planned} "
                f"finished): lastbit audit --resume {path} goes on with it"
            )

    def report(self, path: str | Path | None = None) -> Path:
        """Write the HTML report, by default to `trace.html` in the audit, with the whole result in `trace.json` there.

        Args:
            path: another file for the report, beside which nothing else is written.

        Raises:
            LastbitError: a file cannot be written, or the study is damaged.
        """
        target = super().report(path)
        if path is None:
            with disk_errors(target.parent):
                write_json(target.with_suffix(".json"), self.to_json())
        return target

    def _folder(self) -> StudyFolder:
        folder = super()._folder()
        facts = folder.facts
        if facts.get("kind") != "audit":
            folder.close()
            raise LastbitError(
                f"{self.path} is a study of kind {facts.get('kind')!r}: --from reads the runs of an audit; lastbit "
                f"report draws {self.path} again"
            )
        grid = facts["spec"]["settings"]
        settings = {**grid, "twins": grid["perturbations"] - 1}
        folder.facts = facts | {
            "kind": "trace",
            "continued_as": "audit",
            "spec": facts["spec"] | {"settings": settings},
            "command": command_text(["lastbit", "trace", "--from", str(self.path)]),
            "notes": [],
        }
        return folder


def _advised(result: TraceResult, command: Mapping[str, Any] | None) -> TraceResult:
    """Return the result with what to do where the audit recorded too few steps to decide."""
    if result.verdict_kind != "undecided" or not result.finished:
        return result
    program = f"lastbit trace -- {command_text(command['words'])}" if command else "lastbit trace of the function"
    return replace(result, advice=f"An audit records few steps of a short run: {program} records more.")


def _check(folder: StudyFolder) -> None:
    """Refuse an audit that no trace can be drawn of.

    Raises:
        LastbitError: says why, and what to do.
    """
    facts, path = folder.facts, folder.path
    if "train_size" in facts["task"]:
        raise LastbitError(
            f"{path} audits the Task {facts['task']['name']}, whose runs keep no sketches: lastbit trace traces a Task "
            "in lock step, which shows more"
        )
    if not facts["spec"]["settings"]["twins"]:
        raise LastbitError(f"{path} has no perturbed runs to trace: audit with --perturbations 2 or more")
    runs = [record.run for record in folder.runs() if record.status != RunStatus.CRASHED]
    whole = [run for run in runs if not folder.why_unreadable(run)]
    if whole and not has_sketches(folder.arrays(whole[0])):
        raise LastbitError(
            f"{path} keeps no sketches of its weights: audit again with this lastbit, or trace the program itself"
        )
