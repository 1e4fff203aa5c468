"""Adding runs until a difference is settled, with a number of runs fixed beforehand and an error rate that holds.

Looking every time at 5% makes 21% of comparisons falsely "real". With at most N runs an arm, a boundary that rises
linearly with the information keeps the level over all looks together:

    "real"             the two-sided Welch p <= c f          f = [n_A n_B/(n_A + n_B)] / (N/2)
    "no difference"    both one-sided p <= c10 f/2           (against a difference of ± worth)

Source: Lan and DeMets (1983), Biometrika 70, 659-663, for spending the level as information comes in; c and c10 are
simulated for Welch's t (`bench/sequential_constants.py`), so that normal arms with variances 1:4 keep 4.7% over all
looks, after each pair or after each run. Measured, for N of 5 to 30 and variances of 1:1 and 1:4: falsely "real" at
most 5.1% under normal and t4 noise, 6.2% under log-normal noise (skewness 1.75); falsely "no difference" 4.1 and 8.2%.
With N = 20 it finds 0.5, 1 and 2 SDs in 25, 78 and 100%, after 18, 14 and 7 runs an arm.

A "real" said early overstates the difference, since it was said when chance made it large: about twice at 0.5 SDs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError, choose
from lastbit.core.words import plural
from lastbit.stats._inputs import check_worth
from lastbit.stats.arms import Arm, read_arms
from lastbit.stats.estimate import Estimate, not_measured
from lastbit.stats.welch import Welch, welch

__all__ = ["LEAST_RUNS", "MOST_RUNS", "Looks", "SequentialDecision", "sequential_boundary"]

Looks = Literal["pairs", "runs"]

LEAST_RUNS, MOST_RUNS = 5, 30

_CONSTANTS = {
    ("pairs", "c"): "262 232 213 198 188 181 174 169 164 160 157 154 151 149 147 145 "
    "144 142 140 139 138 137 136 135 134 133",
    ("pairs", "c10"): "552 500 464 437 416 401 388 378 369 361 354 349 343 338 334 330 "
    "327 323 321 318 315 313 310 308 306 304",
    ("runs", "c"): "207 183 168 157 150 145 141 137 135 132 130 128 126 125 124 123 "
    "122 121 120 119 118 117 117 116 115 115",
    ("runs", "c10"): "444 402 377 358 344 333 323 317 310 305 300 296 292 289 286 284 "
    "282 279 278 276 274 273 271 270 268 267",
}
"""c and c10 in units of 1e-4, for N = 5, 6, ... 30, as `bench/sequential_constants.py` prints them."""


@dataclass(frozen=True)
class SequentialDecision:
    """What to do after a look.

    Attributes:
        decision: `"go_on"`, `"real"`, `"no_difference"`, or `"undecided"`, which ends it at the last run.
        difference: mean of B minus mean of A; where it ends, with the interval of this look.
        p_value: of this look by itself, two-sided; None where there is none.
        threshold: what the p value had to stay below for "real"; None where a p value plays no part.
        n_a: seeds of A so far.
        n_b: seeds of B so far.
        most: runs an arm that were fixed beforehand; None for a test without a last run.
        procedure: the test's name.
        remark: what must be known of the numbers; "" for nothing.
    """

    decision: Literal["go_on", "real", "no_difference", "undecided"]
    difference: Estimate
    p_value: float | None
    threshold: float | None
    n_a: int
    n_b: int
    most: int | None
    procedure: str
    remark: str


def boundary_constants(most: int, looks: Looks = "pairs") -> tuple[float, float]:
    """Return c and c10 for at most so many runs an arm.

    Raises:
        LastbitError: fewer than 5 or more than 30 runs, or other looks.

    Example:
        >>> boundary_constants(20)
        (0.0145, 0.033)
    """
    choose(looks, ["pairs", "runs"], "looks")
    if most != int(most) or not LEAST_RUNS <= most <= MOST_RUNS:
        raise LastbitError(
            f"most = {most}: a last run is fixed between {LEAST_RUNS} and {MOST_RUNS} an arm; "
            "the open test has none and needs no number"
        )
    real, none = (int(_CONSTANTS[looks, name].split()[int(most) - LEAST_RUNS]) / 10_000 for name in ("c", "c10"))
    return real, none


def sequential_boundary(
    a: ArrayLike,
    b: ArrayLike,
    *,
    most: int,
    looks: Looks = "pairs",
    worth: float | None = None,
) -> SequentialDecision:
    """Return what to do after the runs so far, each with a seed of its own.

    The level holds whichever of the looks are left out, as long as one stops at the first decision.

    Args:
        a: (n_A,) one number per seed of A so far.
        b: (n_B,) likewise; as many as of A after pairs, up to one more or fewer after runs.
        most: runs an arm at which it ends whatever comes, fixed beforehand, between 5 and 30.
        looks: `"pairs"` looks after a run of each arm, `"runs"` after every run.
        worth: the smallest difference that matters; None where "no difference" is not asked for.

    Raises:
        LastbitError: `most` out of range, more runs than that, arms of other sizes, NaN, or a `worth` not positive.

    Example:
        >>> a, b = [97.1, 97.4, 96.9, 97.2], [98.9, 98.4, 98.8, 98.6]
        >>> sequential_boundary(a, b, most=10).decision
        'real'
    """
    real, none = boundary_constants(most, looks)
    check_worth(worth)
    given = read_arms((a, b), (None, None), ("arm A", "arm B"))
    first, second = given.arms
    _check_sizes(first, second, int(most), looks)
    share = first.n * second.n / (first.n + second.n) / (most / 2)
    procedure = f"Welch's t at a linear boundary, at most {plural(most, 'run')} an arm, a look after each {looks[:-1]}"
    last = first.n == second.n == most
    test = _test(first, second)
    if test is None:
        decision: Literal["undecided", "go_on"] = "undecided" if last else "go_on"
        apart = not_measured("two seeds an arm and some spread come before a look", min(first.n, second.n))
        return SequentialDecision(decision, apart, None, None, first.n, second.n, most, procedure, "")
    within = worth is not None and test.p_beyond(worth / given.unit) <= none * share / 2
    settled = test.p_value <= real * share
    verdict: Literal["go_on", "real", "no_difference", "undecided"] = (
        "real" if settled else "no_difference" if within else "undecided" if last else "go_on"
    )
    reach = test.reach(1 - real * share)
    apart = Estimate(
        test.difference,
        test.difference - reach,
        test.difference + reach,
        min(first.n, second.n),
        "",
        test.df,
    )
    early = verdict == "real" and not last
    remark = (
        "an early decision: the difference tends to be overstated, since chance helped to make it large"
        if early
        else ""
    )
    return SequentialDecision(
        verdict, apart.scaled(given.unit), test.p_value, real * share, first.n, second.n, most, procedure, remark
    )


def _check_sizes(a: Arm, b: Arm, most: int, looks: Looks) -> None:
    if max(a.n, b.n) > most:
        raise LastbitError(
            f"an arm of {plural(max(a.n, b.n), 'run')}, where at most {most} were fixed beforehand: it has ended"
        )
    if abs(a.n - b.n) > (1 if looks == "runs" else 0):
        hint = "add the run that lacks" if looks == "runs" else "look after both have a run more, or take looks='runs'"
        raise LastbitError(f"{plural(a.n, 'run')} of A and {plural(b.n, 'run')} of B are no look after {looks}: {hint}")


def _test(a: Arm, b: Arm) -> Welch | None:
    """Return the test of a look, None where there is nothing to judge by."""
    if min(a.n, b.n) < 2:
        return None
    test = welch((a.mean, b.mean), (a.variance, b.variance), (a.n, b.n))
    return test if test.se else None
