"""The rules of C12 can fail: a stable rate that rises, or does not move, is not held; too few seeds are undecided."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lastbit.core.plain import plain
from lastbit.stats import Estimate
from lastbit.studies.eos.size_trend import power_of_size
from lastbit.studies.paper.claims import c12_measure
from lastbit.studies.paper.claims.c12 import CLAIM, judge, judge_kept
from lastbit.studies.paper.claims.c12_measure import AXES, INITS, Trend, Trends, gathered, pieces_of
from lastbit.studies.paper.claims.c12_sizes import SIZES
from lastbit.studies.paper.lab import Lab

GROWN = np.array([1, 2, 4, 8])


def trend(by="training", init="kept", axis="depth", power=-1.0, seeds=3, spread=0.1, sizes=GROWN, batch=0):
    """Rates of a power law, each seed's with a slope of its own about it."""
    slopes = power + spread * np.linspace(-1, 1, seeds)
    lines = {(seed,): 0.1 * sizes**slope for seed, slope in enumerate(slopes)}
    return Trend(
        network="tanh mlp",
        by=by,
        init=init,
        axis=axis,
        batch=batch,
        when="start" if by == "theory" else "lowest",
        sizes=sizes.tolist(),
        rates=(0.1 * sizes**power).tolist(),
        exponent=power_of_size(np.log(sizes), lines),
    )


def measured(**settings):
    """Trends that fall, but for one along trainings over depth, which is as told."""
    rest = [trend(by, init, axis) for by in ("theory", "training") for init in INITS for axis in AXES]
    told = trend(**settings)
    return Trends(trends=(*(one for one in rest if (one.by, one.init, one.axis) != keyed(told)), told))


def keyed(one):
    return one.by, one.init, one.axis


def test_rates_that_fall_are_held():
    judged = judge(measured(power=-0.5))
    assert judged.kind == "held"
    assert judged.numbers[0].value.estimate == pytest.approx(-0.5)
    assert judge_kept(measured(power=-0.5)).kind == "held"


@pytest.mark.parametrize("power", [0.9, 0.0])
@pytest.mark.parametrize("by", ["theory", "training"])
@pytest.mark.parametrize("axis", AXES)
def test_a_rate_that_rises_or_stays_is_not_held(power, by, axis):
    rising = measured(power=power, by=by, axis=axis, spread=0.01)
    judged = judge(rising)
    assert judged.kind == judge_kept(rising).kind == "not_held"
    assert axis in judged.why
    assert judged.numbers[0].value.estimate == pytest.approx(power, abs=1e-9)


def test_with_mini_batches_too():
    with_batches = Trends(trends=(*measured().trends, trend(batch=32, power=0.5)))
    assert judge_kept(with_batches).kind == "not_held"


def test_what_rises_with_the_usual_weights_alone_is_the_initialisation():
    rising = measured(init="usual", power=0.9)
    assert judge(rising).kind == "not_held"
    assert judge_kept(rising).kind == "held"
    assert "initialisation" in CLAIM.remarks(rising)[0]
    assert CLAIM.remarks(measured(power=0.9)) == [
        "depth, tanh mlp trained, weights that keep signals, lowest along the training: over depth 2 to 8 alone, means "
        "over the seeds go as depth^0.9."
    ]
    assert not CLAIM.remarks(measured())


@pytest.mark.parametrize(
    "thin",
    [
        Trends(trends=()),
        Trends(trends=measured().trends[1:]),
        measured(seeds=2),
        measured(sizes=np.array([1, 2])),
        measured(spread=3.0),
        Trends(
            trends=(*measured().trends[:-1], replace(measured().trends[-1], exponent=Estimate(None, None, None, 0)))
        ),
    ],
)
def test_a_thin_sample_is_undecided(thin):
    assert judge(thin).kind == "undecided"


def test_it_draws_what_was_measured():
    (drawing,) = CLAIM.drawings(measured())
    assert [panel.x_label for panel in drawing.panels] == [*AXES, *AXES]
    assert drawing.panels[0].series[0].y == trend().rates
    (table,) = CLAIM.tables(measured())
    assert len(table.rows) == 12


@pytest.mark.parametrize("scale", SIZES)
def test_every_scale_grows_depth_width_and_kernel(scale):
    at = SIZES[scale]
    assert {axis for _, axis in at.grown} == set(AXES)
    assert min(map(len, (at.depths, at.widths, at.kernels, *at.grown.values()))) >= 3
    assert min(at.seeds, at.trained_seeds) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["small", "full"])
def test_a_cut_down_run_goes_through(scale, tmp_path, monkeypatch):
    small = {"seeds": 2, "depths": (1, 2), "widths": (1, 2), "kernels": (1, 3), "trained_seeds": 1}
    grown = {place: sizes[:2] for place, sizes in SIZES[scale].grown.items()}
    fast = {"task": "digits", "train_size": 60, "batch": 20, "steps": 9, "every": 3, "grown": grown}
    monkeypatch.setattr(c12_measure, "SIZES", {scale: replace(SIZES[scale], **small, **fast)})
    lab = Lab(scale=scale, device=torch.device("cpu"), folder=tmp_path, workers=1, quiet=True)
    found = {piece.name: plain(piece.measure(lab)) for piece in pieces_of(scale)}
    assert found == {piece.name: plain(piece.measure(lab)) for piece in pieces_of(scale)}
    trends = gathered(found)
    assert {(one.by, one.init, one.axis) for one in trends.trends} == {
        (by, init, axis) for by in ("theory", "training") for init in INITS for axis in AXES
    }
    assert all(len(one.rates) == 2 for one in trends.trends)
    assert judge(trends).kind in ("undecided", "not_held")
    assert CLAIM.drawings(trends)
    assert CLAIM.tables(trends)
