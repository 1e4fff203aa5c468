"""What a change does to the spread, against SciPy, closed forms, slow twins, and lists without any effect."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, stats

from lastbit.core.errors import LastbitError
from lastbit.stats import Estimate, not_worse, ratio_of_means, remedy_effect, variance_components
from lastbit.stats.ratios import ratio_ends
from lastbit.stats.remedies import NO_LAST_BIT


def draw(seed, seeds=6, runs=6, ratio=1.0, width=1.0):
    """Base and change over the same seeds, whose last-bit variances are log-normal; the seeds' means are in common."""
    rng = np.random.default_rng(seed)
    means, scale = 2 * rng.standard_normal((seeds, 1)), np.exp(width / 2 * rng.standard_normal((seeds, 1)))
    return tuple(means + r * scale * rng.standard_normal((seeds, runs)) for r in (1.0, ratio))


def ends(estimate):
    return [estimate.low, estimate.high]


def slow_ratio(base, changed, level):
    """The jackknife of the pooled variances, and SciPy's t interval of the logarithms of those of the seeds."""

    def pooled(arm):
        return sum(row.var(ddof=1) * (len(row) - 1) for row in arm) / sum(len(row) - 1 for row in arm)

    def without(arm, out):
        return [row for s, row in enumerate(arm) if s != out]

    n, theta = len(base), math.log(pooled(changed) / pooled(base))
    left = [math.log(pooled(without(changed, s)) / pooled(without(base, s))) for s in range(n)]
    reach = stats.t.ppf((1 + level) / 2, n - 1) * math.sqrt((n - 1) / n * sum((x - np.mean(left)) ** 2 for x in left))
    logs = [math.log(c.var(ddof=1) / b.var(ddof=1)) for b, c in zip(base, changed, strict=True)]
    typical = stats.ttest_1samp(logs, 0.0).confidence_interval(level)
    both = min(theta - reach, typical.low), max(theta + reach, typical.high)
    return [math.sqrt(math.exp(number)) for number in (theta, *both)]


@pytest.mark.parametrize("seed", range(4))
def test_the_last_bits_ratio_is_that_of_a_slow_twin(seed):
    base, changed = draw(seed, ratio=0.5)
    found = remedy_effect(base, changed, level=0.9).last_bit_ratio
    np.testing.assert_allclose([found.estimate, *ends(found)], slow_ratio(base, changed, 0.9), rtol=1e-10)


def test_ratios_are_those_of_the_variance_components():
    base, changed = draw(5, ratio=0.4)
    changed[0, :3] = base[2, 1] = np.nan
    parts, found = [variance_components(arm) for arm in (base, changed)], remedy_effect(base, changed)
    for name, ratio in (("sigma_last_bit", found.last_bit_ratio), ("sigma_total", found.fresh_ratio)):
        first, second = (getattr(arm, name).estimate for arm in parts)
        assert ratio.estimate == pytest.approx(second / first, rel=1e-12)


def test_with_many_seeds_that_are_alike_the_interval_is_that_of_f():
    base, changed = draw(6, seeds=500, width=0.0)
    found = remedy_effect(base, changed).last_bit_ratio
    f = stats.f.ppf([0.975, 0.025], 2500, 2500)
    exact = found.estimate / np.sqrt(f)
    # The larger of two intervals of which each is known to a few percent; the logarithms know a little less than F.
    width = math.log(found.high / found.low) / math.log(exact[1] / exact[0])
    assert 0.97 < width < 1.35
    assert found.low < 1 < found.high


def test_arms_may_have_another_number_of_runs():
    rng = np.random.default_rng(18)
    found = remedy_effect(rng.standard_normal((500, 6)), rng.standard_normal((500, 2))).last_bit_ratio
    # The logarithm of a variance of two runs is 1.06 less on the mean than that of six.
    assert 0.85 < found.low < 1 < found.high < 1.15


