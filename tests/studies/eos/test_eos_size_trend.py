"""What a sweep says of larger networks: power laws that are known, and what is missing."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lastbit.studies.eos.cell_result import StableCourse
from lastbit.studies.eos.size_trend import QUANTITIES, size_trends, trend_sentence

SIZES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Trained:
    """What a trend reads of a training."""

    axes: dict[str, float]
    seed: int
    entered_at_step: int | None
    stable_lr: StableCourse
    status: str = "ok"


def sweep(power=-1.0, seeds=3, noise=0.0, lrs=(0.1,), entered=True, scale=1.0, random=0):
    """Cells whose rates follow `scale * depth^power`, times lognormal noise."""
    draw = np.random.default_rng(random)
    return [
        Trained(
            axes={"depth": depth, "width": 64, "lr": lr},
            seed=seed,
            entered_at_step=3 * depth if entered else None,
            stable_lr=StableCourse(
                **{
                    name: scale * depth**power * float(np.exp(noise * draw.standard_normal()))
                    for name in ("first", "lowest", "tail")
                }
            ),
        )
        for lr in lrs
        for depth in SIZES
        for seed in range(seeds)
    ]


def exponent(cells, quantity="stable_lr_first"):
    return next(trend for trend in size_trends(cells) if trend.quantity == quantity)


def test_a_power_law_gives_its_exponent():
    found = exponent(sweep(power=-0.7))
    assert found.exponent.estimate == pytest.approx(-0.7)
    assert found.rank_correlation == -1
    assert list(found.means) == pytest.approx([d**-0.7 for d in SIZES])
    assert (found.trainings, found.left_out) == (12, 0)
    # Seeds that agree to the last bit show no spread to take an interval from, and none is made up.
    assert exponent(sweep(power=-1.0)).direction == "unclear"


def test_the_interval_is_students_over_the_seeds():
    cells = sweep(noise=0.2)
    slopes = []
    for seed in range(3):
        rates = [cell.stable_lr.first for cell in cells if cell.seed == seed]
        slopes.append(stats.linregress(np.log(SIZES), np.log(rates)).slope)
    low, high = stats.t.interval(0.95, 2, np.mean(slopes), stats.sem(slopes))
    found = exponent(cells).exponent
    assert (found.low, found.high, found.n) == (pytest.approx(low), pytest.approx(high), 3)


def test_the_interval_covers_the_exponent_as_often_as_it_says():
    held = [exponent(sweep(noise=0.3, random=k)).exponent for k in range(150)]
    covered = np.mean([found.low <= -1.0 <= found.high for found in held])
    # Binomial: 95% minus 3 standard errors of 1.8%.
    assert covered >= 0.895


@given(power=st.floats(-3, 3), more=st.floats(-3, 3), scale=st.floats(1e-3, 1e3), random=st.integers(0, 50))
def test_units_do_not_matter_and_powers_add(power, more, scale, random):
    one = exponent(sweep(power=power, noise=0.1, random=random)).exponent
    two = exponent(sweep(power=power + more, noise=0.1, scale=scale, random=random)).exponent
    assert two.estimate == pytest.approx(one.estimate + more, abs=1e-9)
    assert two.high - two.low == pytest.approx(one.high - one.low, abs=1e-9)


def test_learning_rates_of_one_seed_are_no_samples():
    """Trainings of one seed start from the same weights, whatever their rate."""
    one, two = exponent(sweep(noise=0.2)).exponent, exponent(sweep(noise=0.2, lrs=(0.1, 0.2))).exponent
    assert one.n == two.n == 3


def test_a_line_with_a_gap_is_left_out_whole():
    cells = sweep(noise=0.1)
    cells[0] = replace(cells[0], stable_lr=StableCourse(first=None, lowest=None, tail=None))
    found = exponent(cells)
    assert (found.trainings, found.left_out, found.exponent.n) == (8, 4, 2)


def test_what_no_line_has_is_not_measured():
    found = exponent(sweep(entered=False), "entered_at_step")
    assert (found.exponent.estimate, found.direction, found.means) == (None, "not measured", ())


def test_a_limit_that_is_never_reached_ranks_last():
    cells = [replace(cell, entered_at_step=300 if cell.axes["depth"] == 8 else None) for cell in sweep()]
    found = exponent(cells, "entered_at_step")
    assert found.exponent.estimate is None
    expected = stats.spearmanr(SIZES, [1000, 1000, 1000, 300]).statistic
    assert found.rank_correlation == pytest.approx(expected)


def test_a_slope_through_a_valley_is_no_trend():
    cells = sweep(power=0, noise=0.01)
    valley = {1: 1.0, 2: 0.7, 4: 0.5, 8: 0.85}
    cells = [
        replace(cell, stable_lr=replace(cell.stable_lr, first=cell.stable_lr.first * valley[cell.axes["depth"]]))
        for cell in cells
    ]
    found = exponent(cells)
    assert found.exponent.high < 0
    assert found.direction == "not monotone"
    assert "is not monotone at the first measurement" in trend_sentence(size_trends(cells))


def test_one_seed_has_the_interval_of_the_fit():
    cells = sweep(noise=0.2, seeds=1)
    fit = stats.linregress(np.log(SIZES), np.log([cell.stable_lr.first for cell in cells]))
    found = exponent(cells).exponent
    assert found.high - found.estimate == pytest.approx(stats.t.ppf(0.975, 2) * fit.stderr)
    assert exponent(sweep(seeds=1, lrs=(0.1, 0.2))).exponent.low is None


def test_without_a_size_there_is_nothing_to_say():
    cells = [replace(cell, axes={**cell.axes, "depth": 2}) for cell in sweep(lrs=(0.1, 0.2))]
    assert size_trends(cells) == ()
    assert trend_sentence([]) == ""


@pytest.mark.parametrize(("power", "word"), [(-1, "falls"), (1, "rises"), (0, "shows no clear trend")])
def test_the_sentence_names_direction_exponent_and_samples(power, word):
    trends = size_trends(sweep(power=power, noise=0.05))
    said = trend_sentence(trends)
    assert f"from depth 1 to 8 the stable learning rate {word} at the first measurement (as depth^" in said
    assert said.endswith("(12 trainings, 3 seeds)")
    assert [trend.quantity for trend in trends] == list(QUANTITIES)
