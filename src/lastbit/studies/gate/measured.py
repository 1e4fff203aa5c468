"""A baseline that was measured before: an audit names the program, and its runs need not be trained again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lastbit.core.device import resolve_device
from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.launch.metrics.spec import MetricSpec, metric_specs
from lastbit.store import StudyFolder
from lastbit.studies.audit.settings import AuditSettings
from lastbit.studies.frame.folders import arms_of, other_arithmetic
from lastbit.studies.frame.former import present_facts
from lastbit.studies.frame.settings import CommandSettings, command_words
from lastbit.studies.gate.runs import Ended, ended_of
from lastbit.tasks import TaskConfig
from lastbit.train.environment import environment

__all__ = ["Measured", "read_baseline"]

_OF_RUNS = ("vary", "dtype", "device")

_OTHER = ("vary", "dtype", "device", "reseed", "deterministic", "threads")
"""Settings under which the runs of a session would be others than those of the audit."""

_READERS = {"metric": "name", "metric_file": "file", "metric_tag": "tag", "metric_mlflow": "mlflow"}


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

    def under(self, given: Mapping[str, Any]) -> Measured:
        """Return the same, its runs left out where the session's are made otherwise.

        Args:
            given: settings of the session's runs, by name.
        """
        now = {name: given[name] for name in _OTHER if given.get(name) is not None}
        other = [f"--{name}" for name, value in now.items() if _plain(name, value) != _plain(name, self._of(name))]
        if not other or self.remark:
            return self
        said = f"the runs of {self.path} were made with another {' and '.join(other)}, and are trained again here"
        return replace(self, remark=said)

    def _of(self, name: str) -> Any:
        defaults = {**AuditSettings.model_fields, **CommandSettings.model_fields}
        return self.threads if name == "threads" else self.settings.get(name, defaults[name].default)

    def settings_for(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings of its runs, of several metrics with the one that is asked for.

        Args:
            given: settings of the session's runs, by name.

        Raises:
            LastbitError: it was measured by another metric or read otherwise, or by several of which none is named.
        """
        every = _specs(self.settings, ("metric_of", "better"))
        if not every:
            return self.settings
        asked = [(one.reader, one.argument) for one in _specs(given)]
        found = [one for one in every if not asked or (one.reader, one.argument) in asked]
        flags = " and ".join(one.flag for one in every)
        otherwise = "or give its command as the baseline"
        if len(found) < len(asked):
            raise LastbitError(
                f"{self.path} was measured by {flags}, not by {' and '.join(one.flag for one in _specs(given))}: "
                f"{'name one of those' if len(every) > 1 else 'leave it out'}, {otherwise}"
            )
        if len(found) > 1:
            raise LastbitError(
                f"{self.path} was measured by {flags}, and candidates are compared in one metric: give one of them"
            )
        [one] = found
        if given.get("metric_of") is not None and _several(given["metric_of"]) != (one.of,):
            raise LastbitError(
                f"{self.path} was measured by --metric-of {one.of}, not by {' and '.join(_several(given['metric_of']))}"
                f": leave it out, {otherwise}"
            )
        if len(every) == 1:
            return self.settings
        kept = {name: v for name, v in self.settings.items() if not name.startswith("metric") and name != "better"}
        kept["metric_of"] = (one.of,)
        if one.higher_is_better is not None:
            kept["better"] = ("higher" if one.higher_is_better else "lower",)
        reader = "name" if one.reader == "pattern" else one.reader
        name = next(name for name, of in _READERS.items() if of == reader)
        return {**kept, name: (f"/{one.argument}/" if one.reader == "pattern" else one.argument,)}


def _specs(settings: Mapping[str, Any], more: Sequence[str] = ()) -> tuple[MetricSpec, ...]:
    """Return the metrics that settings name."""
    told = {name: _several(settings[name]) for name in (*_READERS, *more) if settings.get(name) is not None}
    return metric_specs(**told)


def _several(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _plain(name: str, value: Any) -> str:
    return str(resolve_device(str(value)) if name == "device" else value)


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