def test_the_spread_of_a_fresh_run_is_judged_by_pitman_and_morgan_where_seeds_are_all_there_is():
    base, changed = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 12).T
    found = remedy_effect(base[:, None], 0.7 * changed[:, None]).fresh_ratio

    def chance(ratio):
        scaled = 0.7 * changed / ratio
        return stats.pearsonr(scaled - base, scaled + base).pvalue - 0.05

    # Here it is wider than the jackknife's.
    slow = optimize.brentq(chance, 0.1, found.estimate), optimize.brentq(chance, found.estimate, 5.0)
    np.testing.assert_allclose(ends(found), slow, rtol=1e-9)


def test_the_spread_of_a_fresh_run_is_judged_by_the_jackknife_where_seeds_differ():
    base, changed = draw(7, seeds=8, width=3.0)
    base, changed = (arm - arm.mean(axis=1, keepdims=True) for arm in (base, changed))
    found = remedy_effect(base, changed).fresh_ratio

    def log_ratio(rows):
        first, second = (variance_components(arm[rows]).sigma_total.estimate for arm in (base, changed))
        return 2 * math.log(second / first)

    left = np.array([log_ratio([s for s in range(8) if s != out]) for out in range(8)])
    reach = stats.t.ppf(0.975, 7) * math.sqrt(7 / 8 * ((left - left.mean()) ** 2).sum())
    np.testing.assert_allclose(np.log(ends(found)), math.log(found.estimate) + np.array([-reach, reach]) / 2, rtol=1e-9)


def test_the_difference_is_scipys_paired_t():
    base, changed = draw(8, ratio=0.5)
    found = remedy_effect(base, changed, level=0.9).difference
    oracle = stats.ttest_rel(changed.mean(axis=1), base.mean(axis=1)).confidence_interval(0.9)
    np.testing.assert_allclose(ends(found), [oracle.low, oracle.high], rtol=1e-10)


@given(st.permutations(range(12)), st.sampled_from([1e-3, 1.0, 1e6]))
def test_means_that_are_equal_do_not_differ_by_their_rounding(order, unit):
    shares = np.array([791, 788, 787, 790, 785, 789, 793, 788, 786, 790, 791, 787]).reshape(3, 4) / 800 * unit
    found = remedy_effect(shares, shares.ravel()[list(order)].reshape(3, 4)).difference
    assert found.estimate == 0.0
    beyond = remedy_effect(shares, shares + 1e-12 * unit).difference
    assert beyond.estimate == pytest.approx(1e-12 * unit, rel=1e-2)


def test_a_list_of_changes_is_judged_at_bonferronis_level():
    base, changed = draw(9)
    of_list, alone = remedy_effect(base, changed, comparisons=15), remedy_effect(base, changed, level=1 - 0.05 / 15)
    assert of_list == alone
    assert of_list.last_bit_ratio.high > remedy_effect(base, changed).last_bit_ratio.high
    one, two = base.std(axis=1), changed.std(axis=1)
    assert ratio_of_means(one, two, comparisons=3) == ratio_of_means(one, two, level=1 - 0.05 / 3)


def test_no_list_without_effect_names_a_remedy_more_often_than_allowed():
    rng = np.random.default_rng(10)
    scale = np.exp(rng.standard_normal((600, 1, 6, 1)))
    runs = scale * rng.standard_normal((600, 16, 6, 4))
    sums, df = runs.var(axis=-1) * 4, np.full(6, 3.0)
    found = ratio_ends((sums[:, :1], df), (sums[:, 1:], df), 1 - 0.05 / 15)
    # 600 lists know 0.025 to 0.006. The F interval, which takes seeds for alike, names one in every third list.
    assert np.mean((found.high < 1).any(axis=1)) <= 0.045
    upper = found.ratio * stats.f.ppf(1 - 0.025 / 15, 18, 18)
    assert np.mean((upper < 1).any(axis=1)) > 0.15


# What was not seen


