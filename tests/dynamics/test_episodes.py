import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.dynamics.episodes import growth_episodes, noise_level


def slow_episodes(y, level):
    """All index pairs (low, high) by the definition, tried one by one, the longest first."""
    n = len(y)

    def valid(i, j):
        stretch = y[i : j + 1]
        if y[j] - y[i] <= level or stretch.min() < y[i] or stretch.max() > y[j]:
            return False
        return (np.maximum.accumulate(stretch) - stretch).max() < level

    pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if valid(i, j)]
    # Maximal: contained in no other, not even through equal values at its ends.
    return [p for p in pairs if not any(q != p and q[0] <= p[0] and p[1] <= q[1] for q in pairs)]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(-6, 6), min_size=2, max_size=14), st.sampled_from([1.5, 2.5, 4.5]))
def test_the_one_pass_finds_the_stretches_of_the_definition(jumps, level):
    y = np.cumsum(np.array(jumps, dtype=float) + np.linspace(0, 0.01, len(jumps)))
    found = growth_episodes(np.arange(len(y)), np.exp(y), noise=level)
    assert [(e.start, e.end) for e in found.episodes] == slow_episodes(y, level)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.01, 0.3), st.floats(0.0, 0.2), st.integers(20, 80))
def test_two_known_episodes_are_found_through_noise(seed, rate, noise, length):
    rng = np.random.default_rng(seed)
    rises = np.zeros(600)
    rises[100 : 100 + length] = rate + 0.1
    rises[300 : 300 + length] = rate + 0.1
    rises[450 : 450 + length] = -rate - 0.1
    y = np.cumsum(rises) + noise * rng.standard_normal(600)
    found = growth_episodes(np.arange(600), np.exp(y - 20))
    if (rate + 0.1) * length > 3 * found.noise:
        # The two rises have no fall between them, so they are one episode, and its rise is theirs.
        top = max(found.episodes, key=lambda e: e.rise)
        assert top.rise == pytest.approx(2 * (rate + 0.1) * length, abs=2 * found.noise)


def test_a_fall_between_two_rises_separates_them():
    y = np.concatenate([np.linspace(0, 5, 50), np.linspace(5, 1, 50), np.linspace(1, 8, 50), np.full(50, 8.0)])
    found = growth_episodes(np.arange(200), np.exp(y))
    assert [(e.start, e.end) for e in found.episodes] == [(0, 49), (100, 149)]
    assert [e.rise for e in found.episodes] == pytest.approx([5, 7])
    assert [e.share for e in found.episodes] == pytest.approx([5 / 12, 7 / 12])
    assert found.share == pytest.approx(1)
    assert found.share_of_steps == pytest.approx(98 / 199)


def test_pure_noise_makes_an_episode_no_more_often_than_stated():
    rng = np.random.default_rng(0)
    false = sum(bool(growth_episodes(np.arange(300), np.exp(rng.standard_normal(300))).episodes) for _ in range(400))
    # At most 5% by the union bound; 400 draws of a 5% event pass 34 once in 1,500 times.
    assert false <= 34


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(-0.5, 0.5), st.floats(0.01, 2.0))
def test_the_noise_level_ignores_a_trend_and_scales(seed, slope, sigma):
    noise = np.random.default_rng(seed).standard_normal(500)
    steps = np.arange(500)
    level = noise_level(steps, sigma * noise + slope * steps)
    assert level == pytest.approx(sigma * noise_level(steps, noise), rel=1e-6)
    # Five standard errors of a median-based estimate from about 500 dependent values.
    assert level == pytest.approx(2 * sigma * np.sqrt(2 * np.log(2 * 500 / 0.05)), rel=0.3)


def test_the_noise_level_holds_on_uneven_steps():
    rng = np.random.default_rng(1)
    steps = np.cumsum(rng.integers(1, 9, 2000))
    y = 0.05 * rng.standard_normal(2000) + 0.01 * steps
    assert noise_level(steps, y) == pytest.approx(2 * 0.05 * np.sqrt(2 * np.log(2 * 2000 / 0.05)), rel=0.1)


def edges(distance, noise):
    found = growth_episodes(np.arange(len(distance)), distance, noise=noise)
    return [(e.start, e.end) for e in found.episodes]


def test_of_equal_lows_the_last_begins_an_episode_and_of_equal_highs_the_first_ends_it():
    assert edges([4, 2, 2, 2, 8, 64, 64, 64], noise=1.0) == [(3, 5)]
    # A dip within the noise is passed over, back to the low itself is not; nor does a second high of the same size end
    # the episode later.
    assert edges([2, 8, 2, 64, 32, 64, 16], noise=1.5) == [(2, 3)]


def test_a_rise_of_just_the_level_is_none_and_a_fall_of_just_the_level_ends_one():
    level = float(np.log(64.0) - np.log(8.0))
    below, above = np.nextafter(level, 0), np.nextafter(level, 9)
    assert edges([8, 8, 64], noise=level) == []
    assert edges([8, 64, 1], noise=level) == []
    assert edges([8, 8, 64], noise=below) == [(1, 2)]
    assert edges([1, 64, 8, 128], noise=level) == [(0, 1), (2, 3)]
    assert edges([1, 64, 8, 128], noise=above) == [(0, 3)]


def test_zeros_and_infinities_are_no_growth():
    distance = [0, 0, 0, 1e-8, 1e-8, 1e-7, 1e-6, np.inf, np.nan]
    found = growth_episodes(np.arange(9), distance, noise=0.1)
    assert [(e.start, e.end) for e in found.episodes] == [(4, 6)]
    assert growth_episodes(np.arange(3), np.zeros(3)).episodes == ()
    assert growth_episodes([], []).share_of_steps == 0
    assert growth_episodes([7], [1.0]).share == 0


def test_bad_input_is_named():
    with pytest.raises(LastbitError, match=r"shapes \(2,\) and \(3,\)"):
        growth_episodes([0, 1], [1, 2, 3])
    with pytest.raises(LastbitError, match="must increase"):
        growth_episodes([1, 1], [1, 2])
    with pytest.raises(LastbitError, match="negative"):
        growth_episodes([0, 1], [1, -2])
    with pytest.raises(LastbitError, match="p = 0"):
        noise_level([0, 1], [1, 2], p=0)
