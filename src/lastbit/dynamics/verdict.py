"""Is the instability restrained? One verdict from one curve of distances between twins.

Let `d_s` be the L2 distance between base and twin over all weights at the recorded steps `s`, `|w_s|` the base's norm,
`y = ln d`, and the *last third* the recorded steps in the last third of the run. Its trend is the slope of `y` there
with a 99% interval (`trend.fit_trend`). The *rise* is the largest `y_t - min_{s <= t} y_s`, where a distance below the
rounding of a single step (`rounding.single_rounding`) counts as that: once twins differ anywhere all their roundings
differ, and reaching that size is no amplification. *Still growing* means that the interval lies above 0 and that the
fitted rise over the last third is more than 0.1 decades; a random walk, the slowest growth of twins that have become
independent, rises by 0.09 (`log10 sqrt(3/2)`) there.

* `diverged`: a distance or a norm is not finite; or the norm has risen by three decades and is still growing; or the
  distance has risen by three decades, is still growing, and is 10 times the largest norm of the first two thirds.
* `stable`: the distance stays within `rounding.rounding_bound` at every step, and would still do so after as many steps
  again at the low end of its slope. A distance beyond the bound but within `rounding.worst_rounding` that rose about in
  proportion to `t`, as biased rounding does, is stable too; and so are twins that fit no other verdict and are equal
  again at the end, bit for bit, over a last third of enough recorded steps.
* `decays`: over the last third the distance lies at least three decades below its largest before, does not grow, and is
  certain to fall still or is back within the bound.
* `restrained`: the distance passes the bound, has risen by at least three decades, faster than a power 1.5 of `t`, and
  is not still growing in the last third; and the interval is narrow enough to decide, that is, it excludes the slope
  that would spread the whole rise evenly over the run.
* `undecided`: none of these, with the number of steps that would suffice where it can be estimated.

The growth rate is the slope of `y` where it rises from 10% to 90% of its rise (over the last third for `stable`).
The saturation level is the median distance in the last third; the saturation step is the first at half that level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural
from lastbit.dynamics.rounding import rounding_bound, single_rounding, worst_rounding
from lastbit.dynamics.trend import NO_TREND, SURE, TOLERATED_RISE, Curve, Trend, fit_trend
from lastbit.stats import Estimate

__all__ = ["VERDICTS", "Course", "Verdict", "judge"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

VERDICTS = ("stable", "restrained", "decays", "diverged", "undecided")

ENOUGH = 8
"""Recorded steps that the last third must hold: fewer give its slope no interval worth the name."""

FASTER_THAN_ROUNDING = 1.5
"""Exponent of `t` between 10% and 90% of the rise. Biased rounding has 1; three decades grown exponentially from the
first step on have `0.8 ln 1000 / ln 9` = 2.5, and growth that starts later has more."""

BEYOND_NORM = 10.0
"""Twins of bounded weights are at most twice their norm apart; this leaves a factor five for norms that still move."""


Ends = tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a last-bit difference went on; a number that cannot be told is None.

    Attributes:
        reason: why the verdict is what it is, in one sentence.
        decades: the rise, as above, in powers of ten.
        growth_rate_per_step: nats per step.
        growth_rate_interval: its 95% interval.
        e_folding_steps: `1 / growth_rate_per_step` where that is positive.
        saturation_step: where it reached its level; `restrained` only.
        saturation_level: the level, in the unit of the distances; `restrained` only.
        saturation_range: between which values 95% of the distances in the last third lie; `restrained` only.
        slope_last_third: nats per step.
        slope_interval: its 99% interval, the one that decides.
        rounding_bound: what accumulated rounding explains at the last step, in the unit of the distances.
        steps_needed: how many steps in all would suffice; `undecided` only, None where more steps would not help.
    """

    reason: str = ""
    decades: float | None = None
    growth_rate_per_step: float | None = None
    growth_rate_interval: Ends | None = None
    e_folding_steps: float | None = None
    saturation_step: int | None = None
    saturation_level: float | None = None
    saturation_range: Ends | None = None
    slope_last_third: float | None = None
    slope_interval: Ends | None = None
    rounding_bound: float | None = None
    steps_needed: int | None = None
    twin_verdicts: tuple[str, ...] = ()
    """What each twin shows taken alone (`dynamics.agreement`); empty of a curve that is not made of twins."""
    leaving: Estimate | None = None
    """The chance that another twin would leave the bound, from how many did."""


@dataclass(frozen=True, kw_only=True)
class Verdict(Course):
    """How a last-bit difference ended, and how it went on until then."""

    verdict: str
    """One of `VERDICTS`, or `mixed` (`dynamics.agreement`)."""


