"""The rules of C10 can fail: growth that ignores the threshold, and sharpness that stays below it, are not held."""

from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch

from lastbit.core.plain import plain
from lastbit.stats import Estimate, not_measured
from lastbit.studies.eos.growth_share import split_growth
from lastbit.studies.eos.tail import entered_at, tail_mean
from lastbit.studies.paper.claims import c10_measure
from lastbit.studies.paper.claims.c10 import CLAIM, judge, judge_batches
from lastbit.studies.paper.claims.c10_measure import Course, Edges, Training, gathered, pieces_of
from lastbit.studies.paper.lab import Lab

STEPS = np.arange(0, 3000, 10)


def training(seed, *, batch=0, level=1.02, obeys=True, network="tanh mlp", batch_level=0.7):
    """A ratio that rises from a half and hovers, and a twin that grows where it is above 1, or whenever it likes."""
    rng = np.random.default_rng([seed, batch])
    ratio = np.minimum(0.5 + STEPS / 1000, level) + 0.04 * rng.standard_normal(len(STEPS))
    # From the rounding of a step to a restrained level where it is above 1; or by the same factor in every step.
    drift = np.where(ratio > 1, 0.3, -0.4) if obeys else np.full(len(ratio), 0.05)
    logs = accumulate(drift[:-1], lambda at, by: min(max(at + by, 0.0), 15.0), initial=0.0)
    distance = 1e-9 * np.exp(list(logs))
    split = split_growth(STEPS, ratio, distance[None], 1e-9)
    return Training(
        network=network,
        batch=batch,
        lr=0.1,
        seed=seed,
        unsound="",
        restrained=True,
        threshold=20.0,
        first=float(ratio[0]),
        entered=entered_at(STEPS, ratio),
        tail=tail_mean(STEPS, ratio),
        batch_tail=Estimate(batch_level + 0.01 * seed, None, None, 1) if batch else None,
        growth=split.share_above_limit,
        above=split.share_of_steps_above_limit,
        decades=split.decades,
        apart=0.01,
    )


def edges(**settings):
    mini = [
        training(seed, batch=batch, batch_level=level) for seed in range(3) for batch, level in ((32, 0.6), (128, 0.8))
    ]
    course = Course(
        network="tanh mlp",
        batch=0,
        lr=0.1,
        threshold=20.0,
        steps=(1, 10),
        sharpness=(10.0, None),
        distance=(0.0, 1e-7),
        batch_steps=(),
        batch_sharpness=(),
    )
    return Edges(trainings=(*(training(seed, **settings) for seed in range(3)), *mini), courses=(course,))


def changed(measured, which, **fields):
    """The same trainings with fields of some changed."""
    trainings = tuple(replace(one, **fields) if which(one) else one for one in measured.trainings)
    return replace(measured, trainings=trainings)


def full(one):
    return not one.batch


def test_sharpness_at_its_threshold_and_growth_above_it_are_held():
    measured = edges()
    assert judge(measured).kind == "held"
    found = judge_batches(measured)
    assert found.kind == "held"
    assert found.numbers[0].value.estimate == pytest.approx(1.02, abs=0.02)


def test_growth_that_ignores_the_threshold_is_not_held():
    judged = judge(edges(obeys=False))
    assert judged.kind == "not_held"
    assert "ignores" in judged.why
    assert judge_batches(edges(obeys=False)).kind == "not_held"


@pytest.mark.parametrize("level", [0.6, 0.85])
def test_sharpness_that_stays_below_is_not_held(level):
    judged = judge(edges(level=level))
    assert judged.kind == "not_held"
    assert judged.numbers[0].name == "ratio"


def test_sharpness_that_settles_beyond_is_not_held():
    judged = judge(edges(level=1.3))
    assert judged.kind == "not_held"
    assert "settles" in judged.why


def test_one_network_that_fails_is_enough():
    other = edges(obeys=False, network="tanh cnn")
    both = replace(other, trainings=(*edges().trainings, *filter(full, other.trainings)))
    judged = judge(both)
    assert judged.kind == "not_held"
    assert "tanh cnn" in judged.why


def test_what_blows_up_is_not_restrained():
    gone = changed(edges(), lambda one: full(one) and one.seed == 1, restrained=False)
    assert judge(gone).kind == "not_held"
    assert judge_batches(changed(edges(), lambda one: one.batch == 32, restrained=False)).kind == "not_held"


@pytest.mark.parametrize(
    "thin",
    [
        replace(edges(), trainings=()),
        replace(edges(), trainings=edges().trainings[1:]),
        changed(edges(), full, tail=not_measured("too few")),
        changed(edges(), full, growth=not_measured("too few")),
        changed(edges(), full, above=0.99),
        changed(edges(), full, first=0.97),
        changed(edges(), lambda one: full(one) and one.seed == 2, unsound="its exact repeat is not identical"),
        changed(edges(), lambda one: full(one) and one.seed == 2, tail=Estimate(1.2, None, None, 1)),
    ],
)
def test_a_thin_sample_is_undecided(thin):
    assert judge(thin).kind == "undecided"
    assert judge_batches(thin).kind == "undecided"


def test_mini_batches_that_reach_the_threshold_or_turn_round_are_not_held():
    reaching = changed(edges(), lambda one: one.batch == 128, batch_tail=Estimate(1.05, None, None, 1))
    assert judge_batches(reaching).kind == "not_held"
    turned = changed(edges(), lambda one: one.batch == 32, batch_tail=Estimate(0.95, None, None, 1))
    assert judge_batches(turned).kind == "not_held"
    assert judge(turned).kind == "held"
    one_size = replace(edges(), trainings=tuple(one for one in edges().trainings if one.batch != 32))
    assert judge_batches(one_size).kind == "undecided"


def test_it_draws_what_was_measured():
    measured = edges()
    (drawing,) = CLAIM.drawings(measured)
    assert drawing.panels[0].series[0].y[0] == 10.0
    assert drawing.panels[0].levels[0].value == 20.0
    (table,) = CLAIM.tables(measured)
    assert len(table.rows) == 3


def test_every_scale_trains_both_networks_and_two_sizes_of_batches():
    for sizes in c10_measure.SIZES.values():
        assert len({one.network for one in sizes if not one.batch}) == 2
        assert len({one.batch for one in sizes if one.batch}) == 2


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("scale", ["small", "full"])
def test_a_cut_down_run_goes_through_and_on(scale, tmp_path, monkeypatch):
    tiny = {"steps": 45, "every": 1, "width": 4, "train_size": 60, "twins": 1, "seeds": 1}
    cut = tuple(
        replace(one, task="digits", settings={**one.settings, **tiny, **({"batch_size": 32} if one.batch else {})})
        for one in c10_measure.SIZES[scale]
        if one.network != "tanh vgg11" and one.batch in (0, 32)
    )
    monkeypatch.setattr(c10_measure, "SIZES", {scale: cut})

    def measured(folder: Path):
        lab = Lab(scale=scale, device=torch.device("cpu"), folder=folder, workers=1, quiet=True)
        return {piece.name: plain(piece.measure(lab)) for piece in pieces_of(scale)}

    first = measured(tmp_path / "first")
    assert measured(tmp_path / "first") == first
    assert measured(tmp_path / "second") == first
    found = gathered(first)
    assert {one.batch for one in found.trainings} == {0, 32}
    assert all(not one.unsound for one in found.trainings)
    assert judge(found).kind == judge_batches(found).kind == "undecided"
    assert CLAIM.drawings(found)
    assert CLAIM.tables(found)
