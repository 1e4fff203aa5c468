"""How often the ratios of a change hold what they say, simulated: one change, and lists of 15 without any effect."""

import itertools
import math

import numpy as np
import pytest

from lastbit.stats.ratios import ratio_ends
from lastbit.stats.total_ratio import total_ratio

pytestmark = pytest.mark.evidence

LISTS, CHANGES = 4000, 15
SIZES = list(itertools.product((4, 6, 10, 20), (2, 4, 6)))
EACH = 1 - 0.05 / CHANGES


def seed_scales(width, shared):
    """SDs of seeds whose variances are log-normal, of the base and of each change; `shared` correlates the two."""

    def draw(rng, lists, changes, seeds):
        common = rng.standard_normal((lists, 1, seeds, 1))
        own = rng.standard_normal((lists, changes, seeds, 1))
        mixed = shared * common + math.sqrt(1 - shared**2) * own
        return np.exp(width / 2 * common), np.exp(width / 2 * mixed)

    return draw


def alike(rng, lists, changes, seeds):
    return 1.0, 1.0


def jumps(rng, shape):
    """A fifth of the runs spread ten times as far as the rest."""
    return rng.standard_normal(shape) * np.where(rng.random(shape) < 0.2, 3.0, 0.3)


NOISE = {
    "normal": np.random.Generator.standard_normal,
    "t4": lambda rng, shape: rng.standard_t(4, shape),
    "jumps": jumps,
}
SEEDS = {
    "alike": alike,
    "restless in both, SD 1": seed_scales(1, 1.0),
    "restless in both, SD 2": seed_scales(2, 1.0),
    "half in common, SD 1": seed_scales(1, 0.5),
    "half in common, SD 2": seed_scales(2, 0.5),
    "others restless, SD 1": seed_scales(1, 0.0),
    "others restless, SD 2": seed_scales(2, 0.0),
}
CASES = [("normal", seeds) for seeds in SEEDS] + [("t4", "alike"), ("t4", "half in common, SD 1"), ("jumps", "alike")]


def squares(runs):
    """Sums of squares of each seed and their degrees of freedom."""
    apart = runs - runs.mean(axis=-1, keepdims=True)
    sums = (apart**2).sum(axis=-1)
    return sums, np.full(sums.shape[-1], runs.shape[-1] - 1.0)


def holds(ends, truth):
    """How often the ends of a ratio of variances hold the square of a ratio of SDs."""
    return float(np.mean((ends.low <= truth**2) & (truth**2 <= ends.high)))


def span(shares):
    return f"{min(shares):.3f} to {max(shares):.3f}"


@pytest.mark.parametrize(("noise", "seeds"), CASES)
def test_a_list_of_changes_without_effect(noise, seeds, record_property):
    rng = np.random.default_rng([19, 1])
    cover, together, named, seen = {}, {}, {}, {}
    for size in SIZES:
        calm, changed = SEEDS[seeds](rng, LISTS, CHANGES, size[0])
        base = squares(calm * NOISE[noise](rng, (LISTS, 1, *size)))
        change = squares(changed * NOISE[noise](rng, (LISTS, CHANGES, *size)))
        one = ratio_ends((base[0][:, 0], base[1]), (change[0][:, 0], change[1]), 0.95)
        all_of_them = ratio_ends(base, change, EACH)
        cover[size] = holds(one, 1.0)
        together[size] = np.mean(((all_of_them.low <= 1) & (all_of_them.high >= 1)).all(axis=1))
        named[size] = np.mean((all_of_them.high < 1).any(axis=1))
        # What multiplies every spread by 0.4 multiplies the interval.
        seen[size] = np.mean(0.4**2 * all_of_them.high < 1)
    record_property(
        "measured",
        f"covers {span(cover.values())}, all 15 of a list {span(together.values())}; a ratio below 1 in at most "
        f"{max(named.values()):.1%} of lists; 0.4 is seen in {seen[4, 6]:.0%} of 4 x 6, {seen[6, 6]:.0%} of 6 x 6, "
        f"{seen[10, 6]:.0%} of 10 x 6, {seen[20, 6]:.0%} of 20 x 6",
    )
    assert min(cover.values()) >= 0.945
    assert min(together.values()) >= 0.945
    assert max(named.values()) <= 0.05
    if (noise, seeds) == ("normal", "alike"):
        assert seen[10, 6] >= 0.85


@pytest.mark.parametrize("sigma", [2.3, 1.0, 0.5])
def test_values_in_steps(sigma, record_property):
    """Of an SD of so many steps, as 0.29 points are 2.3 of 797 examples."""
    rng, cover, named = np.random.default_rng([19, 2]), {}, {}
    big = rng.random((400_000, 1)), rng.standard_normal((400_000, 8))
    spread = {r: math.sqrt(np.round(big[0] + r * sigma * big[1]).var(axis=1, ddof=1).mean()) for r in (1.0, 0.4, 0.1)}
    for size, ratio in itertools.product(SIZES, spread):
        place = rng.random((LISTS, 2, size[0], 1))
        runs = np.round(place + sigma * np.array([1.0, ratio])[:, None, None] * rng.standard_normal((LISTS, 2, *size)))
        sums, df = squares(runs)
        kept = sums[:, 0].any(axis=1)
        one, of_15 = (ratio_ends((sums[kept, 0], df), (sums[kept, 1], df), level) for level in (0.95, EACH))
        cover[size, ratio] = holds(one, spread[ratio] / spread[1.0])
        if ratio == 1:
            named[size] = CHANGES * np.mean(of_15.high < 1)
    said = "; ".join(f"{ratio}: {span([c for (_, r), c in cover.items() if r == ratio])}" for ratio in spread)
    without = f"without effect at most {max(named.values()):.1%} of lists of 15 name one"
    record_property("measured", f"covers at ratios of {said}; {without}")
    assert min(cover.values()) >= 0.9
    assert max(named.values()) <= 0.05


