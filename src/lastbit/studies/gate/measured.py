"""A baseline that was measured before: an audit names the program, and its runs need not be trained again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lastbit.core.device import resolve_device
from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.store import StudyFolder
from lastbit.studies.audit.settings import AuditSettings
from lastbit.studies.frame.environment import environment
from lastbit.studies.frame.folders import arms_of, other_arithmetic
from lastbit.studies.frame.former import present_facts
from lastbit.studies.frame.settings import CommandSettings, command_words
from lastbit.studies.gate.runs import Ended, ended_of
from lastbit.tasks import TaskConfig

__all__ = ["Measured", "read_baseline"]

_OF_RUNS = ("vary", "dtype", "device")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A program that an audit repeated.

    Attributes:
        path: of the audit.
        text: the program, as it is typed.
        folder: where a command ran; None of a task.
        settings: of its runs, by name.
        threads: of one operation; None where that is not known.
        sources: digests of its files, by path.
        remark: why its runs are trained again, or "".
    """

    path: Path
    text: str
    folder: str | None
    settings: Mapping[str, Any]
    threads: int | None
    sources: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""

    def runs(self, metric: str) -> dict[int, Ended]:
        """Return its unperturbed runs that ended well, by seed; none where the bits would be others today."""
        if self.remark:
            return {}
        found = {}
        with StudyFolder.read(self.path) as folder:
            cells = present_facts(folder.facts)["cells"]
            for record in folder.runs():
                if record.role == Role.BASE and record.status == RunStatus.OK:
                    seed = cells[record.cell].get("seed", record.cell)
                    found[seed] = ended_of(record, metric, folder.arrays(record.run))
        return {seed: run for seed, run in found.items() if run.value is not None}


def read_baseline(path: Path) -> Measured:
    """Return the program of an audit.

    Raises:
        LastbitError: it is no study, one of another kind, or of an object of Python.
    """
    with StudyFolder.read(path) as folder:
        facts = present_facts(folder.facts)
    if facts.get("kind") != "audit":
        raise LastbitError(f"{path} is a study of kind {facts.get('kind')!r}: a baseline is an audit, or a command")
    [spec] = arms_of(facts["spec"])
    settings = {name: facts["spec"]["settings"].get(name) for name in _OF_RUNS}
    settings = {name: value for name, value in settings.items() if value != AuditSettings.model_fields[name].default}
    now = environment(resolve_device(str(settings.get("device", "auto"))))
    other = other_arithmetic(facts["environment"], now)
    remark = f"the runs of {path} had another {other}, and are trained again here" if other else ""
    known = {
        "path": path,
        "threads": facts.get("execution", {}).get("threads"),
        "sources": facts.get("sources", {}),
        "remark": remark,
    }
    if "command" in spec:
        told = dict(spec["command"])
        words, where = told.pop("words"), told.pop("folder", None)
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in told.items()}
        given = {n: v for n, v in given.items() if n in CommandSettings.model_fields and v not in (None, ())}
        return Measured(text=shlex.join(words), folder=where, settings={**settings, **given}, **known)
    if "program" not in spec:
        raise LastbitError(
            f"{path} repeats an object of Python ({spec.get('object')}), which this process does not have: give "
            "FILE.py:FUNCTION or a command as the baseline"
        )
    program = TaskConfig(**spec["program"])
    words = command_words({name: value for name, value in program.model_dump().items() if name != "task"})
    return Measured(text=shlex.join([program.task, *words]), folder=None, settings=settings, **known)
