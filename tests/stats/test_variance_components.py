"""Variance components against statsmodels, SciPy, closed forms, slow twins and known truths."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.stats import last_bit_by_seed, variance_components
from lastbit.stats.mean_squares import difference_interval, sum_interval, variance_interval, within_share_interval
from lastbit.stats.one_way import one_way, quadratic_mean_squares

NAMES = ("sigma_last_bit", "sigma_seed", "sigma_total", "last_bit_variance_share")


def draw(seed, seeds=6, perturbations=6, sigma_seed=1.0, sigma_last_bit=1.0, missing=0.0):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, sigma_seed, (seeds, 1)) + rng.normal(0, sigma_last_bit, (seeds, perturbations))
    values[rng.random(values.shape) < missing] = np.nan
    return values


def numbers(parts):
    return np.array([[getattr(parts, n).estimate, getattr(parts, n).low, getattr(parts, n).high] for n in NAMES])


def anova(values):
    """Mean squares and n0, run by run."""
    rows = [[y for y in row if y == y] for row in values]
    rows = [row for row in rows if row]
    total = sum(len(row) for row in rows)
    grand = sum(sum(row) for row in rows) / total
    msb = sum(len(row) * (sum(row) / len(row) - grand) ** 2 for row in rows) / (len(rows) - 1)
    msw = sum((y - sum(row) / len(row)) ** 2 for row in rows for y in row) / (total - len(rows))
    n0 = (total - sum(len(row) ** 2 for row in rows) / total) / (len(rows) - 1)
    return msb, msw, n0


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_points_are_the_anova_estimates(missing):
    values = draw(1, missing=missing)
    msb, msw, n0 = anova(values)
    parts = variance_components(values)
    seed = (msb - msw) / n0
    expected = [msw**0.5, seed**0.5, (msw + seed) ** 0.5, msw / (msw + seed)]
    np.testing.assert_allclose(numbers(parts)[:, 0], expected, rtol=1e-12)
    assert parts.balanced == (missing == 0)


def test_mean_squares_are_those_of_scipys_anova():
    values = draw(2)
    msb, msw, _ = anova(values)
    assert stats.f_oneway(*values).statistic == pytest.approx(msb / msw, rel=1e-12)
    counts, means = np.full(6, 6), values.mean(axis=1)
    layout = one_way(counts, means, ((values - means[:, None]) ** 2).sum(axis=1))
    np.testing.assert_allclose([layout.msb, layout.msw], [msb, msw], rtol=1e-12)
    assert layout.msu * 6 == pytest.approx(msb, rel=1e-12)
    kernel = np.outer(values.ravel(), values.ravel())
    np.testing.assert_allclose(quadratic_mean_squares(kernel, np.repeat(np.arange(6), 6)), (msw, msb, 6.0))


def test_points_agree_with_restricted_maximum_likelihood():
    mixedlm = pytest.importorskip("statsmodels.formula.api").mixedlm
    values = draw(3, seeds=12, perturbations=5, sigma_seed=2.0)
    frame = pd.DataFrame({"y": values.ravel(), "seed": np.repeat(np.arange(12), 5)})
    fit = mixedlm("y ~ 1", frame, groups=frame["seed"]).fit(reml=True)
    parts = variance_components(values)
    # Of a balanced grid REML is the ANOVA estimate where that is positive; the optimiser's tolerance is what is left.
    assert parts.sigma_last_bit.estimate**2 == pytest.approx(fit.scale, rel=1e-3)
    assert parts.sigma_seed.estimate**2 == pytest.approx(float(fit.cov_re.iloc[0, 0]), rel=1e-3)


def test_exact_intervals_are_the_textbook_ones():
    values, level = draw(4, seeds=5, perturbations=4), 0.9
    msb, msw, _ = anova(values)
    parts = variance_components(values, level=level)
    chi = stats.chi2.ppf([0.95, 0.05], 15)
    np.testing.assert_allclose(
        [parts.sigma_last_bit.low, parts.sigma_last_bit.high], np.sqrt(15 * msw / chi), rtol=1e-12
    )
    theta = (msb / msw / stats.f.ppf([0.95, 0.05], 4, 15) - 1) / 4
    share = parts.last_bit_variance_share
    np.testing.assert_allclose([share.high, share.low], np.minimum(1 / (1 + theta), 1), rtol=1e-9)


def test_the_share_interval_of_an_unbalanced_grid_solves_walds_equation():
    counts, msw = np.array([2, 5, 3, 6, 1]), 1.3
    means = np.array([0.0, 3.0, -2.0, 1.5, 4.0])
    low, high = within_share_interval(counts, means, msw, 0.95)

    def statistic(theta):
        weights = 1 / (theta + 1 / counts)
        centre = np.average(means, weights=weights)
        return (weights * (means - centre) ** 2).sum() / 4 / msw

    for share, tail in ((low, 0.025), (high, 0.975)):
        assert statistic((1 - share) / share) == pytest.approx(stats.f.ppf(tail, 4, 12), rel=1e-6)
    theta = optimize.brentq(lambda value: statistic(value) - stats.f.ppf(0.5, 4, 12), 1e-6, 1e6)
    assert low < 1 / (1 + theta) < high


def test_large_sample_intervals_are_exact_where_one_term_vanishes():
    chi = variance_interval(2.0, 7, 0.95)
    np.testing.assert_allclose(sum_interval((2.0, 0.0), (7, 9), (1.0, 1.0), 0.95), chi, rtol=1e-12)
    np.testing.assert_allclose(difference_interval((2.0, 0.0), (7, 9), (1.0, 1.0), 0.95), chi, rtol=1e-12)
    low, high = difference_interval((0.0, 2.0), (9, 7), (1.0, 1.0), 0.95)
    np.testing.assert_allclose((-high, -low), chi, rtol=1e-12)


@pytest.mark.parametrize(("tail", "end"), [(0.975, 0), (0.025, 1)])
def test_the_difference_is_told_from_zero_exactly_where_the_f_test_tells_it(tail, end):
    ratio = stats.f.ppf(tail, 5, 30)
    assert difference_interval((ratio, 1.0), (5, 30), (1.0, 1.0), 0.95)[end] == pytest.approx(0, abs=1e-7)
    inside = difference_interval((1.0, 1.0), (5, 30), (1.0, 1.0), 0.95)
    assert inside[0] < 0 < inside[1]


def coverage(truths, **grid):
    ends = np.array([numbers(variance_components(draw(1000 + repeat, **grid)))[:, 1:] for repeat in range(400)])
    return np.mean((ends[:, :, 0] <= truths) & (truths <= ends[:, :, 1]), axis=0)


@pytest.mark.parametrize(
    "grid",
    [
        {"seeds": 6, "perturbations": 6, "sigma_seed": 0.3},
        {"seeds": 4, "perturbations": 4, "sigma_seed": 2.0},
        {"seeds": 6, "perturbations": 6, "sigma_seed": 1.0, "missing": 0.3},
    ],
)
def test_intervals_cover_what_they_say(grid):
    sigma = grid["sigma_seed"]
    truths = np.array([1.0, sigma, np.hypot(1, sigma), 1 / (1 + sigma**2)])
    # Nominal 0.95; 400 grids know it to 0.011, the large-sample intervals are off by up to 0.01.
    np.testing.assert_allclose(coverage(truths, **grid), 0.95, atol=0.035)


def test_ting_is_not_wider_than_tukey_and_williams_and_covers():
    rng = np.random.default_rng(7)
    seeds, perturbations, truth = 6, 6, 0.2
    df = (seeds - 1, seeds * (perturbations - 1))
    msb = (1 + perturbations * truth) * rng.chisquare(df[0], 600) / df[0]
    msw = rng.chisquare(df[1], 600) / df[1]
    f, chi = stats.f.ppf([0.975, 0.025], *df), stats.chi2.ppf([0.975, 0.025], df[0])
    tukey = df[0] * (msb[:, None] - f * msw[:, None]) / (perturbations * chi)
    c = (1 / perturbations, 1 / perturbations)
    ting = np.array([difference_interval(pair, df, c, 0.95) for pair in zip(msb, msw, strict=True)])
    tukey, ting = np.maximum(tukey, 0), np.maximum(ting, 0)
    assert np.mean((ting[:, 0] <= truth) & (truth <= ting[:, 1])) == pytest.approx(0.95, abs=0.03)
    assert np.median(np.diff(ting)) <= np.median(np.diff(tukey))


def test_the_bootstrap_is_deterministic_and_holds_its_estimate():
    values = draw(5, seeds=12, missing=0.2)
    first = variance_components(values, interval="bootstrap", resamples=300, seed=1)
    assert first == variance_components(values, interval="bootstrap", resamples=300, seed=1)
    assert "BCa bootstrap over seeds, 300 resamples" in first.method
    exact = variance_components(values)
    np.testing.assert_allclose(numbers(first)[:, 0], numbers(exact)[:, 0])
    assert not np.allclose(numbers(first)[:, 1:], numbers(exact)[:, 1:])
    with pytest.raises(LastbitError, match="at least three seeds, got 2: use interval='exact'"):
        variance_components(values[:2], interval="bootstrap")


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.0, 0.05, 1.0, 5.0])
@pytest.mark.parametrize(("seeds", "perturbations"), [(3, 3), (6, 6), (10, 4)])
def test_three_intervals_of_the_seed_variance_compared(seeds, perturbations, ratio):
    rng, repeats = np.random.default_rng(8), 2000
    df = (seeds - 1, seeds * (perturbations - 1))
    msb = (1 + perturbations * ratio) * rng.chisquare(df[0], repeats) / df[0]
    msw = rng.chisquare(df[1], repeats) / df[1]
    f, chi = stats.f.ppf([0.975, 0.025], *df), stats.chi2.ppf([0.975, 0.025], df[0])
    draws = rng.chisquare(df[0], 2000), rng.chisquare(df[1], 2000)
    pivots = (df[0] * msb[:, None] / draws[0] - df[1] * msw[:, None] / draws[1]) / perturbations
    c = (1 / perturbations, 1 / perturbations)
    ends = {
        "ting": np.array([difference_interval(pair, df, c, 0.95) for pair in zip(msb, msw, strict=True)]),
        "tukey": df[0] * (msb[:, None] - f * msw[:, None]) / (perturbations * chi),
        "generalized": np.quantile(pivots, [0.025, 0.975], axis=1).T,
    }
    ends = {name: np.maximum(pair, 0) for name, pair in ends.items()}
    for pair in ends.values():
        # 0.95 known to 0.005; at a ratio of 0 the lower end is truncated and only one tail can miss.
        assert 0.93 < np.mean((pair[:, 0] <= ratio) & (ratio <= pair[:, 1])) < 0.99
    assert np.median(np.diff(ends["ting"])) <= np.median(np.diff(ends["tukey"]))


@pytest.mark.slow
def test_intervals_cover_over_twenty_seeds_with_missing_runs():
    grid = {"seeds": 20, "perturbations": 4, "sigma_seed": 0.3, "missing": 0.3}
    truths = np.array([1.0, 0.3, np.hypot(1, 0.3), 1 / 1.09])
    np.testing.assert_allclose(coverage(truths, **grid), 0.95, atol=0.035)


@pytest.mark.slow
def test_heavy_tails_cost_coverage_as_documented():
    rng, inside = np.random.default_rng(9), []
    for _ in range(500):
        values = rng.exponential(size=(6, 1)) + rng.exponential(size=(6, 6))
        sigma = variance_components(values).sigma_last_bit
        inside.append(sigma.low <= 1.0 <= sigma.high)
    assert np.mean(inside) == pytest.approx(0.75, abs=0.08)


@pytest.mark.slow
def test_the_bootstrap_covers_less_with_few_seeds_than_the_exact_intervals_do():
    inside = []
    for repeat in range(150):
        parts = variance_components(draw(repeat, missing=0.3), interval="bootstrap", resamples=400)
        sigma = parts.sigma_seed
        # Where all resamples say the same there is no interval, which covers nothing.
        inside.append(sigma.low is not None and sigma.low <= 1.0 <= sigma.high)
    # The documented reason why it is not the default: 0.71 measured, known to 0.04 here.
    assert 0.55 < np.mean(inside) < 0.85


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.sampled_from([0.0, 0.25]))
def test_estimates_follow_shift_scale_and_relabelling(seed, shift, scale, missing):
    values = draw(seed, seeds=5, perturbations=4, missing=missing)
    if (~np.isnan(values)).sum(axis=1).min() < 1 or not np.isfinite(anova(values)[1]):
        return
    rng = np.random.default_rng(seed)
    base = numbers(variance_components(values))
    unit = np.array([scale, scale, scale, 1.0])[:, None]
    moved = numbers(variance_components(scale * values + shift))
    np.testing.assert_allclose(moved, base * unit, rtol=1e-6, atol=1e-6 * scale)
    shuffled = rng.permuted(values, axis=1)[rng.permutation(5)]
    np.testing.assert_allclose(numbers(variance_components(shuffled)), base, rtol=1e-8, atol=1e-8)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.sampled_from([0.0, 0.1, 0.3, 7.0, np.nan]), min_size=width, max_size=width),
            min_size=1,
            max_size=4,
        )
    )
)
def test_any_small_grid_gives_numbers_or_says_why_not(values):
    if np.isnan(values).all():
        return
    parts = variance_components(values)
    json.dumps(plain(parts), allow_nan=False)
    for name in NAMES:
        estimate = getattr(parts, name)
        if estimate.measured:
            assert 0 <= estimate.low <= estimate.estimate
            assert estimate.high is None or estimate.high >= estimate.estimate
            assert (estimate.high is None) == ("no spread seen" in estimate.note)
        else:
            assert estimate.note.startswith("not measured: ")
    if parts.last_bit_variance_share.high is not None:
        assert parts.last_bit_variance_share.high <= 1


def test_one_seed_measures_the_last_bit_alone():
    parts = variance_components(draw(8, seeds=1))
    assert parts.sigma_last_bit.measured
    assert parts.sigma_last_bit.n == 6
    assert parts.sigma_last_bit.note == "few samples: 5 degrees of freedom, which give an SD to about ±32%"
    for name in NAMES[1:]:
        estimate = getattr(parts, name)
        assert estimate.estimate is estimate.low is estimate.high is None
        assert estimate.note.startswith("not measured: ")
        assert estimate.note.endswith("needs two seeds, got 1")


def test_one_perturbation_measures_the_total_alone():
    values = draw(9, perturbations=1)
    parts = variance_components(values)
    assert parts.sigma_total.estimate == pytest.approx(values.std(ddof=1), rel=1e-12)
    np.testing.assert_allclose(
        [parts.sigma_total.low, parts.sigma_total.high],
        np.sqrt(variance_interval(values.var(ddof=1), 5, 0.95)),
        rtol=1e-12,
    )
    for name in ("sigma_last_bit", "sigma_seed", "last_bit_variance_share"):
        assert getattr(parts, name).note.startswith("not measured: ")


def test_no_spread_is_said_and_left_open():
    # 0.1 is not a float: an unguarded mean of seven of them differs from it in the last bit.
    parts = variance_components(np.full((3, 7), 0.1))
    for name in NAMES[:3]:
        estimate = getattr(parts, name)
        assert (estimate.estimate, estimate.low, estimate.high) == (0.0, 0.0, None)
        assert "no spread seen" in estimate.note
    assert parts.last_bit_variance_share.note == "not measured: no spread seen in 21 runs"


def test_no_spread_within_seeds_leaves_the_share_open_above():
    means = np.array([0.1, 0.4, 0.2, 0.7])
    parts = variance_components(np.repeat(means[:, None], 7, axis=1))
    assert (parts.sigma_last_bit.estimate, parts.sigma_last_bit.high) == (0.0, None)
    assert parts.sigma_seed.estimate == pytest.approx(means.std(ddof=1), rel=1e-12)
    np.testing.assert_allclose(
        [parts.sigma_seed.low, parts.sigma_seed.high], np.sqrt(variance_interval(means.var(ddof=1), 3, 0.95))
    )
    share = parts.last_bit_variance_share
    assert (share.estimate, share.low, share.high) == (0.0, 0.0, None)


def test_seeds_with_one_mean_give_a_share_of_one():
    parts = variance_components([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]])
    assert parts.sigma_seed.estimate == 0.0
    assert parts.last_bit_variance_share.estimate == 1.0
    assert "closer together than the last bit" in parts.sigma_seed.note


def test_seeds_without_runs_are_left_out():
    values = draw(10, seeds=5)
    gap = np.vstack([values[:2], np.full((1, 6), np.nan), values[2:]])
    assert variance_components(gap) == variance_components(values)


def test_samples_are_counted_and_json_holds_everything():
    parts = variance_components(draw(11, missing=0.2))
    assert parts.sigma_last_bit.n == parts.n_runs == parts.sigma_total.n
    assert parts.sigma_seed.n == parts.n_seeds == 6
    assert parts.sigma_last_bit.df == parts.n_runs - 6
    assert parts.sigma_seed.df <= parts.sigma_total.df <= parts.n_runs - 1
    stored = json.loads(json.dumps(plain(parts)))
    assert stored["sigma_seed"]["estimate"] == parts.sigma_seed.estimate
    assert stored["balanced"] is False


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1.0, 2.0], {}, r"2 axes, got shape \(2,\)"),
        ([[1.0, np.inf]], {}, "infinite"),
        ([[np.nan, np.nan]], {}, "every run of the grid is missing"),
        ([[1.0], [1.0, 2.0]], {}, "rectangular array"),
        ([["a", "b"]], {}, "must be numbers"),
        ([[1.0, 2.0]], {"level": 1.0}, "between 0 and 1"),
        ([[1.0, 2.0]], {"interval": "boot"}, "choose one of exact, bootstrap"),
    ],
)
def test_bad_input_is_one_clear_line(values, options, message):
    with pytest.raises(LastbitError, match=message):
        variance_components(values, **options)


def rounded_to_steps(rng, sigma, seeds=6, perturbations=6):
    """Runs whose spread over the last bit is `sigma`, rounded to whole right answers; in points of 600 examples."""
    return 100 * np.round(500 + rng.uniform() + rng.normal(0, sigma, (seeds, perturbations))) / 600


def flips(rng, sigma, seeds=6, perturbations=6):
    """Runs in which as many single examples turn right as turn wrong: counts of rare events, in points."""
    size = (seeds, perturbations)
    return 100 * (500 + rng.poisson(sigma**2 / 2, size) - rng.poisson(sigma**2 / 2, size)) / 600


def covered(draws, sigma):
    """How often the intervals of the last bit's, a fresh run's and the seeds' spread, and of the share, cover."""
    points = 100 * sigma / 600
    truths = dict(zip(NAMES, (points, 0.0, points, 1.0), strict=True))
    inside = {name: [] for name in NAMES}
    for parts in map(variance_components, draws):
        for name, truth in truths.items():
            found = getattr(parts, name)
            if found.measured:
                above = found.high is None or truth <= found.high * (1 + 1e-9)
                inside[name].append(found.low <= truth * (1 + 1e-9) and above)
    return {name: np.mean(hits) for name, hits in inside.items()}


