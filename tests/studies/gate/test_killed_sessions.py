"""Decisions whose process is killed with -9 again and again lose nothing, and two loops on one ledger share it."""

import os
import random
import signal
from contextlib import contextmanager

import pytest
from gate_driver import ended, in_child

import lastbit as lb
from lastbit.store.ledger import Ledger

pytestmark = pytest.mark.slow

NAMES = ("worse", "same", "better", "crashing")


def told(session):
    """What a session came to, without times and folders."""
    return (
        [(one.candidate, one.values) for one in session.baselines],
        [
            (one.candidate, one.text.rpartition(":")[2], one.choice, one.why, one.values, one.comparison)
            for one in session.candidates
        ],
        session.runs_spent,
        session.alpha_left,
    )


def dying_after(steps, monkeypatch, *, before):
    """Let this process kill itself at a step of the ledger, before it or right after."""
    whole, taken = Ledger._writing, [0]

    @contextmanager
    def writing(self):
        taken[0] += 1
        if before and taken[0] == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        with whole(self) as database:
            yield database
        if taken[0] == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Ledger, "_writing", writing)


def test_kill_9_between_any_two_steps_loses_nothing(desk, night, monkeypatch):
    chance, killed = random.Random(0), 0
    for name in NAMES:
        status = signal.SIGKILL
        while os.WIFSIGNALED(status):
            steps, before = chance.randrange(1, 12), chance.random() < 0.5

            def work(name=name, steps=steps, before=before):
                dying_after(steps, monkeypatch, before=before)
                desk(name)

            status = ended(in_child(work))
            killed += os.WIFSIGNALED(status)
        assert status == 0, name
    assert killed > 10
    found = lb.gate_status(desk.folder / "session").session
    assert told(found) == told(night["crashing"].session)


def test_two_loops_share_one_ledger(desk):
    def loop(*names):
        for name in names:
            desk(name)

    children = [
        in_child(lambda: loop("worse", "better", "crashing")),
        in_child(lambda: loop("same", "infinite", "bad")),
    ]
    assert [ended(child) for child in children] == [0, 0]
    session = lb.gate_status(desk.folder / "session").session
    choices = {one.text.rpartition(":")[2]: one.choice for one in session.candidates}
    assert choices["better"] == "keep"
    assert choices["crashing"] == "undecided"
    assert {choices[name] for name in ("worse", "same", "infinite", "bad")} == {"discard"}
    assert (session.keeps, len(session.candidates), len(session.baselines[0].values)) == (1, 6, 16)
    runs = [value for one in session.baselines for value in one.values]
    assert len({*runs}) == len(runs), "no run was done twice"
