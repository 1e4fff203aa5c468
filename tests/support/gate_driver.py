"""The loop around a ledger, with trainings that are a number: what a command of the gate does, for tests of both."""

import os
import sys
import time
import traceback

import numpy as np

from lastbit.core.plain import plain
from lastbit.core.status import RunStatus
from lastbit.stats.gate import Candidate, Choice, Session, Why, look
from lastbit.stats.gate_session import GateRules
from lastbit.store.ledger import Ledger
from lastbit.store.ledger_records import RunState
from lastbit.store.ledger_session import Terms

TERMS = Terms(fingerprint="f00", label="train.py", error_rate=0.05, facts={"metric": "accuracy"})
RULES = GateRules(candidates=6, looks=(1, 2, 4), baseline_sizes=(3, 4, 4), futility=(0.0, 0.0), shares=(0.0, 0.0, 1.0))
"""Few runs, so that a whole session takes a fraction of a second."""

EFFECTS = {"same": 0.0, "worse": -3.0, "good": 9.0, "little": 0.5, "better": 9.0, "last": 0.2}
"""By how much each candidate is better than the baseline of its time."""


def opened(folder, terms=TERMS, candidates=RULES.candidates):
    return Ledger.open(folder, terms=terms, candidates=candidates)


def trained(mean, seed):
    """Return a metric and a digest: equal for equal trainings alone."""
    value = mean + float(np.random.default_rng(seed).standard_normal())
    return value, f"{mean}-{seed}"


def level_of(status):
    """Return the mean of the present baseline."""
    return float(sum(EFFECTS[status.of(epoch.candidate).key] for epoch in status.epochs[1:]))


def decide(ledger, key, rules=RULES, patience=30.0):
    """Return what is decided of a candidate, running what that needs."""
    claim, last = ledger.claim(key, label=key), time.monotonic() + patience
    if claim.decision is not None:
        return claim.decision.choice
    while time.monotonic() < last:
        status = ledger.status()
        own, base = status.of(claim.candidate), status.epoch
        session = Session.of([epoch.values for epoch in status.epochs], keeps=claim.keeps)
        candidate = Candidate(
            values=own.values,
            crashed=own.count(RunState.CRASHED),
            diverged=own.count(RunState.DIVERGED),
            same_bits=status.same_bits(claim.candidate),
        )
        decision = look(rules, session, candidate, higher_is_better=True)
        if decision.choice is not Choice.MORE:
            counted = decision.why is not Why.SAME_BITS
            if ledger.decide(claim.candidate, decision.choice, plain(decision), epoch=base.epoch, counted=counted):
                return decision.choice.value
        elif len(base.values) < decision.baseline_runs:
            run = ledger.baseline_run(base.epoch, decision.baseline_runs)
            if run is None:
                time.sleep(0.002)  # another process does it
                continue
            finish(ledger, run, level_of(status))
        else:
            run = ledger.candidate_run(claim.candidate, decision.candidate_runs)
            finish(ledger, run, level_of(status) + EFFECTS[key])
    raise TimeoutError(key)


def finish(ledger, run, mean):
    value, digest = trained(mean, run.seed)
    ledger.finish(run.run, RunStatus.OK, value=value, digest=digest, seconds=0.1)


def story(status):
    """Return what a session came to, without times, processes and attempts."""

    def told(runs):
        return [(run.number, run.seed, run.state, run.value, run.digest) for run in runs]

    return (
        [(one.epoch, one.candidate, told(one.runs)) for one in status.epochs],
        [
            (
                (one.candidate, one.key, one.keeps, one.declared, one.counted, one.owner, told(one.runs)),
                [(made.choice, made.reasons, made.epoch) for made in one.decisions],
            )
            for one in status.candidates
        ],
    )


def in_child(work):
    """Do `work` in a process of its own, which shares nothing that is open; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    os._exit(0)


def ended(child):
    return os.waitpid(child, 0)[1]