def naive_coverage(draws, sigma):
    """The same of the chi-square interval that knows of no steps."""
    inside = []
    for values in draws:
        low, high = variance_interval(values.var(axis=1, ddof=1).mean(), 30, 0.95)
        inside.append(low <= (100 * sigma / 600) ** 2 <= high)
    return np.mean(inside)


@pytest.mark.parametrize("draw_steps", [rounded_to_steps, flips])
def test_steps_of_the_metric_that_are_not_small_against_sigma_widen_the_interval(draw_steps):
    rng, sigma = np.random.default_rng(11), 0.25
    draws = [draw_steps(rng, sigma) for _ in range(120)]
    assert min(covered(draws, sigma).values()) > 0.95
    # The reason for it: the chi-square interval alone.
    assert naive_coverage(draws, sigma) < 0.8
    said = variance_components(next(values for values in draws if np.ptp(values)))
    assert "the values move in steps of 0.17, not small against their spread" in said.sigma_last_bit.note


@pytest.mark.evidence
@pytest.mark.parametrize("draw_steps", [rounded_to_steps, flips])
@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("size", [(3, 3), (6, 6)])
def test_intervals_cover_whatever_the_step_of_the_metric(draw_steps, sigma, size, record_property):
    rng = np.random.default_rng(12)
    found = covered([draw_steps(rng, sigma, *size) for _ in range(1000)], sigma)
    record_property("measured", ", ".join(f"{name} {share:.3f}" for name, share in found.items()))
    assert min(found.values()) > 0.92


