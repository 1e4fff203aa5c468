"""What stands in a ledger, typed: the baselines, the candidates, their runs and what was decided of them."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

__all__ = ["LedgerCandidate", "LedgerDecision", "LedgerEpoch", "LedgerRun", "LedgerStatus", "RunState", "read_status"]


class RunState(StrEnum):
    """Where a run of a ledger stands; the last four are those of `RunStatus`."""

    FREE = "free"
    """To be done: whoever held it ended before the run did."""
    RUNNING = "running"
    OK = "ok"
    DIVERGING = "diverging"
    DIVERGED = "diverged"
    CRASHED = "crashed"


@dataclass(frozen=True, kw_only=True)
class LedgerRun:
    """One run, of a baseline or of a candidate.

    Attributes:
        run: its number in the ledger.
        number: its number among those of its baseline or candidate, from 0.
        seed: its seed. None is used twice, but the first run of a candidate takes that of its baseline's first run.
        state: where it stands.
        owner: the process that does it, as the ledger names it; None where it is not running.
        attempts: how often it was begun.
        value: the metric; None where there is none.
        digest: what its training was, bit for bit; None where that was not seen.
        message: why it ended early, or "".
        seconds: how long it took.
        finished_at: when it ended, in UTC.
    """

    run: int
    number: int
    seed: int
    state: RunState
    owner: str | None = None
    attempts: int = 1
    value: float | None = None
    digest: str | None = None
    message: str = ""
    seconds: float = 0.0
    finished_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class LedgerDecision:
    """One decision: `keep` and `discard` are the last of their candidate, after `undecided` another may follow."""

    choice: str
    reasons: Mapping[str, Any]
    epoch: int
    """Of the baseline that the candidate was compared with."""
    at: str
    """When, in UTC."""


@dataclass(frozen=True, kw_only=True)
class _Runs:
    runs: tuple[LedgerRun, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """Of the runs that ended with one, in the order of their numbers."""
        return tuple(run.value for run in self.runs if run.value is not None)

    def count(self, *states: RunState) -> int:
        """Return how many of its runs stand so."""
        return sum(run.state in states for run in self.runs)


@dataclass(frozen=True, kw_only=True)
class LedgerEpoch(_Runs):
    """One baseline: the first, or a candidate that was kept, with the fresh runs that estimate it."""

    epoch: int
    candidate: int | None
    """The candidate that became it; None of the first."""
    since: str
    """When it became the baseline, in UTC."""


@dataclass(frozen=True, kw_only=True)
class LedgerCandidate(_Runs):
    """One candidate.

    Attributes:
        candidate: its number, from 1, in the order of the claims.
        key: what tells it from others.
        label: what it is, in words.
        facts: what the caller keeps with it.
        keeps: keeps when it was claimed.
        declared: candidates that were declared then.
        counted: whether it is one of those declared: what equals the baseline bit for bit is not.
        owner: the process that works on it; None where none does.
        claimed_at: when it was claimed, in UTC.
        decisions: what was decided of it, the last one last.
    """

    candidate: int
    key: str
    label: str
    facts: Mapping[str, Any]
    keeps: int
    declared: int
    counted: bool
    owner: str | None
    claimed_at: str
    decisions: tuple[LedgerDecision, ...] = ()

    @property
    def decision(self) -> LedgerDecision | None:
        """The last decision; None where there is none yet."""
        return self.decisions[-1] if self.decisions else None


@dataclass(frozen=True, kw_only=True)
class LedgerStatus:
    """The whole ledger as it stood at one moment; times are ISO 8601 in UTC, and all of it is plain data."""

    label: str
    """What the first baseline is, in words."""
    fingerprint: str
    error_rate: float
    facts: Mapping[str, Any]
    declared: int
    """Candidates declared, N."""
    begun_at: str
    """When, in UTC."""
    epochs: tuple[LedgerEpoch, ...]
    candidates: tuple[LedgerCandidate, ...]

    @property
    def epoch(self) -> LedgerEpoch:
        """The present baseline."""
        return self.epochs[-1]

    @property
    def keeps(self) -> int:
        """Candidates kept."""
        return len(self.epochs) - 1

    @property
    def counted(self) -> int:
        """Candidates claimed that count among those declared."""
        return sum(one.counted for one in self.candidates)

    @property
    def left(self) -> int:
        """Candidates that may still be claimed."""
        return max(self.declared - self.counted, 0)

    @property
    def alpha_left(self) -> float:
        """The part of the error rate that no candidate has used: `error_rate` times the share still to be claimed."""
        return self.error_rate * self.left / self.declared

    @property
    def runs_spent(self) -> int:
        """Runs that ended or are being done, of baselines and candidates."""
        return sum(len(one.runs) - one.count(RunState.FREE) for one in (*self.epochs, *self.candidates))

    def same_bits(self, candidate: int) -> bool:
        """Tell whether the first run of a candidate equals that of the present baseline with its seed, bit for bit."""
        ours = {run.seed: run.digest for run in self.epoch.runs if run.digest is not None}
        own = next((run for run in self.of(candidate).runs if run.number == 0), None)
        return own is not None and own.digest is not None and ours.get(own.seed) == own.digest

    def of(self, candidate: int) -> LedgerCandidate:
        """Return a candidate by its number."""
        return self._by_number[candidate]

    @cached_property
    def _by_number(self) -> dict[int, LedgerCandidate]:
        return {one.candidate: one for one in self.candidates}


def read_status(database: sqlite3.Connection) -> LedgerStatus | None:
    """Return what stands in a ledger at one moment; None where no session was begun in it.

    Raises:
        ValueError: a row says what cannot be, or a number is not finite.
    """
    database.execute("BEGIN")
    try:
        session = database.execute("SELECT * FROM session").fetchone()
        return None if session is None else _read(database, session)
    finally:
        database.rollback()


def _read(database: sqlite3.Connection, session: tuple[Any, ...]) -> LedgerStatus:
    _, _, fingerprint, label, error_rate, facts, begun_at = session
    (declared,) = database.execute("SELECT candidates FROM declarations ORDER BY declaration DESC").fetchone()
    runs: dict[tuple[int | None, int | None], list[LedgerRun]] = {}
    query = (
        "SELECT epoch, candidate, run, number, seed, state, owner, attempts, value, digest, message, seconds, "
        "finished_at FROM runs ORDER BY number"
    )
    for epoch, candidate, *rest in database.execute(query):
        runs.setdefault((epoch, candidate), []).append(_run(rest))
    decisions: dict[int, list[LedgerDecision]] = {}
    query = "SELECT candidate, choice, reasons, epoch, at FROM decisions ORDER BY decision"
    for candidate, choice, reasons, epoch, at in database.execute(query):
        made = LedgerDecision(choice=choice, reasons=json.loads(reasons), epoch=epoch, at=_time(at))
        decisions.setdefault(candidate, []).append(made)
    return LedgerStatus(
        label=label,
        fingerprint=fingerprint,
        error_rate=error_rate,
        facts=json.loads(facts),
        declared=declared,
        begun_at=_time(begun_at),
        epochs=tuple(
            LedgerEpoch(
                epoch=epoch,
                candidate=candidate,
                since=_time(since),
                runs=tuple(runs.get((epoch, None), ())),
            )
            for epoch, candidate, since in database.execute("SELECT * FROM epochs ORDER BY epoch")
        ),
        candidates=tuple(
            LedgerCandidate(
                candidate=row[0],
                key=row[1],
                label=row[2],
                facts=json.loads(row[3]),
                keeps=row[4],
                declared=row[5],
                counted=bool(row[6]),
                owner=row[7],
                claimed_at=_time(row[8]),
                runs=tuple(runs.get((None, row[0]), ())),
                decisions=tuple(decisions.get(row[0], ())),
            )
            for row in database.execute("SELECT * FROM candidates ORDER BY candidate")
        ),
    )


def _run(row: list[Any]) -> LedgerRun:
    run, number, seed, state, owner, attempts, value, digest, message, seconds, finished_at = row
    if value is not None and not (isinstance(value, float | int) and math.isfinite(value)):
        raise ValueError(f"run {run} has the value {value!r}")
    return LedgerRun(
        run=run,
        number=number,
        seed=seed,
        state=RunState(state),
        owner=owner,
        attempts=attempts,
        value=None if value is None else float(value),
        digest=digest,
        message=message,
        seconds=seconds,
        finished_at=None if finished_at is None else _time(finished_at),
    )


def _time(text: str) -> str:
    """Return a time as it is kept, ISO 8601 in UTC."""
    datetime.fromisoformat(text)
    return text
