"""What the last bit could have done to a difference, against sums by hand."""

import numpy as np
import pytest
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.stats import Estimate, compare_arms, last_bit_in_difference

RNG = np.random.default_rng(3)
SEEDS = np.repeat(np.arange(4), 3)
A = RNG.normal(size=4)[SEEDS] + 0.3 * RNG.normal(size=12)
B = 0.2 + RNG.normal(size=4)[SEEDS] + 0.3 * RNG.normal(size=12)


def last_bit(a, b, seeds_a=SEEDS, seeds_b=SEEDS, **options):
    return last_bit_in_difference(a, b, seeds_a=seeds_a, seeds_b=seeds_b, **options)


def pooled(a, b):
    return np.sqrt(np.mean([x.reshape(4, 3).var(axis=1, ddof=1).mean() for x in (a, b)]))


def test_a_rerun_differs_by_twice_the_last_bits_variance():
    found, p = last_bit(A, B), pooled(A, B)
    reach = stats.t.ppf(0.975, 16) * np.sqrt(2 * p**2 * (1 / 12 + 1 / 12))
    difference = B.mean() - A.mean()
    assert (found.rerun.low, found.rerun.high) == pytest.approx((difference - reach, difference + reach))
    assert found.sigma_last_bit.estimate == pytest.approx(p)
    assert found.sigma_last_bit.df == 16
    assert found.can_flip == (abs(difference) < reach)
    assert not last_bit(A, B + 10).can_flip
    assert last_bit(A, B - difference).can_flip


def test_its_share_is_of_the_differences_variance():
    found, compared = last_bit(A, B), compare_arms(A, B, seeds_a=SEEDS, seeds_b=SEEDS)
    means = [x.reshape(4, 3).mean(axis=1) for x in (A, B)]
    ratio = pooled(A, B) ** 2 / 6 / sum(x.var(ddof=1) / 4 for x in means)
    assert found.variance_share.estimate == pytest.approx(ratio)
    df = compared.difference.df
    assert found.variance_share.low == pytest.approx(ratio / stats.f.ppf(0.975, 16, df))
    assert found.variance_share.high == pytest.approx(min(1.0, ratio / stats.f.ppf(0.025, 16, df)))
    pairs = last_bit(A, B, paired=True)
    assert pairs.variance_share.estimate == pytest.approx(
        pooled(A, B) ** 2 / 6 / ((means[1] - means[0]).var(ddof=1) / 4)
    )
    more = last_bit(np.append(A, [5.0, 9.0]), B, np.append(SEEDS, [7, 7]), SEEDS, paired=True)
    assert more.rerun == pairs.rerun


def test_unequal_runs_a_seed_count_by_their_reciprocals():
    seeds, values = [0, 0, 0, 1, 2], [1.0, 1.2, 1.1, 2.0, 1.5]
    found = last_bit(values, np.add(values, 0.05), seeds, seeds)
    part = (1 / 3 + 1 + 1) / 9
    reach = stats.t.ppf(0.975, 4) * np.sqrt(2 * 0.1**2 * 2 * part)
    assert found.rerun.high - found.rerun.estimate == pytest.approx(reach)


def test_another_studys_spread_serves_where_every_seed_has_one_run():
    alone = last_bit(A[::3], B[::3], None, None)
    assert alone.can_flip is None
    assert alone.rerun.note == alone.variance_share.note
    assert "every seed has one run" in alone.rerun.note
    given = last_bit(A[::3], B[::3], None, None, sigma_last_bit=Estimate(0.3, 0.2, 0.5, 12, df=8.0))
    reach = stats.t.ppf(0.975, 8) * np.sqrt(2 * 0.3**2 * (1 / 4 + 1 / 4))
    assert given.rerun.high - given.rerun.estimate == pytest.approx(reach)
    with pytest.raises(LastbitError, match="needs degrees of freedom"):
        last_bit(A, B, sigma_last_bit=Estimate(0.3, None, None, 1))


def test_units_scale_and_no_spread_is_no_measurement():
    small, found = last_bit(1e-200 * A, 1e-200 * B), last_bit(A, B)
    assert small.rerun.low == pytest.approx(1e-200 * found.rerun.low)
    assert small.variance_share.estimate == pytest.approx(found.variance_share.estimate)
    calm = last_bit(A[::3][SEEDS], B[::3][SEEDS])
    assert calm.can_flip is None
    assert "how large an unseen one may be" in calm.rerun.note