def test_steps_that_are_small_against_sigma_change_nothing():
    rng = np.random.default_rng(13)
    values = rounded_to_steps(rng, 5.0)
    sigma = variance_components(values).sigma_last_bit
    msw = values.var(axis=1, ddof=1).mean()
    np.testing.assert_allclose([sigma.low, sigma.high], np.sqrt(variance_interval(msw, 30, 0.95)), rtol=1e-9)
    assert not sigma.note


@pytest.mark.parametrize("size", [(3, 3), (6, 6), (4, 2)])
def test_no_interval_is_empty_or_of_no_width_and_all_cover_without_a_seed_effect(size):
    rng, inside = np.random.default_rng(14), []
    for _ in range(400):
        parts = variance_components(rng.normal(size=size))
        for name in NAMES:
            found = getattr(parts, name)
            assert found.low < found.high
        # A textbook interval is [1, 1] in 2.5 % of such grids.
        assert parts.last_bit_variance_share.low < 0.95
        inside.append([parts.sigma_seed.low == 0.0, parts.last_bit_variance_share.high == 1.0])
    assert np.mean(inside, axis=0).min() > 0.95


def test_a_share_from_seeds_that_lie_too_close_says_little():
    parts = variance_components([[1.0, 2.0, 3.01], [3.02, 1.0, 2.0], [2.0, 3.03, 1.0]])
    share = parts.last_bit_variance_share
    assert (share.estimate, share.high) == (1.0, 1.0)
    # A ratio MSB/MSW of 1 on 2 and 6 degrees of freedom, by the closed form.
    assert share.low == pytest.approx(3 / (2 + 1 / stats.f.ppf(0.025, 2, 6)), rel=1e-9)
    assert parts.sigma_seed.high > 0


