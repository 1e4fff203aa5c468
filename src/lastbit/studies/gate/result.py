"""What a session holds and what was decided of one candidate, typed, as JSON holds it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastbit.core.plain import plain
from lastbit.stats.gate import Comparison, Why
from lastbit.stats.gate_session import Session
from lastbit.store import LedgerStatus, RunState
from lastbit.store.ledger_records import LedgerCandidate, LedgerDecision, LedgerEpoch
from lastbit.studies.gate.session import promised

__all__ = ["NO_RUN", "SCHEMA", "BaselineRow", "CandidateRow", "GateResult", "SessionRow", "session_row"]

SCHEMA = 1
"""Version of the form of `GateResult`."""

NO_RUN = "no_run"
"""Why a candidate is undecided of which no run could be made: it takes no place of those declared."""


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """One baseline of a session.

    Attributes:
        epoch: its number, from 0; it is the number of keeps before it.
        candidate: the candidate that became it; None of the first.
        text: what it is.
        since: when it became the baseline, in UTC.
        values: of its fresh runs.
        lost: its runs without a value.
        mean: over its runs; None without any.
        sigma: SD of a run, pooled over the baselines up to it; None before it is known.
    """

    epoch: int
    candidate: int | None
    text: str
    since: str
    values: tuple[float, ...]
    lost: int
    mean: float | None
    sigma: float | None


@dataclass(frozen=True, kw_only=True)
class CandidateRow:
    """One candidate of a session.

    Attributes:
        candidate: its number, in the order in which candidates were claimed.
        text: what it is.
        choice: `keep`, `discard`, `undecided`, or `open` where nothing is decided yet.
        why: one of the words of `lastbit.stats.gate.Why`, `no_run`, or "".
        said: what its last bad run said, or "".
        epoch: the baseline that it was compared with; the present one where nothing is decided.
        alpha: the error rate that it was given.
        comparison: the numbers of the last look; None where nothing was compared.
        values: of its runs.
        runs: how many were begun and ended.
        counted: whether it takes a place of those declared.
        seconds: that its runs took.
        claimed_at: when it was claimed, in UTC.
        decided_at: when it was decided last, in UTC; "" where it is not.
    """

    candidate: int
    text: str
    choice: str
    why: str
    said: str
    epoch: int
    alpha: float
    comparison: Comparison | None
    values: tuple[float, ...]
    runs: int
    counted: bool
    seconds: float
    claimed_at: str
    decided_at: str


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """A session: what was declared, what was spent, what is left.

    Attributes:
        folder: where its ledger lies.
        baseline: the first one.
        metric: what is compared; "" for the first that a function returns.
        unit: of it.
        higher_is_better: whether more of it is better.
        error_rate: largest expected share of false keeps, as first declared.
        promised: the same with what was declared on the way.
        declared: candidates declared.
        counted: candidates that took a place of those.
        left: candidates that may still come.
        keeps: candidates kept.
        alpha_left: the part of the error rate that no candidate has used.
        runs_spent: runs that ended or are being done, of baselines and candidates.
        budget: runs at most; None for no limit.
        begun_at: when it began, in UTC.
        baselines: every baseline, the present one last.
        candidates: every candidate, in the order of the claims.
    """

    folder: str
    baseline: str
    metric: str
    unit: str
    higher_is_better: bool
    error_rate: float
    promised: float
    declared: int
    counted: int
    left: int
    keeps: int
    alpha_left: float
    runs_spent: int
    budget: int | None
    begun_at: str
    baselines: tuple[BaselineRow, ...]
    candidates: tuple[CandidateRow, ...]

    @property
    def points(self) -> str:
        """The unit of a difference: points for a percentage."""
        return "points" if self.unit == "%" else self.unit

    def of(self, candidate: int) -> CandidateRow:
        """Return a candidate by its number."""
        return next(one for one in self.candidates if one.candidate == candidate)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        found: dict[str, Any] = plain(self)
        return found


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """What `--json` holds.

    Attributes:
        schema: version of this form.
        kind: "gate".
        verdict: the answer, one sentence.
        verdict_kind: `keep`, `discard` or `undecided`; `session` of the session alone.
        advice: what to do about it.
        why: the reason in one word; "" of the session alone.
        decided_before: whether the candidate was decided by an earlier call.
        candidate: the one that was asked about; None of the session alone.
        session: as it stands after the decision.
        command: that asks again.
    """

    schema: int
    kind: str
    verdict: str
    verdict_kind: str
    advice: str
    why: str
    decided_before: bool
    candidate: CandidateRow | None
    session: SessionRow
    command: str


def session_row(folder: Path, status: LedgerStatus) -> SessionRow:
    """Return a session as it stands in its ledger."""
    facts = status.facts
    return SessionRow(
        folder=str(folder),
        baseline=status.label,
        metric=facts["metric"],
        unit=facts["unit"],
        higher_is_better=facts["higher_is_better"],
        error_rate=status.error_rate,
        promised=promised(status),
        declared=status.declared,
        counted=status.counted,
        left=status.left,
        keeps=status.keeps,
        alpha_left=status.alpha_left,
        runs_spent=status.runs_spent,
        budget=facts["budget"],
        begun_at=status.begun_at,
        baselines=tuple(_baseline(status, epoch) for epoch in status.epochs),
        candidates=tuple(_candidate(status, one) for one in status.candidates),
    )


def _baseline(status: LedgerStatus, epoch: LedgerEpoch) -> BaselineRow:
    values = epoch.values
    # What a later, empty baseline would inherit is the spread pooled over those before it.
    pooled = Session.of([*(one.values for one in status.epochs[: epoch.epoch + 1]), ()])
    return BaselineRow(
        epoch=epoch.epoch,
        candidate=epoch.candidate,
        text=status.label if epoch.candidate is None else status.of(epoch.candidate).label,
        since=epoch.since,
        values=values,
        lost=epoch.count(RunState.CRASHED, RunState.DIVERGED),
        mean=math.fsum(values) / len(values) if values else None,
        sigma=pooled.earlier_sigma if pooled.earlier_df else None,
    )


def _candidate(status: LedgerStatus, one: LedgerCandidate) -> CandidateRow:
    made = one.decision
    reasons: Mapping[str, Any] = made.reasons if made else {}
    lost = [run.message for run in one.runs if run.state in (RunState.CRASHED, RunState.DIVERGED)]
    why = str(reasons.get("why", ""))
    return CandidateRow(
        candidate=one.candidate,
        text=one.label,
        choice=made.choice if made else "open",
        why=why,
        said=str(reasons.get("said", "")) or (lost[-1] if lost and why in (Why.CRASHED, Why.DIVERGED) else ""),
        epoch=made.epoch if made else status.epoch.epoch,
        alpha=status.error_rate * (one.keeps + 1) / one.declared,
        comparison=_comparison(made),
        values=one.values,
        runs=len(one.runs) - one.count(RunState.FREE, RunState.RUNNING),
        counted=one.counted,
        seconds=math.fsum(run.seconds for run in one.runs),
        claimed_at=one.claimed_at,
        decided_at=made.at if made else "",
    )


def _comparison(made: LedgerDecision | None) -> Comparison | None:
    """Return the numbers of a decision, as they were before JSON held them."""
    told = made.reasons.get("comparison") if made else None
    if told is None:
        return None
    numbers: dict[str, Any] = {name: float(v) if isinstance(v, str) else v for name, v in told.items()}
    return Comparison(**numbers)