@pytest.mark.parametrize(("often", "left"), [(0.3, 0.3), (0.6, 0.6), (1.0, 0.3), (1.0, 0.1), (1.0, 0.02)])
def test_seeds_without_any_spread(often, left, record_property):
    """A seed is restless with the chance `often` in the base and `left` in the change, and else without any spread."""
    rng, cover, below = np.random.default_rng([19, 3]), {}, {}
    for size in SIZES:
        restless = rng.random((5 * LISTS, 2, size[0], 1)) < np.array([often, left])[:, None, None]
        sums, df = squares(restless * rng.standard_normal((5 * LISTS, 2, *size)))
        kept = sums[:, 0].any(axis=1)
        one, of_15 = (ratio_ends((sums[kept, 0], df), (sums[kept, 1], df), level) for level in (0.95, EACH))
        cover[size], below[size] = holds(one, math.sqrt(left / often)), np.mean(of_15.high < 1)
    said = f"without effect at most {CHANGES * max(below.values()):.1%} of lists of 15 name one"
    if left < often:
        said = (
            f"seen among 15 in {below[4, 6]:.0%} of 4 x 6, {below[10, 6]:.0%} of 10 x 6, {below[20, 6]:.0%} of 20 x 6"
        )
    record_property("measured", f"covers {span(cover.values())}; {said}")
    assert min(cover.values()) >= 0.945
    if often == left:
        assert CHANGES * max(below.values()) <= 0.05


@pytest.mark.parametrize(("left", "calmed"), [(0.9, 0.01), (0.7, 0.01), (0.5, 0.05), (0.3, 0.01)])
def test_a_change_that_does_not_do_the_same_to_every_seed(left, calmed, record_property):
    """A share `left` of the seeds stays as it is; of the others, the variance is multiplied by `calmed`."""
    rng, cover = np.random.default_rng([19, 4]), {}
    for width, size in itertools.product((0, 1), SIZES):
        scale = np.exp(width / 2 * rng.standard_normal((LISTS, 1, size[0], 1)))
        stays = rng.random((LISTS, size[0], 1)) < left
        runs = scale * rng.standard_normal((LISTS, 2, *size))
        runs[:, 1] *= np.where(stays, 1.0, math.sqrt(calmed))
        sums, df = squares(runs)
        ends = ratio_ends((sums[:, 0], df), (sums[:, 1], df), 0.95)
        cover[width, size] = holds(ends, math.sqrt(left + (1 - left) * calmed))
    said = "; ".join(
        f"{seeds} seeds {span([c for (_, (s, _)), c in cover.items() if s == seeds])}" for seeds in (4, 6, 10, 20)
    )
    record_property("measured", f"covers, {said}")
    # Four seeds of which none stays restless cannot know of those that would.
    assert min(c for (_, (seeds, _)), c in cover.items() if seeds >= 10) >= 0.89
    assert min(cover.values()) >= 0.7


@pytest.mark.parametrize(
    ("noise", "seeds"),
    [("normal", "alike"), ("normal", "restless in both, SD 1"), ("normal", "others restless, SD 2"), ("t4", "alike")],
)
def test_the_spread_of_a_fresh_run(noise, seeds, record_property):
    rng, cover, of_15 = np.random.default_rng([19, 5]), {}, {}
    for size, (effect, r) in itertools.product(SIZES, [(0, 0), (1, 0), (1, 0.8), (3, 0.9)]):
        common, own = NOISE[noise](rng, (2, LISTS, 1, size[0], 1))
        effects = effect * common, effect * (r * common + math.sqrt(1 - r**2) * own)
        arms = []
        for of_seeds, scale in zip(effects, SEEDS[seeds](rng, LISTS, 1, size[0]), strict=True):
            runs = of_seeds + scale * NOISE[noise](rng, (LISTS, 1, *size))
            sums, df = squares(runs)
            arms.append((np.broadcast_to(df.astype(int) + 1, sums.shape), runs.mean(axis=-1), sums))
        for level, found in ((0.95, cover), (EACH, of_15)):
            squared, reach = total_ratio(*arms, level=level)
            found[size, effect, r] = np.mean(np.abs(np.log(squared)) <= reach)
    record_property("measured", f"covers {span(cover.values())}, as one of 15 (0.9967) {span(of_15.values())}")
    assert min(cover.values()) >= {"others restless, SD 2": 0.88}.get(seeds, 0.93)
    assert min(of_15.values()) >= {"others restless, SD 2": 0.975}.get(seeds, 0.99)


@pytest.mark.parametrize("width", [0.3, 0.7, 1.4])
@pytest.mark.parametrize("shared", [0.0, 0.5, 0.9])
def test_ratios_of_means(width, shared, record_property):
    """Of values whose logarithms have the SD `width`, correlated by `shared` between the arms."""
    rng, cover = np.random.default_rng([19, 6]), {}
    for seeds in (4, 6, 10, 20):
        common, own = rng.standard_normal((2, 5 * LISTS, seeds))
        base, changed = np.exp(width * common), np.exp(width * (shared * common + math.sqrt(1 - shared**2) * own))
        one = np.ones(seeds)
        cover[seeds] = holds(ratio_ends((base, one), (changed, one), 0.95), 1.0)
    record_property("measured", f"covers {span(cover.values())}")
    assert min(cover.values()) >= 0.945