def test_one_outlier_is_named_with_what_is_left_without_it():
    rng = np.random.default_rng(0)
    values = 1 + rng.normal(0, 0.01, (6, 6))
    assert "outlier" not in variance_components(values).sigma_last_bit.note
    values[2, 3] = 2.0
    note = variance_components(values).sigma_last_bit.note
    rest = [row[row < 1.5] for row in values]
    left = np.sqrt(sum(((row - row.mean()) ** 2).sum() for row in rest) / 29)
    assert note.startswith("one outlier, the run with value 2, accounts for 99.82% of this variance")
    assert note.endswith(f"without it the SD is {left:.2g}")


def test_one_seed_apart_is_an_outlier_of_the_seeds():
    values = draw(3, seeds=8)
    values[5] += 60.0
    parts = variance_components(values)
    assert "one outlier, the seed with mean" in parts.sigma_seed.note
    assert "one outlier, the seed with mean" in parts.sigma_total.note
    assert "outlier" not in parts.sigma_last_bit.note


def test_normal_grids_have_an_outlier_as_rarely_as_stated():
    rng = np.random.default_rng(15)
    found = [variance_components(rng.normal(size=(4, 4))).sigma_last_bit.note for _ in range(500)]
    assert sum("outlier" in note for note in found) <= 3