@pytest.mark.parametrize(("seeds", "comparisons"), [(4, 1), (4, 15), (10, 1), (10, 15), (20, 1)])
def test_a_change_without_any_spread_allows_for_seeds_that_were_not_seen(seeds, comparisons):
    base, _ = draw(11, seeds=seeds)
    found = remedy_effect(base, np.repeat(base[:, :1], 3, axis=1), comparisons=comparisons).last_bit_ratio
    tail = 0.025 / comparisons
    # max_q (1 - rho q)^S q^S is (4 rho)^-S from rho = 1/2 on, and (1 - rho)^S below.
    rho = 1 / (4 * tail ** (1 / seeds))
    rho = rho if rho >= 0.5 else 1 - tail ** (1 / seeds)
    assert (found.estimate, found.low) == (0, 0)
    assert found.high == pytest.approx(math.sqrt(rho), rel=1e-4)
    assert found.note.startswith("no two runs of a seed differ: the upper end allows for as many as may")


def test_a_calm_seed_tells_little_where_few_seeds_of_the_base_are_restless():
    base, changed = np.zeros((2, 6, 3))
    base[:2, 0] = 1.0
    assert remedy_effect(base, changed).last_bit_ratio.high > 1
    base[2:] = 0.0
    base[1] = 0.0
    found = remedy_effect(base, changed).last_bit_ratio
    assert ends(found) == [0.0, None]
    assert "not measured" in found.note


def test_what_is_left_in_one_seed_may_be_left_in_more():
    base, _ = draw(12, seeds=6)
    changed = np.zeros((6, 6))
    none = remedy_effect(base, changed).last_bit_ratio
    changed[3, 0] = 1e-3
    found = remedy_effect(base, changed).last_bit_ratio
    assert none.high < found.high < 1
    assert "one seed has all that is left" in found.note
    back = remedy_effect(changed, base).last_bit_ratio
    np.testing.assert_allclose([back.low, back.estimate], [1 / found.high, 1 / found.estimate])
    assert back.high is None
    assert "one seed has all of the base's" in back.note


def test_a_base_without_last_bit_spread_leaves_nothing_to_calm():
    base, changed = draw(13)
    found = remedy_effect(np.repeat(base[:, :1], 6, axis=1), changed)
    assert found.last_bit_ratio.note == f"not measured: {NO_LAST_BIT}"
    assert found.fresh_ratio.measured
    nothing = remedy_effect(np.ones((3, 2)), changed[:3])
    assert nothing.fresh_ratio.note == "not measured: the base shows no spread at all"


def test_a_change_of_no_bit_has_the_ratio_one_and_no_interval():
    base, _ = draw(14)
    found = remedy_effect(base, base)
    assert (found.last_bit_ratio.estimate, *ends(found.last_bit_ratio)) == (1.0, None, None)
    assert (found.difference.estimate, found.difference.low) == (0.0, None)
    assert found.fresh_ratio.low < found.fresh_ratio.estimate == 1.0 < found.fresh_ratio.high


def test_only_seeds_of_both_arms_count():
    base, changed = draw(15)
    base[0], changed[5] = np.nan, np.nan
    assert remedy_effect(base, changed) == remedy_effect(base[1:5], changed[1:5])
    single = changed.copy()
    single[1, 1:] = np.nan
    found = remedy_effect(base, single)
    assert found.last_bit_ratio == remedy_effect(base[2:5], changed[2:5]).last_bit_ratio
    assert (found.last_bit_ratio.n, found.difference.n) == (3, 4)


@pytest.mark.parametrize(
    ("base", "changed", "last_bit", "fresh"),
    [
        (np.full((3, 2), np.nan), np.ones((3, 2)), "no seed has a run of both", "no seed has a run of both"),
        (np.arange(3.0)[:, None], np.ones((3, 2)), "needs two perturbations of one seed", "no two runs of the change"),
        ([[1.0, 2.0]], [[1.0, 3.0]], "an interval needs two seeds, got 1", "needs two seeds, got 1"),
        ([[1.0, 2.0], [2.0, 4.0]], [[1.0, 3.0], [2.0, 2.5]], "few seeds: 2", "an interval needs three seeds, got 2"),
    ],
)
def test_what_cannot_be_measured_is_said(base, changed, last_bit, fresh):
    found = remedy_effect(base, changed)
    assert last_bit in found.last_bit_ratio.note
    assert fresh in found.fresh_ratio.note


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_values_may_be_of_any_size(size):
    base, changed = draw(16, ratio=0.3)
    found, scaled = remedy_effect(base, changed), remedy_effect(base * size, changed * size)
    for name in ("last_bit_ratio", "fresh_ratio"):
        one, other = getattr(found, name), getattr(scaled, name)
        np.testing.assert_allclose([other.estimate, *ends(other)], [one.estimate, *ends(one)], rtol=1e-9)
    assert scaled.difference.estimate == pytest.approx(found.difference.estimate * size)
    ratio = ratio_of_means(np.abs(base[0]) * size, np.abs(changed[0]) * size)
    assert ratio.estimate == pytest.approx(np.abs(changed[0]).mean() / np.abs(base[0]).mean())


