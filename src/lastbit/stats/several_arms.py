"""Several arms at once: all against the first, or all pairs, with one error rate over all of them together.

Against the first, each difference is held against the studentised maximum modulus of the k - 1 differences on Welch's
degrees of freedom (T3). For all pairs "real" is Holm's step-down of Welch's p values, which finds more, and the
intervals are T3's over all k (k - 1)/2 pairs. A pair may thus be "real" while its interval holds 0.

"No difference" worth W is Holm's step-down over the pairs' p values of two one-sided tests, the larger of the two of
each pair: Holm asks nothing of how the pairs hang together, so that the chance of any false "no difference" is at most
1 - level. It is a promise of its own beside that of "real", as it is for two arms.

Source: Dunnett (1980), J. Amer. Statist. Assoc. 75, 796-800 (T3); Holm (1979), Scand. J. Statist. 6, 65-70; Schuirmann
(1987), J. Pharmacokin. Biopharm. 15, 657-680. Simulated
chance of any falsely "real" at 5%, with 3 and 6 arms of 3 to 20 seeds of which one has four times the variance or none
has: 2.5 to 5.3% against the first, 1.3 to 4.7% for all pairs, the lower ends under t4. Games and Howell's test makes up
to 9%, Dunnett's with a pooled variance up to 16%.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError, choose
from lastbit.core.words import plural
from lastbit.stats._inputs import check_level, check_worth
from lastbit.stats.arms import Arm, Arms, read_arms
from lastbit.stats.estimate import Estimate, not_measured
from lastbit.stats.maximum_modulus import maximum_modulus_p, maximum_modulus_quantile
from lastbit.stats.means import mean_estimate
from lastbit.stats.settling import FOR_A_VERDICT
from lastbit.stats.two_arms import Verdict
from lastbit.stats.welch import Welch, welch

__all__ = ["PairOfArms", "SeveralArms", "compare_several"]


@dataclass(frozen=True)
class PairOfArms:
    """Two of several arms.

    Attributes:
        a: place of the one among the arms, from 0.
        b: place of the other.
        difference: mean of b minus mean of a; the intervals of all pairs hold together.
        p_value: adjusted for all pairs; None where neither arm spreads.
        verdict: `"real"`, `"no_difference"` (none that is worth `worth`) or `"undecided"`.
        within_worth: whether two one-sided tests, adjusted for all pairs, put the difference below what is worth
            something, which a real one can be as well; None where nothing was named.
    """

    a: int
    b: int
    difference: Estimate
    p_value: float | None
    verdict: Verdict
    within_worth: bool | None = None


@dataclass(frozen=True)
class SeveralArms:
    """What several arms say of each other.

    Attributes:
        pairs: each that was compared.
        means: of each arm, with the interval of the arm by itself.
        letters: of each arm; two that share a letter cannot be told apart. Against the first arm "a" marks what cannot
            be told from it, and "" what can.
        procedure: the names of the tests.
        remarks: what else must be known.
        level: over all pairs together.
    """

    pairs: tuple[PairOfArms, ...]
    means: tuple[Estimate, ...]
    letters: tuple[str, ...]
    procedure: str
    remarks: tuple[str, ...]
    level: float


def compare_several(
    arms: Sequence[ArrayLike],
    *,
    seeds: Sequence[ArrayLike | None],
    names: Sequence[str] = (),
    against: Literal["first", "all"] = "first",
    worth: float | None = None,
    level: float = 0.95,
) -> SeveralArms:
    """Return which of several arms differ, with one error rate over all comparisons.

    Args:
        arms: of each arm, (R,) one number per run.
        seeds: of each arm, (R,) the seed of each run; None where every run has a seed of its own.
        names: what each arm is called in messages; by default "arm 1" and so on.
        against: `"first"` compares each arm with the first, `"all"` every pair.
        worth: the smallest difference that would matter, positive; None where none was named beforehand.
        level: confidence level of all comparisons together.

    Raises:
        LastbitError: fewer than two arms, seeds or names for another number of arms, an arm of one seed, NaN, no spread
            in any arm, a `worth` that is not positive, or a bad level.

    Example:
        >>> arms = [97.1, 97.4, 96.9], [98.9, 98.4, 98.8], [97.3, 97.0, 97.2]
        >>> found = compare_several(arms, seeds=[None] * 3, against="all")
        >>> found.letters, found.pairs[0].difference.format()
        (('b', 'a', 'b'), '1.6 [0.8, 2.4] (n = 3)')
    """
    check_level(level)
    choose(against, ["first", "all"], "against")
    if len(arms) < 2:
        raise LastbitError(f"a comparison needs two arms or more, got {len(arms)}")
    if len(seeds) != len(arms):
        raise LastbitError(
            f"there are {plural(len(arms), 'arm')}, and seeds for {len(seeds)}: give each arm its seeds, or None"
        )
    called = list(names) or [f"arm {place + 1}" for place in range(len(arms))]
    if len(called) != len(arms):
        raise LastbitError(f"there are {plural(len(arms), 'arm')}, and {plural(len(called), 'name')}: name each")
    check_worth(worth, level)
    given = read_arms(arms, seeds, called)
    _check(given.arms)
    places = [(0, b) for b in range(1, len(arms))]
    if against == "all":
        places = list(itertools.combinations(range(len(arms)), 2))
    tests = [_test(given.arms[a], given.arms[b]) for a, b in places]
    chances = [_chance(test, len(tests), against) for test in tests]
    if against == "all":
        chances = _holm(chances)
    small = [None] * len(tests) if worth is None else _holm([_too_large(test, worth / given.unit) for test in tests])
    pairs = tuple(
        _pair(place, test, chance, within, len(tests), level, given)
        for place, test, chance, within in zip(places, tests, chances, small, strict=True)
    )
    real = {(pair.a, pair.b) for pair in pairs if pair.verdict == "real"}
    order = sorted(range(len(arms)), key=lambda place: -given.arms[place].mean)
    letters = _letters(order, real) if against == "all" else ["a", *("" if (0, b) in real else "a" for _, b in places)]
    return SeveralArms(
        pairs=pairs,
        means=tuple(
            mean_estimate(arm.means, seeds=np.arange(arm.n), level=level).scaled(given.unit) for arm in given.arms
        ),
        letters=tuple(letters),
        procedure=_procedure(against, given.arms, worth),
        remarks=_remarks(given.arms, tests),
        level=level,
    )


def _check(arms: tuple[Arm, ...]) -> None:
    for arm in arms:
        if arm.n < 2:
            raise LastbitError(f"{arm.name} has one seed: train each of several arms with 2 or more")
    if not any(arm.variance for arm in arms):
        raise LastbitError("no arm shows any spread over its seeds: compare a metric that varies")


def _test(a: Arm, b: Arm) -> Welch:
    return welch((a.mean, b.mean), (a.variance, b.variance), (a.n, b.n))


def _chance(test: Welch, count: int, against: str) -> float:
    """Return the p value: adjusted by the maximum modulus against the first, as it is for Holm; 1 without spread."""
    if not test.se:
        return 1.0
    return maximum_modulus_p(test.difference / test.se, count, test.df) if against == "first" else test.p_value


def _holm(chances: list[float]) -> list[float]:
    """Return Holm's adjusted p values: the i-th smallest of m times m - i + 1, never below a smaller one's."""
    values = np.asarray(chances)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def _too_large(test: Welch, worth: float) -> float:
    """Return the p value of two one-sided tests that the difference is as large as `worth`; 1 without spread."""
    return test.p_beyond(worth) if test.se else 1.0


def _pair(
    place: tuple[int, int], test: Welch, chance: float, large: float | None, count: int, level: float, given: Arms
) -> PairOfArms:
    a, b = place
    n = min(given.arms[a].n, given.arms[b].n)
    within = None if large is None else large <= 1 - level
    if not test.se:
        apart = not_measured("neither arm shows any spread over its seeds", n)
        return PairOfArms(a, b, apart, None, "undecided", within)
    reach = maximum_modulus_quantile(count, test.df, level) * test.se
    difference = Estimate(test.difference, test.difference - reach, test.difference + reach, n, "", test.df)
    verdict: Verdict = "real" if chance <= 1 - level else "no_difference" if within else "undecided"
    if n < FOR_A_VERDICT:
        verdict = "undecided"
    return PairOfArms(a, b, difference.scaled(given.unit), chance, verdict, within)


def _letters(order: list[int], real: set[tuple[int, int]]) -> list[str]:
    """Return the compact letter display: two arms share a letter exactly when they are not told apart.

    Source: Piepho (2004), J. Comput. Graph. Statist. 13, 456-466 (insert and absorb). The first letter goes to the
    group that holds the arm of the largest mean.
    """
    groups = [frozenset(order)]
    for a, b in sorted(real):
        split = [group - {one} for group in groups for one in ((a, b) if {a, b} <= group else ())]
        kept = [group for group in groups if not {a, b} <= group]
        every = list(dict.fromkeys(kept + split))
        groups = [group for group in every if not any(group < other for other in every)]
    ranked = sorted(groups, key=lambda group: sorted(order.index(place) for place in group))
    names = [chr(ord("a") + place) if place < 26 else f"({place + 1})" for place in range(len(ranked))]
    return ["".join(names[k] for k, group in enumerate(ranked) if place in group) for place in range(len(order))]


def _procedure(against: str, arms: tuple[Arm, ...], worth: float | None) -> str:
    said = ["Dunnett's T3 against the first arm" if against == "first" else "Holm on Welch's t, Dunnett's T3 intervals"]
    if max(arm.runs.max() for arm in arms) > 1:
        said.append("runs averaged within their seed")
    if worth is not None:
        said.append("Holm on two one-sided t tests")
    return "; ".join(said)


def _remarks(arms: tuple[Arm, ...], tests: list[Welch]) -> tuple[str, ...]:
    few = [arm.name for arm in arms if arm.n < FOR_A_VERDICT]
    said = [f"two seeds allow intervals and no verdict: {', '.join(few)}"] if few else []
    said += [f"{arm.name} shows no spread over its {plural(arm.n, 'seed')}" for arm in arms if not arm.variance]
    if any(test.capped for test in tests):
        said.append("degrees of freedom capped at twice those of the smaller arm, where sizes differ")
    return tuple(said)