@settings(deadline=None, max_examples=60)
@given(st.integers(-1000, 1000), st.integers(0, 100), st.sampled_from([(3, 3), (5, 2), (4, 1)]))
def test_estimates_hold_at_any_size_of_number(exponent, seed, size):
    values = draw(seed, *size)
    one, other = variance_components(values), variance_components(values * 2.0**exponent)
    for name in NAMES:
        a, b = getattr(one, name), getattr(other, name)
        unit = 1.0 if name == NAMES[3] else 2.0**exponent
        expected = [None if part is None else part * unit for part in (a.estimate, a.low, a.high)]
        assert [b.estimate, b.low, b.high] == expected


def test_a_spread_beyond_the_largest_float_is_not_measured():
    huge = 1.7e308
    parts = variance_components([[huge, -huge], [-huge, huge], [huge, huge]])
    assert json.dumps(plain(parts), allow_nan=False)
    assert parts.sigma_last_bit.note == "not measured: it is beyond the largest number of float64"
    smaller = variance_components([[1e300, -1e300], [-1e300, 1e300], [1e300, 1e300]])
    assert smaller.sigma_last_bit.estimate == pytest.approx(math.sqrt(4 / 3) * 1e300)


def test_the_last_bit_of_each_seed_has_intervals_that_hold_together():
    values = draw(20, seeds=4, perturbations=5)
    found = last_bit_by_seed(values)
    np.testing.assert_allclose([seed.estimate for seed in found], values.std(axis=1, ddof=1), rtol=1e-12)
    ends = [variance_interval(row.var(ddof=1), 4, 1 - 0.05 / 4) for row in values]
    np.testing.assert_allclose([[seed.low, seed.high] for seed in found], np.sqrt(ends), rtol=1e-12)
    pooled = variance_components(values).sigma_last_bit.estimate
    assert pooled == pytest.approx(np.sqrt(np.mean([seed.estimate**2 for seed in found])))
    assert [seed.measured for seed in last_bit_by_seed([[1.0, np.nan], [1.0, 2.0]])] == [False, True]