# Invariants


GRIDS = st.integers(3, 5).flatmap(
    lambda seeds: st.tuples(
        *[
            st.integers(2, 4).flatmap(lambda runs: hnp.arrays(np.float64, (seeds, runs), elements=st.integers(-40, 40)))
            for _ in range(2)
        ],
        hnp.arrays(np.float64, (seeds, 1), elements=st.integers(-1000, 1000)),
        st.randoms(use_true_random=False),
    )
)


def alike(one, other, rtol=1e-5, atol=0.0):
    assert (one.estimate is None, one.low is None, one.high is None) == (
        other.estimate is None, other.low is None, other.high is None
    )  # fmt: skip
    for a, b in zip((one.estimate, *ends(one)), (other.estimate, *ends(other)), strict=True):
        if a is not None:
            assert a == pytest.approx(b, rel=rtol, abs=atol)


@settings(max_examples=60)
@given(GRIDS)
def test_units_and_constants_change_no_ratio(grids):
    base, changed, constants, _ = grids
    found = remedy_effect(base, changed)
    scaled, shifted = remedy_effect(8 * base, 8 * changed), remedy_effect(base + constants, changed + constants)
    assert scaled.last_bit_ratio == found.last_bit_ratio
    assert scaled.fresh_ratio == found.fresh_ratio
    assert scaled.difference == found.difference.scaled(8.0)
    alike(shifted.last_bit_ratio, found.last_bit_ratio)
    alike(shifted.difference, found.difference, atol=1e-9)


@settings(max_examples=60)
@given(GRIDS)
def test_the_order_of_seeds_and_runs_does_not_matter(grids):
    base, changed, _, random = grids
    found, rows = remedy_effect(base, changed), random.sample(range(len(base)), len(base))
    mixed = [arm[rows][:, random.sample(range(arm.shape[1]), arm.shape[1])] for arm in (base, changed)]
    other = remedy_effect(*mixed)
    alike(other.last_bit_ratio, found.last_bit_ratio)
    alike(other.fresh_ratio, found.fresh_ratio)
    alike(other.difference, found.difference, atol=1e-9)


@settings(max_examples=60)
@given(GRIDS)
def test_arms_that_change_places_invert_the_ratio(grids):
    base, changed, _, _ = grids
    there, back = remedy_effect(base, changed), remedy_effect(changed, base)
    for one, other in ((there.last_bit_ratio, back.last_bit_ratio), (there.fresh_ratio, back.fresh_ratio)):
        if not (one.estimate and other.estimate):
            continue
        assert other.estimate == pytest.approx(1 / one.estimate)
        # An open end is None above and 0 below.
        assert (other.high or math.inf) == pytest.approx(1 / one.low if one.low else math.inf, rel=1e-5)
        assert (other.low or 0.0) == pytest.approx(1 / one.high if one.high else 0.0, rel=1e-5)
    if there.difference.low is not None:
        assert back.difference.low == pytest.approx(-there.difference.high, abs=1e-9)


# Means of positive quantities


