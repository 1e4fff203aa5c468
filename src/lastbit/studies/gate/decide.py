"""One candidate to its decision: runs of it and of the baseline, until the rules say keep, discard or undecided."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.report.formatting import number, plural
from lastbit.stats.gate import Choice, Decision, Why, look
from lastbit.stats.gate_session import Candidate, Session
from lastbit.store import CandidateClaim, Ledger, LedgerStatus, RunClaim, RunState, SessionFullError, StorageError
from lastbit.store.ledger_records import LedgerEpoch
from lastbit.studies.gate.contender import Contender, contender
from lastbit.studies.gate.measured import Measured
from lastbit.studies.gate.runs import Ended
from lastbit.studies.gate.session import rules_of, session_full
from lastbit.studies.gate.session_runs import SessionRuns

__all__ = ["Decider"]

_PAUSE = 0.2
"""Seconds between two looks at runs that another process does."""

_LOST = 3
"""Runs of the baseline without a value that one call puts up with, where they are more than those with one."""


@dataclass(kw_only=True)
class Decider:
    """Decides about candidates of one session, in this process.

    Attributes:
        ledger: of the session.
        baseline: the first one.
        settings: of the runs, by name.
        measured: the audit that the first baseline is, whose runs need not be trained.
        runs: trains them.
        tell: told what happens.
    """

    ledger: Ledger
    baseline: Contender
    settings: Mapping[str, Any]
    measured: Measured | None
    runs: SessionRuns
    tell: Callable[[str], None]
    _lost: int = 0
    _baselines: dict[int, Contender] = field(default_factory=dict)

    @cached_property
    def _known(self) -> Mapping[int, Ended]:
        return {} if self.measured is None else self.measured.runs(self.baseline.measure.metric)

    def decide(self, one: Contender, *, again: bool) -> CandidateClaim:
        """Decide about a candidate; where it was decided before, its claim says so.

        Raises:
            LastbitError: all that were declared were compared, another process compares it, it makes no optimizer step,
                the baseline fails, or a program is no longer what it was.
        """
        claim = self._claim(one, again)
        if claim.decision is not None:
            return claim
        while True:
            status = self.ledger.status()
            decision = self._look(status, claim)
            if decision.choice is not Choice.MORE:
                reasons = plain(decision)
                unseen = decision.why is Why.BUDGET and not status.of(claim.candidate).runs
                counted = decision.why is not Why.SAME_BITS and not unseen
                epoch = status.epoch.epoch
                if self.ledger.decide(claim.candidate, decision.choice, reasons, epoch=epoch, counted=counted):
                    return claim
                self.tell("another candidate has become the baseline: compared with that one from here on")
            elif len(status.epoch.values) < decision.baseline_runs:
                self._run_baseline(status, decision.baseline_runs)
            else:
                self._run_candidate(one, claim, status, decision.candidate_runs)

    def _claim(self, one: Contender, again: bool) -> CandidateClaim:
        facts = {"text": one.text, "folder": one.folder}
        try:
            return self.ledger.claim(one.key, label=one.text, facts=facts, again=again)
        except SessionFullError:
            raise session_full(self.ledger.folder, self.ledger.status()) from None

    def _look(self, status: LedgerStatus, claim: CandidateClaim) -> Decision:
        own, budget = status.of(claim.candidate), status.facts["budget"]
        left = None if budget is None else max(budget - status.runs_spent, 0)
        return look(
            rules_of(status, claim.declared),
            Session.of([epoch.values for epoch in status.epochs], keeps=claim.keeps, left=left),
            Candidate(
                values=own.values,
                crashed=own.count(RunState.CRASHED),
                diverged=own.count(RunState.DIVERGED),
                same_bits=status.same_bits(claim.candidate),
            ),
            higher_is_better=status.facts["higher_is_better"],
        )

    def _run_candidate(self, one: Contender, claim: CandidateClaim, status: LedgerStatus, size: int) -> None:
        what = f"candidate {claim.candidate}"
        _check_unchanged(one, status.of(claim.candidate).key, what)
        taken = self._taken(one, lambda: self.ledger.candidate_run(claim.candidate, size))
        if not taken:
            return
        try:
            self.runs.train(one, taken, partial(self._finish, what), first=False)
        except StorageError:
            raise
        except LastbitError as error:
            if not self.ledger.status().of(claim.candidate).values:
                self._leave_out(claim, status, str(error))
            raise

    def _taken(self, one: Contender, take: Callable[[], RunClaim | None]) -> list[RunClaim]:
        """Take as many runs of a program as are trained at once."""
        taken: list[RunClaim] = []
        while len(taken) < self.runs.at_once(one) and (run := take()) is not None:
            taken.append(run)
        return taken

    def _leave_out(self, claim: CandidateClaim, status: LedgerStatus, said: str) -> None:
        """Let a candidate of which nothing was seen take no place of those declared."""
        reasons = {"choice": "undecided", "why": "no_run", "said": said}
        self.ledger.decide(claim.candidate, "undecided", reasons, epoch=status.epoch.epoch, counted=False)

    def _run_baseline(self, status: LedgerStatus, size: int) -> None:
        epoch = status.epoch
        one = self._present(status, epoch)
        taken = self._taken(one, lambda: self.ledger.baseline_run(epoch.epoch, size))
        if not taken:
            time.sleep(_PAUSE)
            return
        known = self._known if epoch.epoch == 0 else {}
        for run in taken:
            if run.seed in known:
                self._finish("baseline, measured before", run, known[run.seed])
        lost: list[tuple[RunClaim, Ended]] = []

        def on_end(run: RunClaim, ended: Ended) -> None:
            self._finish("baseline", run, ended)
            if ended.value is None:
                lost.append((run, ended))

        left = [run for run in taken if run.seed not in known]
        if left:
            self.runs.train(one, left, on_end, first=epoch.epoch == 0 and not epoch.values)
        self._check_lost(one, lost)

    def _check_lost(self, one: Contender, lost: Sequence[tuple[RunClaim, Ended]]) -> None:
        """Count the runs of the baseline that ended without a value.

        Raises:
            LastbitError: they are too many.
        """
        self._lost += len(lost)
        if lost and self._lost >= _LOST and self._lost > len(self.ledger.status().epoch.values):
            run, ended = lost[-1]
            raise LastbitError(
                f"{plural(self._lost, 'run')} of the baseline {one.text} ended without a result, the last with "
                f"seed {run.seed}: {ended.message}"
            )

    def _present(self, status: LedgerStatus, epoch: LedgerEpoch) -> Contender:
        """Return the baseline of an epoch: the first one, or a candidate that was kept."""
        if epoch.candidate is None:
            return self.baseline
        kept = status.of(epoch.candidate)
        if epoch.epoch not in self._baselines:
            self._baselines[epoch.epoch] = contender(kept.facts["text"], self.settings, kept.facts["folder"])
        one = self._baselines[epoch.epoch]
        _check_unchanged(one, kept.key, f"candidate {kept.candidate}, the baseline since it was kept,")
        return one

    def _finish(self, what: str, run: RunClaim, ended: Ended) -> None:
        self.ledger.finish(
            run.run,
            ended.status,
            value=ended.value,
            digest=ended.digest,
            message=ended.message,
            seconds=ended.seconds,
        )
        status = self.ledger.status()
        metric, unit = status.facts["metric"] or "result", status.facts["unit"]
        said = ended.message if ended.value is None else f"{metric} {number(ended.value, 5, unit)}"
        self.tell(f"{what}, seed {run.seed}: {said}")


def _check_unchanged(one: Contender, key: str, what: str) -> None:
    """Refuse a program whose files are no longer those that were claimed.

    Raises:
        LastbitError: they are not.
    """
    if one.key != key:
        raise LastbitError(
            f"{what} is no longer what it was, the files of {one.text!r} differ: put them back; a candidate belongs "
            "into a file of its own, which stays as it is"
        )
