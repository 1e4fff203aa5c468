"""The rules of C3 can fail: a divergence that does not depend on the learning rate, a float64 that stays below."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lastbit.studies.paper.claims import c03
from lastbit.studies.paper.claims.c03 import CLAIM, judge_found, judge_published
from lastbit.studies.paper.claims.c03_measure import Rated, Swept, Twin
from lastbit.studies.paper.lab import Lab

RATES, DTYPES = (0.4, 0.2, 0.1), ("float32", "float64")
JITTER = (0.0, 0.05, -0.03)


def swept(*, power, left=lambda activation, dtype, lr: True, level=0.5, twins=3, sound=True):
    """Twins whose growth per unit of scaled time goes as `lr**power`, up to some per cent."""
    return Swept(
        trainings=tuple(
            Rated(
                activation=activation,
                dtype=dtype,
                lr=lr,
                seed=0,
                sound=sound,
                steps=(1, 2),
                bound=(1e-7, 1e-6),
                twins=tuple(
                    Twin(
                        distance=(1e-7, level if dtype == "float64" else 0.5),
                        rate=0.2 * lr ** (1 + power + JITTER[i % 3]),
                        left=left(activation, dtype, lr),
                    )
                    for i in range(twins)
                ),
            )
            for activation in ("relu", "swish")
            for dtype in DTYPES
            for lr in RATES
        )
    )


def at_high(activation, dtype, lr):
    return lr == max(RATES)


def switching(activation, dtype, lr):
    return activation == "relu" or lr == max(RATES)


def test_growth_that_vanishes_at_low_rates_is_held():
    measured = swept(power=2.0, left=at_high)
    assert judge_published(measured).kind == "held"
    numbers = {one.name: one.value.estimate for one in judge_published(measured).numbers}
    assert numbers["left_high"] == 1.0
    assert numbers["left_low"] == 0.0
    assert numbers["power_swish"] == pytest.approx(2.0, abs=0.1)


def test_switches_that_amplify_at_any_rate_are_the_narrower_form():
    measured = swept(power=2.0, left=switching)
    assert judge_found(measured).kind == "held"
    assert judge_published(measured).kind == "undecided"


@pytest.mark.parametrize("measured", [swept(power=0.0), swept(power=-0.4)])
def test_a_divergence_that_does_not_depend_on_the_rate_is_not_held(measured):
    assert judge_published(measured).kind == "not_held"
    assert judge_found(measured).kind == "not_held"


@pytest.mark.parametrize("judge", [judge_published, judge_found])
def test_a_level_that_float64_does_not_reach_is_not_held(judge):
    judged = judge(swept(power=2.0, left=switching, level=1e-6))
    assert judged.kind == "not_held"


def test_relu_that_stays_within_rounding_is_not_the_narrower_form():
    assert judge_found(swept(power=2.0, left=lambda *_: False)).kind == "not_held"


@pytest.mark.parametrize("judge", [judge_published, judge_found])
def test_too_little_is_undecided(judge):
    whole = swept(power=2.0, left=switching)
    assert judge(Swept(trainings=whole.trainings[:3])).kind == "undecided"
    assert judge(swept(power=2.0, sound=False)).kind == "undecided"
    assert judge(swept(power=2.0, left=at_high, twins=1)).kind == "undecided"
    gone = replace(whole.trainings[0], twins=(Twin(distance=(1e-7, float("nan")), rate=1.0, left=True),))
    assert judge(Swept(trainings=(gone, *whole.trainings[1:]))).kind == "undecided"


def test_nothing_that_grows_at_the_highest_rate_leaves_the_published_form_open():
    assert judge_published(swept(power=2.0, left=lambda *_: False)).kind == "undecided"


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["small", "full"])
def test_pieces_run_from_end_to_end_cut_down(scale, tmp_path, monkeypatch):
    size = c03.SIZES[scale]
    cut = {**size.settings, "epochs": 1, "train_size": 20, "batch_size": 10, "width": 2, "every": 1}
    small = replace(size, task="digits", rates=size.rates[:2], seeds=(1,), twins=1, settings=cut)
    monkeypatch.setitem(c03.SIZES, scale, small)
    lab = Lab(scale=scale, device=torch.device("cpu"), folder=Path(tmp_path), workers=1, quiet=True)
    found = {piece.name: json.loads(json.dumps(piece.measure(lab))) for piece in CLAIM.pieces(scale)}
    measured = CLAIM.gather(found)
    assert [one.steps for one in measured.trainings] == [(1, 2), (1, 2, 3, 4)] * 4
    assert {(one.activation, one.dtype) for one in measured.trainings} == {
        (activation, dtype) for activation in ("relu", "swish") for dtype in DTYPES
    }
    assert all(one.sound for one in measured.trainings)
    drawings = CLAIM.drawings(measured)
    assert [[len(panel.series) for panel in drawing.panels] for drawing in drawings] == [[4, 4], [4, 4]]
    (table,) = CLAIM.tables(measured)
    assert len(table.rows) == 8
    assert judge_published(measured).kind in ("undecided", "not_held")
    assert len(CLAIM.remarks(measured)) <= 2
