"""The rule of C1 can fail: twins that stay together, a control that differs, a start above the last bit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lastbit.studies.paper.claims import c01
from lastbit.studies.paper.claims.c01 import CLAIM, Apart, Diverged, judge
from lastbit.studies.paper.lab import Lab

GROWN, STAYED = (0.0, 3e-8, 1e-4, 0.8), (0.0, 3e-8, 5e-8, 2e-7)


def diverged(*twins, control=(0.0,) * 4, repeats=True):
    """Two trainings whose twins went these ways, the control of the second as given."""
    base = Apart(seed=0, repeats=True, steps=(0, 1, 50, 100), control=(0.0,) * 4, twins=twins)
    return Diverged(trainings=(base, replace(base, seed=1, control=control, repeats=repeats)))


def test_twins_that_end_at_order_one_are_held():
    judged = judge(diverged(GROWN, GROWN, GROWN))
    assert judged.kind == "held"
    numbers = {one.name: one.value for one in judged.numbers}
    assert numbers["reached"].estimate == 1.0
    assert numbers["start"].estimate == 3e-8
    assert numbers["control"].estimate == 0.0
    assert numbers["final"].estimate == 0.8


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        (diverged(STAYED, STAYED, STAYED), "0 of 6 twins"),
        (diverged(GROWN, GROWN, GROWN, control=(0.0, 0.0, 0.0, 1e-9)), "seed 1"),
        (diverged(GROWN, GROWN, GROWN, repeats=False), "seed 1"),
        (diverged((0.0, 1e-6, 1e-2, 0.8), GROWN, GROWN), "more than the last bit"),
        (diverged((0.0, 3e-8, 0.05, 0.09), STAYED, STAYED), "0 of 6"),
    ],
)
def test_counter_examples_are_not_held(measured, why):
    judged = judge(measured)
    assert judged.kind == "not_held"
    assert why in judged.why


@pytest.mark.parametrize(
    "measured",
    [Diverged(trainings=()), diverged(GROWN), diverged((0.0,) * 4), diverged(GROWN, STAYED, STAYED)],
)
def test_a_thin_sample_is_undecided(measured):
    assert judge(measured).kind == "undecided"


def test_a_twin_that_is_no_longer_finite_has_not_reached_order_one():
    assert judge(diverged((0.0, 3e-8, 1e-4, float("nan")), STAYED, STAYED)).kind == "not_held"


@pytest.mark.parametrize(
    "scale", ["small", *(pytest.param(scale, marks=pytest.mark.slow) for scale in ("medium", "full"))]
)
def test_pieces_run_from_end_to_end_cut_down(scale, tmp_path, monkeypatch):
    size = c01.SIZES[scale]
    cut = {"epochs": 1, "train_size": 20, "batch_size": 10, **({"width": 2} if scale == "full" else {})}
    small = replace(size, task="digits", seeds=2, twins=1, settings={**size.settings, **cut})
    monkeypatch.setitem(c01.SIZES, scale, small)
    lab = Lab(scale=scale, device=torch.device("cpu"), folder=Path(tmp_path), workers=1, quiet=True)
    found = {piece.name: json.loads(json.dumps(piece.measure(lab))) for piece in CLAIM.pieces(scale)}
    measured = CLAIM.gather(found)
    assert [one.steps for one in measured.trainings] == [(0, 1, 2)] * 2
    assert len(measured.landed) == 2
    assert {one.control for one in measured.trainings} == {(0.0, 0.0, 0.0)}
    assert judge(measured).kind in ("undecided", "not_held")
    (table,) = CLAIM.tables(measured)
    assert len(table.rows) == 2
    (drawing,) = CLAIM.drawings(measured)
    assert len(drawing.panels) == 2
    assert bool(CLAIM.remarks(measured)) == any(twin[-1] < 0.1 for _, twin in measured.landed)