def judge(
    steps: ArrayLike,
    distance: ArrayLike,
    norm: ArrayLike,
    *,
    dtype: torch.dtype = torch.float32,
    decades: float = 3.0,
    tolerated_rise: float = TOLERATED_RISE,
) -> Verdict:
    """Judge one curve of distances, or the geometric mean over several twins (see `agreement.judge_twins`).

    Args:
        steps: recorded steps (S,), increasing; the first is where the twins were equal, or perturbed.
        distance: L2 distances over all weights, (S,) or (twins, S). Relative distances go with `norm=1`. A zero is a
            twin that does not differ (yet, or any longer) and has no logarithm: it is left out of the curve. If the
            first step's distance is not 0 it counts as `|δ_0|`.
        norm: the base's L2 norm (S,), or one number.
        dtype: the format in which the weights were stored between steps. Between bfloat16's rounding and order one lie
            fewer than three decades, so `restrained` needs smaller `decades` there, or a run in a longer format.
        decades: the rise that `restrained` and `diverged` need, in powers of ten.
        tolerated_rise: how much a curve may still rise over its last third and still count as level, in powers of ten.

    Raises:
        LastbitError: the arrays do not match, steps do not increase, or a distance is negative.

    Example:
        >>> steps = np.arange(900)
        >>> grown = np.minimum(1e-8 * np.exp(0.1 * steps), 0.5) * (1 + 0.1 * np.sin(steps))
        >>> found = judge(steps, grown, 1.0)
        >>> found.verdict, round(found.growth_rate_per_step, 2), found.saturation_step
        ('restrained', 0.1, 170)
    """
    s, d, w = _checked(steps, distance, norm)
    if not (np.isfinite(d).all() and np.isfinite(w).all()):
        return _broken(s, d, w)
    positive = d > 0
    seen = np.asarray(positive.any(axis=0))
    if not seen.any():
        return _verdict("stable", "the twins never differed", math.nan, NO_TREND, NO_TREND, 0.0)
    logs = np.log(np.where(positive, d, 1.0)).sum(axis=0) / np.maximum(positive.sum(axis=0), 1)
    initial = float(np.exp(logs[0])) if seen[0] else 0.0
    bound = rounding_bound(s, w, dtype, initial=initial)[seen]
    worst = worst_rounding(s, w, dtype, initial=initial)[seen]
    curve = Curve((s - s[0])[seen], logs[seen], single_rounding(w[0], dtype), int(s[0]))
    found = _judged(curve, w[seen], bound, worst, decades * math.log(10), tolerated_rise * math.log(10))
    rejoined = not d[:, -1].any() and int((s >= s[0] + 2 / 3 * (s[-1] - s[0])).sum()) >= ENOUGH
    if found.verdict in ("undecided", "decays") and rejoined:
        reason = "the twins came together again, bit for bit"
        return replace(found, verdict="stable", reason=reason, steps_needed=None)
    return found


def _judged(c: Curve, norm: Floats, bound: Floats, worst: Floats, enough: float, tolerated: float) -> Verdict:
    """Apply the rules at the top of this file, in their order; `enough` and `tolerated` in nats."""
    late, rise, explained = c.late, c.rise, float(bound[-1])
    if late.sum() < ENOUGH:
        few = int(late.sum())
        verb = "is" if few == 1 else "are"
        reason = f"{plural(few, 'recorded step')} in the last third {verb} too few to tell a slope"
        needed = max(3 * ENOUGH, math.ceil(c.span * ENOUGH / max(int(late.sum()), 1)))
        return _verdict("undecided", reason, rise, NO_TREND, NO_TREND, explained, steps_needed=needed)
    last, rate = fit_trend(c.t[late], c.y[late], level=SURE), c.growth()
    third = float(np.ptp(c.t[late]))
    growing = last.grows(third, tolerated)
    weights = Curve(c.t, np.log(np.maximum(norm, np.finfo(np.float64).tiny)))
    if weights.rise >= enough and fit_trend(c.t[late], weights.y[late], level=SURE).grows(third, tolerated):
        reason = f"the weights themselves grew by {weights.rise / math.log(10):.1f} decades and are still growing"
        return _verdict("diverged", reason, rise, rate, last, explained)
    if growing and rise >= enough and math.exp(c.y[-1]) > BEYOND_NORM * float(norm[~late].max(initial=0.0)):
        reason = "the difference is past the size of the weights and still growing"
        return _verdict("diverged", reason, rise, rate, last, explained)
    fallen = float(c.counted.max() - np.median(c.counted[late]))
    back = bool(np.all(np.exp(c.y[late]) <= bound[late]))
    if fallen >= enough and not growing and (last.high < 0 or back):
        how = "is still falling" if last.high < 0 else "stays within what rounding adds up to"
        reason = f"the difference fell {fallen / math.log(10):.1f} decades below its largest and {how}"
        return _verdict("decays", reason, rise, rate, last, explained)
    calm = fit_trend(c.t[late], c.y[late])
    within, faster = bool(np.all(np.exp(c.y) <= bound)), c.exponent() > FASTER_THAN_ROUNDING
    # Twice the steps raise the accumulated part of the bound by a factor sqrt(2).
    later = bound[0] + math.sqrt(2) * (explained - bound[0])
    if within and c.y[-1] + max(last.low, 0.0) * c.span <= math.log(later):
        return _verdict("stable", "the difference stays within what rounding adds up to", rise, calm, last, explained)
    if not within and not faster and bool(np.all(np.exp(c.y) <= worst)):
        reason = "the difference grew no faster than biased rounding adds up to"
        return _verdict("stable", reason, rise, calm, last, explained)
    if within or growing:
        # At its present rate the difference reaches the size of the weights after `more` steps; then a last third.
        more = max(math.log(float(norm[-1])) - float(c.y[-1]), 0.0) / last.slope if last.slope > 0 else c.span
        reason = "the difference is still growing"
        needed = math.ceil(1.5 * (c.span + more))
        return _verdict("undecided", reason, rise, rate, last, explained, steps_needed=needed)
    if rise >= enough and faster and last.high < rise / c.span:
        return _restrained(c, last, explained)
    return _level(c, last, explained, enough)


