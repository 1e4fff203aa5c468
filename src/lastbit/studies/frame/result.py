"""What every kind of study concludes, whatever it measured: a frozen, typed result that JSON holds and gives back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self

from pydantic import TypeAdapter, ValidationError

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.core.plain import plain
from lastbit.report.formatting import plural
from lastbit.report.junit import Outcome
from lastbit.stats import Estimate
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.json_schema import json_schema_of
from lastbit.studies.frame.next_step import doctor_command

__all__ = ["Result", "RunRow", "Verdict", "exit_code_of", "head", "outcome_of", "run_row"]


_EXIT_CODES = {
    "not_reproducible": ExitCode.NOT_REPRODUCIBLE,
    "not_landed": ExitCode.NOT_REPRODUCIBLE,
    "differs": ExitCode.NOT_REPRODUCIBLE,
    "returned_differs": ExitCode.NOT_REPRODUCIBLE,
    "exits_differ": ExitCode.NOT_REPRODUCIBLE,
    "timed_out": ExitCode.UNDECIDED,
    "undecided": ExitCode.UNDECIDED,
    "different": ExitCode.NO,
    "no_runs": ExitCode.NOT_REPRODUCIBLE,
    "all_diverged": ExitCode.ALL_DIVERGED,
    "not_finite": ExitCode.ALL_DIVERGED,
    "diverged": ExitCode.ALL_DIVERGED,
    "diverging": ExitCode.ALL_DIVERGED,
}
"""How a command ends by the kind of its verdict; every other kind is an answer."""

_ANSWERS = {("trace", "undecided")}
"""Kinds of study and verdict of which the word is an answer, where that of another kind is none."""

_MEASURED = ("diverged", "diverging", "undecided", "different")
"""Kinds of verdict that have another exit code than an answer and are measured all the same."""

_NAMED = 6
"""Damaged runs that the verdict names."""


_BAD_NEWS = ("differs", "exits_differ", "returned_differs", "different", "discard")
"""Kinds of verdict that answer no to what a test asks."""


def outcome_of(verdict: str, code: ExitCode) -> Outcome:
    """Return what becomes of a test that asks the question: it passes, fails, or could not be answered.

    Args:
        verdict: its kind.
        code: of the command.
    """
    if code == ExitCode.ANSWERED:
        return "passed"
    return "failure" if verdict in _BAD_NEWS else "error"


def exit_code_of(study: str, verdict: str) -> ExitCode:
    """Return how a command ends, by the kind of its study and the kind of its verdict."""
    return ExitCode.ANSWERED if (study, verdict) in _ANSWERS else _EXIT_CODES.get(verdict, ExitCode.ANSWERED)


class Verdict(NamedTuple):
    """What a study says first."""

    sentence: str
    kind: str
    """One of a few fixed words."""
    advice: str
    """What to do about it."""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """How one run ended, with the metrics of the network that is its result."""

    run: str
    cell: int
    role: str
    twin: int
    label: str
    status: str
    attempts: int
    message: str
    seconds: float
    metrics: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a study concluded; each kind adds what it measured."""

    schema: int
    """Version of the form in which it is stored."""
    kind: str
    verdict: str
    """The answer, one sentence."""
    verdict_kind: str
    """The answer, one of a few fixed words."""
    advice: str
    finished: bool
    """Whether every run that was asked for is in, or no further run could change the answer."""
    runs_finished: int
    """How many of the things that the study counts (runs, trainings) are in."""
    runs_planned: int
    task: Mapping[str, Any]
    spec: Mapping[str, Any]
    command: str
    environment: Mapping[str, Any]
    execution: Mapping[str, Any]
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Runs that were in but cannot be read, with the reason: nothing here counts them."""

    @property
    def passed(self) -> bool:
        """Whether the controls passed, so that what is reported is the last bit's."""
        return self.verdict_kind not in _EXIT_CODES or self.verdict_kind in _MEASURED

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command that made it."""
        return exit_code_of(self.kind, self.verdict_kind)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `result.json`: infinities as "inf" and "-inf", NaN as null."""
        found: dict[str, Any] = plain(self)
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of what `to_json` returns."""
        return json_schema_of(cls)

    def _repr_html_(self) -> str:
        """Return the answer and the estimates, by their names here, as a notebook shows them."""
        from lastbit.report.blocks import Facts, Page, Section, estimate_table
        from lastbit.report.formatting import show
        from lastbit.report.notebook import render_fragment

        estimates = {one.name: getattr(self, one.name) for one in fields(self)}
        rows = [(name, show(one, digits=4)) for name, one in estimates.items() if isinstance(one, Estimate)]
        runs = f"{self.runs_finished} of {self.runs_planned}"
        again = [("command", self.command), ("finished", runs), ("all of it", "result.to_json()")]
        page = Page(
            title=f"result of lastbit {self.kind}",
            subtitle=str(self.task.get("name", "")),
            tone="pass" if self.exit_code is ExitCode.ANSWERED else "failure",
            badge=self.verdict_kind.replace("_", " "),
            verdict=self.verdict,
            advice=self.advice,
            sections=[
                Section("Estimates", [estimate_table(rows)] if rows else [], brief=True),
                Section("Behind it", [Facts(again)], brief=True),
            ],
        )
        return render_fragment(page)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the result that `to_json` wrote.

        Raises:
            LastbitError: the content lacks something that every result of this kind holds.
        """
        try:
            return TypeAdapter(cls).validate_python(dict(content))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(str(part) for part in first["loc"])
            raise LastbitError(
                f"the stored result is not that of a finished {content.get('kind')} ({name}: {first['msg'].lower()}): "
                "it is damaged or not lastbit's"
            ) from None


