"""What all who work on one ledger agree on, and what is read of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.store.ledger_records import LedgerDecision, LedgerStatus, read_status
from lastbit.store.ledger_tables import LEDGER, LEDGER_SCHEMA, damaged, ledger_errors

__all__ = ["Terms", "as_text", "declared_now", "join", "last_decision", "now", "present_epoch", "status_of"]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a session was begun with, equal for all who join it.

    Attributes:
        fingerprint: what tells the first baseline from others.
        label: the same in words.
        error_rate: largest expected share of false keeps.
        facts: what else must be equal, such as the other rules, the metric and whether more of it is better.
    """

    fingerprint: str
    label: str
    error_rate: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.error_rate < 1:
            raise LastbitError(f"error_rate = {self.error_rate}: the share of false keeps lies between 0 and 1")


def join(database: sqlite3.Connection, folder: Path, terms: Terms, candidates: int) -> None:
    """Begin a session in a ledger that has none, else see that it was begun on the same terms.

    Raises:
        LastbitError: another baseline, error rate or settings, or another version of the tables.
    """
    fingerprint, label, error_rate, facts = terms.fingerprint, terms.label, terms.error_rate, as_text(terms.facts)
    row = database.execute("SELECT schema, fingerprint, label, error_rate, facts FROM session").fetchone()
    if row is None:
        at = now()
        database.execute(
            "INSERT INTO session VALUES (1, ?, ?, ?, ?, ?, ?)",
            (LEDGER_SCHEMA, fingerprint, label, error_rate, facts, at),
        )
        database.execute("INSERT INTO declarations (candidates, at) VALUES (?, ?)", (candidates, at))
        database.execute("INSERT INTO epochs VALUES (0, NULL, ?)", (at,))
        return
    if row[0] != LEDGER_SCHEMA:
        raise _other_schema(folder, row[0])
    if row[1] != fingerprint:
        raise LastbitError(
            f"the session in {folder} began with another baseline ({row[2]!r}, not {label!r}): begin a new one "
            "in another folder, or give the baseline that it began with"
        )
    if row[3] != error_rate:
        raise LastbitError(f"the session in {folder} promises an error rate of {row[3]}, not {error_rate}")
    if row[4] != facts:
        raise LastbitError(f"the session in {folder} began with other settings: {_difference(row[4], facts)}")


def now() -> str:
    """Return the time in UTC, as it is kept."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def as_text(facts: Mapping[str, Any]) -> str:
    """Return facts as the JSON that is kept, equal for equal facts."""
    return json.dumps(facts, allow_nan=False, ensure_ascii=False, sort_keys=True)


def declared_now(database: sqlite3.Connection) -> int:
    """Return how many candidates are declared."""
    (declared,) = database.execute("SELECT candidates FROM declarations ORDER BY declaration DESC").fetchone()
    return int(declared)


def present_epoch(database: sqlite3.Connection) -> int:
    """Return the number of the present baseline, which is that of keeps so far."""
    (epoch,) = database.execute("SELECT MAX(epoch) FROM epochs").fetchone()
    return int(epoch)


def last_decision(database: sqlite3.Connection, candidate: int) -> LedgerDecision | None:
    """Return the last word on a candidate; None where there is none."""
    row = database.execute(
        "SELECT choice, reasons, epoch, at FROM decisions WHERE candidate = ? ORDER BY decision DESC", (candidate,)
    ).fetchone()
    if row is None:
        return None
    return LedgerDecision(choice=row[0], reasons=json.loads(row[1]), epoch=row[2], at=row[3])


def status_of(folder: Path, database: sqlite3.Connection) -> LedgerStatus:
    """Return what stands in an open ledger at this moment.

    Raises:
        LastbitError: no session was begun in it, it has another version, or it is damaged.
    """
    with ledger_errors(folder):
        row = database.execute("SELECT schema FROM session").fetchone()
        if row is not None and row[0] != LEDGER_SCHEMA:
            raise _other_schema(folder, row[0])
        try:
            status = read_status(database)
        except (TypeError, ValueError) as error:
            raise damaged(folder, str(error)) from error
    if status is None:
        raise LastbitError(f"no session was begun in {folder / LEDGER}")
    return status


def _other_schema(folder: Path, schema: object) -> LastbitError:
    return LastbitError(
        f"the ledger in {folder} has format {schema}, this lastbit reads format {LEDGER_SCHEMA}: use the lastbit that "
        "began it, or begin a new session in another folder"
    )


def _difference(ours: str, theirs: str) -> str:
    """Name the first setting that differs."""
    began, given = json.loads(ours), json.loads(theirs)
    name = next(name for name in sorted({*began, *given}) if began.get(name) != given.get(name))
    return f"{name} = {began.get(name)!r}, not {given.get(name)!r}"
