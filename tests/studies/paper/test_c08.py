"""The rules of C8 can fail: a blow-up in the window is not held, too little is undecided; it runs cut down."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lastbit.core.plain import plain
from lastbit.studies.paper.claims import c08_measure
from lastbit.studies.paper.claims.c08 import CLAIM
from lastbit.studies.paper.claims.c08_measure import Sizes
from lastbit.studies.paper.claims.c08_rules import End, Restrained, Run, Sweep, judge_ends, judge_order
from lastbit.studies.paper.claims.flows import FlowSetting
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import Bracket


def run(lr, status, rises=0.4, growth=1.0):
    if status == "diverged":
        return Run(lr=lr, status=status, end=None, least=None, largest=None, growth=None, rises=None)
    rises = 0.0 if status == "converged" else rises
    return Run(lr=lr, status=status, end=0.3, least=0.3, largest=0.6, growth=growth, rises=rises)


def sweep(*statuses, **more):
    return Sweep(words="flow", decay=1.0, runs=tuple(run(0.1 * i, one, **more) for i, one in enumerate(statuses, 1)))


GOOD = ("converged",) * 3 + ("restrained",) * 4 + ("diverged",) * 3


def end(kind, found, foretold=1.0):
    return End(kind=kind, what=kind, bracket=Bracket(what=kind, foretold=foretold, low=found - 1e-3, high=found + 1e-3))


ENDS = (end("lower", 1.0), end("upper", 1.0), end("lower", 1.0), end("upper", 1.0), end("least upper", 1.04))
MEASURED = Restrained(reference=sweep(*GOOD), sweeps=(sweep(*GOOD),), ends=ENDS)


def of(*statuses, **more):
    return replace(MEASURED, sweeps=(sweep(*statuses, **more),))


def test_rest_restraint_and_blow_up_in_order_are_held():
    assert judge_order(MEASURED).kind == "held"
    assert judge_ends(MEASURED).kind == "held"


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        # Blow-up in the window, at one learning rate and at all.
        (of(*GOOD[:5], "diverged", *GOOD[5:]), "out of order: diverged"),
        (of(*("converged",) * 5, *("diverged",) * 5), "no learning rate is restrained"),
        (of(*GOOD[:5], "converged", *GOOD[5:]), "out of order: restrained"),
        (of(*GOOD, growth=3.0), "still grows"),
        (of(*GOOD, rises=0.0), "oscillates at only 0%"),
        (replace(MEASURED, reference=sweep(*GOOD[:5], "diverged", *GOOD[5:])), "out of order"),
    ],
)
def test_counter_examples_are_not_held(measured, why):
    judged = judge_order(measured)
    assert judged.kind == "not_held"
    assert why in judged.why


@pytest.mark.parametrize(
    "measured", [of(*GOOD[1:]), of(*GOOD[:9]), of(*GOOD[:3], "undecided", "undecided", *GOOD[3:]), of()]
)
def test_a_thin_sample_is_undecided(measured):
    assert judge_order(measured).kind == "undecided"


@pytest.mark.parametrize("place", range(5))
def test_an_end_off_by_a_few_per_cent_is_not_held(place):
    moved = (*ENDS[:place], end(ENDS[place].kind, 0.97), *ENDS[place + 1 :])
    assert judge_ends(replace(MEASURED, ends=moved)).kind == "not_held"


@pytest.mark.parametrize("ends", [(), ENDS[:3], (*ENDS[:4], End(kind="lower", what="none found", bracket=None))])
def test_ends_that_were_not_found_are_undecided(ends):
    assert judge_ends(replace(MEASURED, ends=ends)).kind == "undecided"


@pytest.mark.slow
def test_it_runs_cut_down_and_draws_what_was_measured(monkeypatch):
    board, noise = (
        FlowSetting(image, 16, 4, decay, 0, 400, channels)
        for image, decay, channels in (("checkerboard", 1.5, 1), ("noise", 0.1, 2))
    )
    monkeypatch.setitem(c08_measure.SIZES, "full", Sizes((board,), 21, (board, noise)))
    monkeypatch.setattr(c08_measure, "REFERENCE", FlowSetting("checkerboard", 40, 32, 20.0, -1, 200))
    lab = Lab(scale="full", device=torch.device("cpu"), folder=Path(), workers=1)
    measured = CLAIM.gather({one.name: plain(one.measure(lab)) for one in CLAIM.pieces("full")})
    assert judge_order(measured).kind == "held"
    assert [one.status for one in measured.reference.runs][::8] == ["converged", "diverged"]
    assert [one.kind for one in measured.ends] == ["lower", "upper", "lower", "least upper"]
    (drawing,) = CLAIM.drawings(measured)
    assert drawing.panels[1].series[1].x == [one.lr for one in measured.sweeps[0].of("restrained")]
    flows, ends = CLAIM.tables(measured)
    assert len(flows.rows) == 2
    assert len(ends.rows) == sum(one.bracket is not None for one in measured.ends)
    assert len(CLAIM.remarks(measured)) == 2
