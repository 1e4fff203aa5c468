"""A ledger whose processes are killed between any two statements, and one that several work on at once."""

import os
import random
import signal
import time
from itertools import pairwise

import gate_driver as driver
import pytest
from gate_driver import EFFECTS, ended, in_child, opened

from lastbit.core.errors import LastbitError
from lastbit.store.ledger import Ledger

KEYS = ("same", "good", "last")


def session(folder, keys=KEYS):
    with opened(folder) as ledger:
        for key in keys:
            driver.decide(ledger, key)


def killed_at(folder, statement):
    """Work on a session, and be killed at a statement of SQL; return whether it came so far. A training counts as 8."""
    trained = driver.trained

    def work():
        left = [statement]

        def heard(_):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def slowly(mean, seed):
            for _ in range(8):
                heard("")
            return trained(mean, seed)

        driver.trained = slowly
        with opened(folder) as ledger:
            ledger._database.set_trace_callback(heard)
            for key in KEYS:
                driver.decide(ledger, key)

    return ended(in_child(work)) == signal.SIGKILL


def statements(folder):
    """How many statements of SQL a session takes."""
    heard = []
    with opened(folder) as ledger:
        ledger._database.set_trace_callback(heard.append)
        for key in KEYS:
            driver.decide(ledger, key)
    return len(heard)


def ended_runs(status):
    """The runs that ended, with the time at which they did."""
    everything = (run for one in (*status.epochs, *status.candidates) for run in one.runs)
    return {(run.run, run.value, run.finished_at) for run in everything if run.finished_at is not None}


@pytest.mark.parametrize("samples", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_between_any_two_statements_nothing_is_lost(tmp_path, samples):
    """What is done after a kill ends as if there had been none: order, levels, seeds, values and decisions."""
    total = statements(tmp_path / "whole")
    whole = driver.story(Ledger.read(tmp_path / "whole"))
    chosen = random.Random(0).sample(range(1, total + 1), samples)
    for statement in chosen:
        folder = tmp_path / str(statement)
        assert killed_at(folder, statement)
        before = Ledger.read(folder)
        session(folder)
        after = Ledger.read(folder)
        assert driver.story(after) == whole
        for one, same in zip(before.candidates, after.candidates, strict=False):
            assert one.decision is None or one.decision == same.decision
        assert ended_runs(before) <= ended_runs(after), "a finished run was lost"
        assert not list((folder / "gate.owners").iterdir())


def test_killed_again_and_again_it_comes_to_the_same(tmp_path):
    session(tmp_path / "whole")
    often = tmp_path / "often"
    kills = 0
    while killed_at(often, 60 + kills % 7):
        kills += 1
    assert kills > 3
    assert driver.story(Ledger.read(often)) == driver.story(Ledger.read(tmp_path / "whole"))
    attempts = [run.attempts for one in Ledger.read(often).candidates for run in one.runs]
    assert max(attempts) > 1


def test_several_at_once_decide_every_candidate_once(tmp_path):
    """Three processes, and one that is killed: places in order, no run done twice, all decided, the baseline shared."""
    keys = list(EFFECTS)

    def patient(turn):
        # A key that another process holds is left to it.
        with opened(tmp_path) as ledger:
            left, last = [*keys[turn:], *keys[:turn]], time.monotonic() + 30
            while left and time.monotonic() < last:
                key = left.pop(0)
                try:
                    driver.decide(ledger, key)
                except LastbitError as error:
                    if "is comparing this candidate already" not in str(error):
                        raise
                    left.append(key)
                    time.sleep(0.002)
            assert not left

    victim = in_child(lambda: (opened(tmp_path).claim("good"), time.sleep(60)))
    children = [in_child(lambda turn=turn: patient(turn)) for turn in (0, 2, 4)]
    time.sleep(0.2)
    os.kill(victim, signal.SIGKILL)
    assert [ended(child) for child in (*children, victim)] == [0, 0, 0, signal.SIGKILL]
    status = Ledger.read(tmp_path)
    assert sorted(one.key for one in status.candidates) == sorted(keys)
    assert all(len(one.decisions) == 1 for one in status.candidates)
    assert [one.candidate for one in status.candidates] == list(range(1, 7))
    for before, after in pairwise(status.candidates):
        assert before.keeps <= after.keeps
    seeds = [run.seed for one in (*status.epochs, *status.candidates) for run in one.runs if run.number]
    assert len(seeds) == len(set(seeds)), "only first runs share a seed"
    assert {run.attempts for epoch in status.epochs for run in epoch.runs} == {1}


def test_many_begin_one_session_at_once(tmp_path):
    children = [in_child(lambda: opened(tmp_path / "new").close()) for _ in range(6)]
    assert [ended(child) for child in children] == [0] * 6
    status = Ledger.read(tmp_path / "new")
    assert (status.keeps, status.declared, len(status.epochs)) == (0, 6, 1)


def test_who_is_alive_keeps_what_it_holds_and_who_is_dead_does_not(tmp_path):
    def hold():
        ledger = opened(tmp_path)
        ledger.claim("a")
        ledger.baseline_run(0, 1)
        os.write(told, b"x")
        time.sleep(60)

    heard, told = os.pipe()
    holder = in_child(hold)
    assert os.read(heard, 1) == b"x"
    with opened(tmp_path) as ledger:
        with pytest.raises(LastbitError, match=f"process {holder} is comparing this candidate already"):
            ledger.claim("a")
        assert ledger.baseline_run(0, 1) is None
        os.kill(holder, signal.SIGKILL)
        ended(holder)
        assert ledger.claim("a").resumed
        assert ledger.baseline_run(0, 1).attempts == 2
