"""The rules of C7 can fail: a bound or a factor off by a few per cent is not held, too little is undecided."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lastbit.core.plain import plain
from lastbit.studies.paper.claims import c07_measure
from lastbit.studies.paper.claims.c07 import CLAIM, At, Regimes, judge_quarter, judge_table
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import Bracket


def at(regime, label, factor, mean=False):
    """A kernel whose bounds are as foretold, by our table and, for a factor of 1/8, by the published one."""
    bound = Bracket(what=f"upper bound ({regime})", foretold=2.0, low=1.999, high=2.001)
    coefficient = factor if regime == "activated" else None
    return At(
        regime=regime, label=label, mean=mean, share=1.0, coefficient=coefficient, ours=(bound,), published=(bound,)
    )


def regimes(factor, count=3):
    rows = [
        (regime, label, False) for regime in ("activated", "transitioning", "not_activated") for label in (1.0, 0.0)
    ]
    kernels = [at(regime, label, factor, mean) for regime, label, mean in (*rows, ("transitioning", 1.0, True))] * count
    return Regimes(kernels=tuple(kernels), slopes={"t": [0.0], "first": [0.5], "second": [0.5], "edge": 2.4})


RULES = [(judge_table, 0.125), (judge_quarter, 0.25)]


@pytest.mark.parametrize(("judge", "factor"), RULES)
def test_each_table_is_held_by_its_own_factor_alone(judge, factor):
    assert judge(regimes(factor)).kind == "held"
    for other in (0.375 - factor, 0.97 * factor, 1.03 * factor):
        judged = judge(regimes(other))
        assert judged.kind == "not_held"
        assert judged.numbers[0].reference == factor


@pytest.mark.parametrize(("judge", "factor"), RULES)
@pytest.mark.parametrize("moved", [0.97, 1.03])
def test_a_bound_off_by_a_few_per_cent_is_not_held(judge, factor, moved):
    good = regimes(factor)
    first = good.kernels[1]
    off = Bracket(what="the one", foretold=2.0, low=1.999 * moved, high=2.001 * moved)
    judged = judge(replace(good, kernels=(*good.kernels, replace(first, ours=(off,), published=(off,)))))
    assert judged.kind == "not_held"
    assert "the one" in judged.why


@pytest.mark.parametrize(("judge", "factor"), RULES)
def test_a_thin_sample_is_undecided(judge, factor):
    good = regimes(factor)
    without = [one for one in good.kernels if one.regime != "not_activated"]
    elsewhere = replace(good.kernels[0], share=0.9)
    wide = replace(good.kernels[1], ours=(replace(good.kernels[1].ours[0], high=2.2),))
    wide = replace(wide, published=wide.ours)
    for kernels in ((), without, (*good.kernels, elsewhere), (*good.kernels, wide)):
        assert judge(replace(good, kernels=tuple(kernels))).kind == "undecided"
    assert judge(regimes(factor, count=2)).kind == "undecided"


@pytest.mark.slow
def test_it_runs_cut_down_and_finds_a_quarter(monkeypatch):
    monkeypatch.setitem(c07_measure.SIZES, "full", (3, 1000))
    lab = Lab(scale="full", device=torch.device("cpu"), folder=Path(), workers=1)
    measured = CLAIM.gather({one.name: plain(one.measure(lab)) for one in CLAIM.pieces("full")})
    assert judge_quarter(measured).kind == "held"
    published = judge_table(measured)
    assert published.kind == "not_held"
    assert published.numbers[0].value.estimate == pytest.approx(0.25, rel=1e-3)
    (drawing,) = CLAIM.drawings(measured)
    assert len(drawing.panels[0].series[0].y) == 6
    (table,) = CLAIM.tables(measured)
    assert len(table.rows) == 7
