"""The ledger of a session of candidates: who tries what, in which order, and what came of it.

Every step is one transaction, so that a process that is killed between any two loses nothing but the run that it was
doing, and any number of processes can work on one ledger. Each holds a lock that ends with it; what a dead one held is
free again for whoever comes next, with the same number and the same seed.

A candidate's place in the order, and with it its level, is fixed when it is claimed, and seeds when a run is. A
decision is taken only against the baseline that is the present one at that moment.
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.core.words import plural
from lastbit.store.ledger_records import LedgerDecision, LedgerStatus
from lastbit.store.ledger_session import (
    Terms,
    as_text,
    declared_now,
    join,
    last_decision,
    now,
    present_epoch,
    status_of,
)
from lastbit.store.ledger_tables import OWNERS, ledger_errors, opened_ledger
from lastbit.store.lock import is_held, locked

__all__ = ["CandidateClaim", "Ledger", "RunClaim", "SessionFullError"]

FINAL = ("keep", "discard")
"""Decisions after which a candidate is not taken up again."""


class SessionFullError(LastbitError):
    """All candidates that were declared are claimed."""

    def __init__(self, declared: int) -> None:
        self.declared = declared
        super().__init__(
            f"all {plural(declared, 'candidate')} that this session declared were compared: declare more, which raises "
            "the share of false keeps that it promises, or begin a new session"
        )


@dataclass(frozen=True, kw_only=True)
class CandidateClaim:
    """A candidate that this process works on, or that was decided before.

    Attributes:
        candidate: its number.
        keeps: keeps when it was first claimed.
        declared: candidates declared then.
        resumed: whether it was claimed before.
        decision: the last word on it, where it was decided before; None where it is this process's to decide.
    """

    candidate: int
    keeps: int
    declared: int
    resumed: bool
    decision: LedgerDecision | None = None


@dataclass(frozen=True, kw_only=True)
class RunClaim:
    """A run that this process is to do: its number in the ledger, its seed, and how often it was begun so far."""

    run: int
    seed: int
    attempts: int


class Ledger:
    """One ledger, opened by one process. Make it with `open`; close it, or use it as a context manager."""

    def __init__(self, folder: Path, owner: str, database: sqlite3.Connection, held: ExitStack) -> None:
        self.folder = folder
        self.owner = owner
        """What the ledger calls this process."""
        self._database = database
        self._held = held

    @classmethod
    def open(cls, folder: Path, *, terms: Terms, candidates: int) -> Ledger:
        """Join the session of a folder, or begin one.

        Args:
            folder: where the ledger is; it is made.
            terms: what must be equal for all who join.
            candidates: how many are declared, where the session begins; a session that exists keeps its number.

        Raises:
            LastbitError: a ledger of another baseline, error rate or facts, or one that is damaged.
            StorageError: the place cannot be written.
        """
        if candidates < 1:
            raise LastbitError(f"candidates = {candidates}: declare at least one candidate")
        owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        with ExitStack() as stack:
            with ledger_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            database = stack.enter_context(closing(opened_ledger(folder, write=True)))
            ledger = cls(folder, owner, database, stack)
            with ledger._writing():
                # Whoever is in the table holds its lock: no other process ever sees one that does not yet.
                stack.callback(shutil.rmtree, folder / OWNERS / owner, ignore_errors=True)
                (folder / OWNERS / owner).mkdir(parents=True)
                stack.enter_context(locked(folder / OWNERS / owner))
                join(database, folder, terms, candidates)
                database.execute("INSERT INTO owners VALUES (?, ?, ?)", (owner, os.getpid(), now()))
                ledger._release_the_dead()
            stack.callback(ledger._leave)
            ledger._held = stack.pop_all()
            return ledger

    @staticmethod
    def read(folder: Path) -> LedgerStatus:
        """Return what stands in the ledger of a folder, without writing anything, whoever works on it.

        Raises:
            LastbitError: there is no ledger, or it is damaged.
        """
        with closing(opened_ledger(folder, write=False)) as database:
            return status_of(folder, database)

    def status(self) -> LedgerStatus:
        """Return what stands in the ledger at this moment."""
        return status_of(self.folder, self._database)

    def declare(self, candidates: int) -> None:
        """Declare a larger number of candidates from now on; those that were claimed keep their level.

        Raises:
            LastbitError: not more than are declared.
        """
        with self._writing() as database:
            if candidates <= (declared := declared_now(database)):
                raise LastbitError(f"candidates = {candidates}: {declared} are declared already: give more")
            database.execute("INSERT INTO declarations (candidates, at) VALUES (?, ?)", (candidates, now()))

    def claim(
        self, key: str, *, label: str = "", facts: Mapping[str, Any] | None = None, again: bool = False
    ) -> CandidateClaim:
        """Take up a candidate: a new one, one that was left undecided, or one decided before, for what was decided.

        A candidate that is new gets its place in the order here, and never another. Crashed runs of one that was left
        undecided are free again.

        Args:
            key: what tells it from others.
            label: what it is, in words.
            facts: what is kept with it.
            again: whether a candidate that was decided is compared once more, as a new one.

        Raises:
            SessionFullError: it is new, and all that were declared are claimed.
            LastbitError: another process is working on it.
        """
        with self._writing() as database:
            self._release_the_dead()
            row = database.execute(
                "SELECT candidate, keeps, declared, owner FROM candidates WHERE key = ? ORDER BY candidate DESC", (key,)
            ).fetchone()
            decision = None if row is None else last_decision(database, row[0])
            if row is None or (again and decision is not None and decision.choice in FINAL):
                return self._new(key, label, as_text(facts or {}))
            number, keeps, declared, owner = row
            if decision is None or decision.choice not in FINAL:
                decision = None
                if owner not in (None, self.owner):
                    raise LastbitError(
                        f"process {owner.partition('-')[0]} is comparing this candidate already: wait for it"
                    )
                database.execute("UPDATE candidates SET owner = ? WHERE candidate = ?", (self.owner, number))
                database.execute(
                    "UPDATE runs SET state = 'free', message = '', finished_at = NULL "
                    "WHERE candidate = ? AND state = 'crashed'",
                    (number,),
                )
            return CandidateClaim(candidate=number, keeps=keeps, declared=declared, resumed=True, decision=decision)

    def _new(self, key: str, label: str, facts: str) -> CandidateClaim:
        database, declared = self._database, declared_now(self._database)
        (counted,) = database.execute("SELECT COALESCE(SUM(counted), 0) FROM candidates").fetchone()
        if counted >= declared:
            raise SessionFullError(declared)
        keeps = present_epoch(database)
        number = database.execute(
            "INSERT INTO candidates (key, label, facts, keeps, declared, counted, owner, claimed_at) "
            "VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
            (key, label, facts, keeps, declared, self.owner, now()),
        ).lastrowid
        assert number is not None
        return CandidateClaim(candidate=number, keeps=keeps, declared=declared, resumed=False)

    def baseline_run(self, epoch: int, size: int) -> RunClaim | None:
        """Take a run of a baseline that shall have `size` runs with a value; None where none is left to take.

        None while others do the missing ones, too, and where the baseline is no longer the present one.
        """
        with self._writing() as database:
            self._release_the_dead()
            if epoch != present_epoch(database):
                return None
            return self._take("epoch", epoch, size, None)

    def candidate_run(self, candidate: int, size: int) -> RunClaim | None:
        """Take a run of this process's candidate that shall have `size` runs; None where it has.

        Raises:
            LastbitError: it is not this process's.
        """
        with self._writing() as database:
            self._check_mine(candidate)
            # The first run shares the seed of the baseline's first, so that equal bits can be seen.
            first = database.execute(
                "SELECT seed FROM runs WHERE epoch = ? AND number = 0", (present_epoch(database),)
            ).fetchone()
            return self._take("candidate", candidate, size, first and first[0])

    def _take(self, whose: str, which: int, size: int, first_seed: int | None) -> RunClaim | None:
        database = self._database
        free = database.execute(
            f"SELECT run, seed, attempts FROM runs WHERE {whose} = ? AND state = 'free' ORDER BY number", (which,)
        ).fetchone()
        if free is not None:
            run, seed, attempts = free
            database.execute(
                "UPDATE runs SET state = 'running', owner = ?, attempts = attempts + 1 WHERE run = ?", (self.owner, run)
            )
            return RunClaim(run=run, seed=seed, attempts=attempts + 1)
        # A candidate's failed run decides, and is not made up for by another.
        lost = "'crashed', 'diverged'" if whose == "epoch" else "''"
        there, number = database.execute(
            f"SELECT COALESCE(SUM(state NOT IN ({lost})), 0), COALESCE(MAX(number) + 1, 0) FROM runs WHERE {whose} = ?",
            (which,),
        ).fetchone()
        if there >= size:
            return None
        (seed,) = database.execute("SELECT COALESCE(MAX(seed) + 1, 0) FROM runs").fetchone()
        seed = first_seed if number == 0 and first_seed is not None else seed
        run = database.execute(
            f"INSERT INTO runs ({whose}, number, seed, state, owner, attempts, message, seconds) "
            "VALUES (?, ?, ?, 'running', ?, 1, '', 0)",
            (which, number, seed, self.owner),
        ).lastrowid
        assert run is not None
        return RunClaim(run=run, seed=seed, attempts=1)

    def finish(
        self,
        run: int,
        status: RunStatus,
        *,
        value: float | None = None,
        digest: str | None = None,
        message: str = "",
        seconds: float = 0.0,
    ) -> None:
        """Keep how a run of this process ended.

        Args:
            run: its number in the ledger.
            status: how it ended; without a metric it crashed.
            value: the metric, of a run that ended with one.
            digest: what its training was, bit for bit; equal for equal trainings alone.
            message: why it ended early.
            seconds: how long it took.

        Raises:
            LastbitError: the value does not go with the status, or the run is not this process's.
        """
        kept = None if value is None or not math.isfinite(value) else float(value)
        if (kept is not None) != (status in (RunStatus.OK, RunStatus.DIVERGING)):
            raise LastbitError(f"a run that ended {status.value!r} cannot have the value {value}")
        with self._writing() as database:
            changed = database.execute(
                "UPDATE runs SET state = ?, owner = NULL, value = ?, digest = ?, message = ?, seconds = ?, "
                "finished_at = ? WHERE run = ? AND owner = ?",
                (status.value, kept, digest, message, seconds, now(), run, self.owner),
            ).rowcount
            if not changed:
                raise LastbitError(f"run {run} of the ledger in {self.folder} is not held by this process")

    def give_back(self, run: int) -> None:
        """Leave a run of this process for whoever comes next, as if it had not begun."""
        with self._writing() as database:
            database.execute(
                "UPDATE runs SET state = 'free', owner = NULL WHERE run = ? AND owner = ?", (run, self.owner)
            )

    def decide(
        self, candidate: int, choice: str, reasons: Mapping[str, Any], *, epoch: int, counted: bool = True
    ) -> bool:
        """Decide about this process's candidate, against the baseline `epoch`; after a keep a new baseline begins.

        Args:
            candidate: its number.
            choice: `keep`, `discard` or `undecided`.
            reasons: why, as plain JSON.
            epoch: of the baseline that it was compared with.
            counted: whether it stays one of those declared; not if it was the baseline itself, bit for bit.

        Returns:
            Whether it was decided: False where another candidate has become the baseline since. Look again, then.

        Raises:
            LastbitError: it is not this process's, or there is no such choice.
        """
        if choice not in (*FINAL, "undecided"):
            raise LastbitError(f"a candidate is decided as keep, discard or undecided, not as {choice!r}")
        text = as_text(reasons)
        with self._writing() as database:
            self._check_mine(candidate)
            if epoch != present_epoch(database):
                return False
            at = now()
            database.execute(
                "INSERT INTO decisions (candidate, epoch, choice, reasons, at) VALUES (?, ?, ?, ?, ?)",
                (candidate, epoch, choice, text, at),
            )
            database.execute(
                "UPDATE candidates SET owner = NULL, counted = ? WHERE candidate = ?", (int(counted), candidate)
            )
            if choice == "keep":
                database.execute("INSERT INTO epochs VALUES (?, ?, ?)", (epoch + 1, candidate, at))
            return True

    def withdraw(self) -> bool:
        """Forget a session in which no run has ended and on which no other process works; tell whether it was.

        What was wrong with its first run can then be put right in the same folder.
        """
        with self._writing() as database:
            self._release_the_dead()
            (others,) = database.execute("SELECT COUNT(*) FROM owners WHERE owner != ?", (self.owner,)).fetchone()
            (ended,) = database.execute("SELECT COUNT(*) FROM runs WHERE finished_at IS NOT NULL").fetchone()
            if others or ended:
                return False
            for table in ("runs", "decisions", "epochs", "candidates", "declarations", "session"):
                database.execute(f"DELETE FROM {table}")
            return True

    def _check_mine(self, candidate: int) -> None:
        row = self._database.execute("SELECT owner FROM candidates WHERE candidate = ?", (candidate,)).fetchone()
        if row is None or row[0] != self.owner:
            raise LastbitError(f"candidate {candidate} of the ledger in {self.folder} is not held by this process")

    def _release_the_dead(self) -> None:
        """Free what processes held that are no more."""
        database, folder = self._database, self.folder / OWNERS
        known = {owner for (owner,) in database.execute("SELECT owner FROM owners")}
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        for owner in (known | there) - {self.owner}:
            if not is_held(folder / owner):
                self._release(owner)
                shutil.rmtree(folder / owner, ignore_errors=True)

    def _release(self, owner: str) -> None:
        self._database.execute("UPDATE runs SET state = 'free', owner = NULL WHERE owner = ?", (owner,))
        self._database.execute("UPDATE candidates SET owner = NULL WHERE owner = ?", (owner,))
        self._database.execute("DELETE FROM owners WHERE owner = ?", (owner,))

    def _leave(self) -> None:
        # What cannot be written here is released by whoever comes next.
        with suppress(LastbitError), self._writing():
            self._release(self.owner)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which no other process is within."""
        with ledger_errors(self.folder), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield self._database

    def close(self) -> None:
        """Leave what was not finished to others, and close the ledger."""
        self._held.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