def test_a_ratio_of_means_is_that_of_a_slow_twin():
    rng = np.random.default_rng(17)
    base, changed = np.exp(rng.standard_normal((2, 7)))
    found = ratio_of_means([*base, np.nan, 1.0], [*changed, 1.0, np.nan])
    theta = math.log(changed.mean() / base.mean())
    left = np.array([math.log(np.delete(changed, s).mean() / np.delete(base, s).mean()) for s in range(7)])
    reach = stats.t.ppf(0.975, 6) * math.sqrt(6 / 7 * ((left - left.mean()) ** 2).sum())
    typical = stats.ttest_rel(np.log(changed), np.log(base)).confidence_interval()
    slow = min(theta - reach, typical.low), max(theta + reach, typical.high)
    np.testing.assert_allclose(np.log([found.estimate, *ends(found)]), [theta, *slow], rtol=1e-9)
    assert found.n == 7


def test_a_ratio_of_means_where_there_is_none():
    assert ratio_of_means([0.0, 0.0], [1.0, 1.0]).note == "not measured: the base shows none in any seed"
    assert not ratio_of_means([np.nan, 1.0], [1.0, np.nan]).measured
    none = ratio_of_means([0.1, 0.2, 0.1, 0.3], [0.0, 0.0, 0.0, 0.0])
    assert (none.estimate, none.low) == (0, 0)
    assert none.high == pytest.approx(1 / (4 * 0.025**0.25), rel=1e-4)
    assert none.note.startswith("no seed shows any")


# Not worse


@pytest.mark.parametrize(
    ("low", "high", "higher", "expected"),
    [
        (-0.1, 0.3, True, True),
        (-0.2, 0.3, True, True),
        (-0.21, 0.3, True, None),
        (-0.5, -0.21, True, False),
        (-0.3, 0.1, False, True),
        (-0.3, 0.21, False, None),
        (0.21, 0.5, False, False),
        (None, None, True, None),
        (None, -0.3, True, False),
        (-0.1, None, True, True),
        (None, 0.1, False, True),
    ],
)
def test_not_worse_is_told_by_the_worse_end(low, high, higher, expected):
    middle = low if high is None else high if low is None else (low + high) / 2
    difference = Estimate(middle, low, high, 10)
    assert not_worse(difference, 0.2, higher_is_better=higher) is expected
    assert not_worse(difference, None, higher_is_better=higher) is None


# Bad input


@pytest.mark.parametrize(
    ("base", "changed", "more", "message"),
    [
        (np.ones((3, 2)), np.ones((2, 2)), {}, "the base has 3 seeds and the change 2: give both the same seeds"),
        (np.ones(3), np.ones((3, 2)), {}, "the values of the base must have 2 axes, got shape"),
        (np.ones((3, 2)), np.full((3, 2), np.inf), {}, "the values of the change hold an infinite number"),
        (np.ones((3, 2)), np.ones((3, 2)), {"level": 95}, r"between 0 and 1, write 0\.95"),
        (np.ones((3, 2)), np.ones((3, 2)), {"comparisons": 0}, "comparisons = 0: write how many changes"),
    ],
)
def test_bad_grids_are_refused(base, changed, more, message):
    with pytest.raises(LastbitError, match=message):
        remedy_effect(base, changed, **more)


@pytest.mark.parametrize(
    ("base", "changed", "more", "message"),
    [
        ([1.0, 2.0], [1.0], {}, "the base has 2 seeds and the change 1"),
        ([1.0, -2.0], [1.0, 1.0], {}, "never negative: compare the difference instead"),
        ([1.0, 2.0], [1.0, np.inf], {}, "the change hold an infinite number"),
        ([1.0, 2.0], [1.0, 1.0], {"level": 0}, "between 0 and 1"),
        ([1.0, 2.0], [1.0, 1.0], {"comparisons": -1}, "comparisons = -1"),
    ],
)
def test_bad_quantities_are_refused(base, changed, more, message):
    with pytest.raises(LastbitError, match=message):
        ratio_of_means(base, changed, **more)


@pytest.mark.parametrize("worth", [0, -0.1, math.nan])
def test_a_worth_must_be_positive(worth):
    with pytest.raises(LastbitError, match="as a positive number"):
        not_worse(Estimate(0.0, -1.0, 1.0, 4), worth, higher_is_better=True)