def head(folder: StudyFolder, said: Verdict, done: int, planned: int, what: str = "run") -> dict[str, Any]:
    """Return the fields that every result begins with.

    Where runs are missing, the verdict begins with how many are in, and the advice ends with how to go on. A study that
    ended early because a repeat did not match is finished.

    Args:
        folder: the study.
        said: of the runs that are in.
        done: the number of them.
        planned: the number of runs that were asked for.
        what: one of what is counted.
    """
    facts = folder.facts
    verdict, kind, advice = said
    finished = done >= planned or kind == "not_reproducible"
    if not finished:
        state = "unfinished"
        if folder.damaged:
            names = [*list(folder.damaged)[:_NAMED], *["…"] * (len(folder.damaged) > _NAMED)]
            state = f"incomplete ({', '.join(names)} cannot be read)"
        verdict = f"{state}: {done} of {plural(planned, what)} finished. {verdict[:1].upper()}{verdict[1:]}"
        # A live monitor's study is the user's own loop, which lastbit cannot go on with.
        monitor = facts["spec"].get("monitor")
        # The trace of an audit's runs is gone on with as the audit.
        again = f"lastbit {facts.get('continued_as', facts['kind'])} --resume {folder.path}"
        hint = f"{again} trains it again." if folder.damaged else f"If it was stopped, {again} continues it."
        hint = "" if monitor else hint
        advice = " ".join(part for part in ("" if kind == "no_runs" else advice, hint) if part)
    why = doctor_command(facts) if kind == "not_reproducible" else ""
    next_step = [f"To see where and why, run {why}."] if why else []
    advice = " ".join([advice, *next_step, *facts.get("notes", ())]).strip()
    return {
        "schema": facts["schema"],
        "kind": facts["kind"],
        "verdict": verdict,
        "verdict_kind": kind,
        "advice": advice,
        "finished": finished,
        "runs_finished": done,
        "runs_planned": planned,
        **{name: facts[name] for name in ("task", "spec", "command", "environment")},
        "execution": facts.get("execution", {}),
        "damaged": dict(folder.damaged),
    }


def run_row(record: RunRecord) -> RunRow:
    """Return the row of a finished run."""
    return RunRow(
        run=record.run,
        cell=record.cell,
        role=str(record.role),
        twin=record.twin,
        label=record.label,
        status=str(record.status),
        attempts=record.attempts,
        message=record.message,
        seconds=record.seconds,
        metrics={name: None if math.isnan(value) else value for name, value in record.final.items()},
    )
