"""The rules of C9 can fail: amplification outside the window is not held, too little is undecided; it runs cut down."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lastbit.core.plain import plain
from lastbit.studies.paper.claims import c09_measure
from lastbit.studies.paper.claims.c09 import CLAIM
from lastbit.studies.paper.claims.c09_measure import Sizes
from lastbit.studies.paper.claims.c09_rules import Twin, Twins, TwinSweep, judge_aperiodic, judge_exactly
from lastbit.studies.paper.claims.flows import FlowSetting
from lastbit.studies.paper.lab import Lab

RULES = [judge_exactly, judge_aperiodic]


def twin(status, orbit="", difference=1e-13, lr=0.3):
    return Twin(lr=lr, status=status, orbit=orbit, first=1e-17, difference=difference)


REST, BLOWN = [twin("converged")] * 3, [twin("diverged")] * 3
CHAOS, CYCLE = [twin("restrained", "aperiodic", 1.0)] * 3, [twin("restrained", "periodic")] * 3


def of(*runs, control=0.0):
    empty, sweep = (TwinSweep(words="flow", decay=1.0, runs=tuple(some)) for some in ((), runs))
    return Twins(reference=empty, sweeps=(sweep,), control=control)


EXACTLY, FOUND = of(*REST, *CHAOS, *BLOWN), of(*REST, *CHAOS, *CYCLE, *BLOWN)


def test_amplification_in_the_window_alone_is_held():
    assert judge_exactly(EXACTLY).kind == "held"
    assert judge_aperiodic(FOUND).kind == "held"


@pytest.mark.parametrize("judge", RULES)
@pytest.mark.parametrize("status", ["converged", "diverged"])
def test_amplification_outside_the_window_is_not_held(judge, status):
    judged = judge(of(*REST, *CHAOS, *CYCLE, *BLOWN, twin(status, difference=0.5)))
    assert judged.kind == "not_held"
    assert "outside the window" in judged.why


def test_a_calm_cycle_in_the_window_speaks_against_the_published_form_alone():
    judged = judge_exactly(FOUND)
    assert judged.kind == "not_held"
    assert "3 of 6" in judged.why
    # And our form says nothing more than the published one where every cycle amplifies.
    loud = [replace(one, difference=1.0) for one in CYCLE]
    assert judge_aperiodic(of(*REST, *CHAOS, *loud, *BLOWN)).kind == "not_held"


@pytest.mark.parametrize("judge", RULES)
def test_a_calm_aperiodic_orbit_speaks_against_both(judge):
    assert judge(of(*REST, *CHAOS, *CYCLE, *BLOWN, twin("restrained", "aperiodic"))).kind == "not_held"


@pytest.mark.parametrize(
    ("judge", "runs"),
    [
        *((judge, runs) for judge in RULES for runs in ((), (*REST[1:], *CHAOS, *CYCLE, *BLOWN), (*REST, *CHAOS))),
        (judge_aperiodic, (*REST, *CHAOS, *CYCLE[1:], *BLOWN)),
        (judge_aperiodic, (*REST, *CHAOS[1:], *CYCLE, *BLOWN)),
        (judge_exactly, (*REST, *CHAOS, *BLOWN, *[twin("converged", difference=1e-4)] * 2)),
        (judge_aperiodic, (*REST, *CHAOS, *CYCLE, *BLOWN, *[twin("restrained", "settling")] * 2)),
    ],
)
def test_a_thin_sample_is_undecided(judge, runs):
    assert judge(of(*runs)).kind == "undecided"


@pytest.mark.parametrize("judge", RULES)
def test_a_control_that_differs_decides_nothing(judge):
    assert judge(replace(FOUND, control=1e-17)).kind == "undecided"


def test_the_end_itself_and_twins_that_did_not_land_are_not_judged():
    marginal = twin("restrained", "aperiodic", lr=2.0)
    unmoved = replace(twin("restrained", "aperiodic", 0.0), first=0.0)
    assert judge_exactly(of(*REST, *CHAOS, *BLOWN, marginal, unmoved)).kind == "held"


@pytest.mark.slow
def test_it_runs_cut_down_and_draws_what_was_measured(monkeypatch):
    board = FlowSetting("checkerboard", 16, 8, 5.0, 0, 1000)
    monkeypatch.setitem(c09_measure.SIZES, "full", Sizes((board,), 31))
    monkeypatch.setattr(c09_measure, "REFERENCE", FlowSetting("checkerboard", 40, 32, 20.0, -1, 300))
    monkeypatch.setattr(c09_measure, "_BOARD", board)
    lab = Lab(scale="full", device=torch.device("cpu"), folder=Path(), workers=1)
    measured = CLAIM.gather({one.name: plain(one.measure(lab)) for one in CLAIM.pieces("full")})
    assert measured.control == 0
    assert judge_exactly(measured).kind == "not_held"
    assert judge_aperiodic(measured).kind == "held"
    (drawing,) = CLAIM.drawings(measured)
    drawn = {one.label: list(one.x) for one in drawing.panels[1].series}
    assert drawn["aperiodic"] == [one.lr for one in measured.sweeps[0].runs if one.kind == "aperiodic"]
    (table,) = CLAIM.tables(measured)
    assert len(table.rows) == 2
    assert len(CLAIM.remarks(measured)) == 2