def _restrained(c: Curve, last: Trend, explained: float) -> Verdict:
    late = np.exp(c.y[c.late])
    level = float(np.median(late))
    below, above = np.quantile(late, [0.025, 0.975])
    return _verdict(
        "restrained",
        f"the difference grew by {c.rise / math.log(10):.1f} decades, then stayed bounded",
        c.rise,
        c.growth(),
        last,
        explained,
        saturation_step=c.start + int(c.reached(level / 2)),
        saturation_level=level,
        saturation_range=(float(below), float(above)),
    )


def _level(c: Curve, last: Trend, explained: float, enough: float) -> Verdict:
    """Say why a difference beyond rounding that is not still growing is not restrained either."""
    needed = None
    if c.rise < enough and last.high * c.span < enough - c.rise:
        reason = (
            f"the difference passed what rounding explains but rose by {c.rise / math.log(10):.1f} decades, fewer than "
            f"{enough / math.log(10):g}, and is level: more steps will not decide it"
        )
    elif c.rise >= enough and c.exponent() <= FASTER_THAN_ROUNDING:
        reason = "the difference rose as slowly as rounding adds up, yet past what that explains"
    else:
        reason = "the last third is too short to tell a level from growth"
        # The interval of a slope narrows with the steps to the power 3/2; beyond 100 times the run it means nothing.
        excess = max(last.high, 0.0) * c.span / max(c.rise, enough)
        needed = math.ceil(c.span * float(np.clip(2 * excess ** (2 / 3), 2.0, 100.0)))
    return _verdict("undecided", reason, c.rise, c.growth(), last, explained, steps_needed=needed)


def _verdict(verdict: str, reason: str, rise: float, rate: Trend, last: Trend, bound: float, **more: Any) -> Verdict:
    return Verdict(
        verdict=verdict,
        reason=reason,
        decades=_known(rise / math.log(10)),
        growth_rate_per_step=_known(rate.slope),
        growth_rate_interval=(rate.low, rate.high),
        e_folding_steps=1 / rate.slope if rate.slope > 0 else None,
        slope_last_third=_known(last.slope),
        slope_interval=(last.low, last.high),
        rounding_bound=_known(bound),
        **more,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _broken(s: Floats, d: Floats, w: Floats) -> Verdict:
    """A run with non-finite numbers has diverged; what came before says how fast."""
    good = np.isfinite(d).all(axis=0) & np.isfinite(w)
    first = int(np.argmin(good))
    reason = f"the weights or the difference stopped being finite by step {int(s[first])}"
    before = d[:, :first]
    kept = (before > 0).all(axis=0)
    if kept.sum() < 2:
        return _verdict("diverged", reason, math.nan, NO_TREND, NO_TREND, math.nan)
    curve = Curve((s[:first] - s[0])[kept], np.log(before[:, kept]).mean(axis=0))
    late = curve.late
    last = fit_trend(curve.t[late], curve.y[late]) if late.sum() > 1 else NO_TREND
    return _verdict("diverged", reason, curve.rise, curve.growth(), last, math.nan)


def _checked(steps: ArrayLike, distance: ArrayLike, norm: ArrayLike) -> tuple[Floats, Floats, Floats]:
    s, d = np.asarray(steps, dtype=np.float64), np.atleast_2d(np.asarray(distance, dtype=np.float64))
    if s.ndim != 1 or not s.size or d.ndim != 2 or d.shape[1] != s.size or not d.shape[0]:
        raise LastbitError(f"one distance per step is needed, got shapes {s.shape} and {np.shape(distance)}")
    if np.any(np.diff(s) <= 0):
        raise LastbitError("steps must increase: sort them first")
    if np.any(d < 0):
        raise LastbitError("a distance is negative: pass norms, not differences")
    w = np.asarray(norm, dtype=np.float64)
    if w.ndim and w.shape != s.shape:
        raise LastbitError(f"norm has shape {w.shape}: pass one number, or one per step, {s.shape}")
    return s, d, np.array(np.broadcast_to(w, s.shape))
