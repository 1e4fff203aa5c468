"""Why a difference grows: by curvature, which does not ask how large it is, or by units that switch, which do.

Twins are kicked at one step by `s d`, with `d` a direction of the size of the weights and `s` from 1e-14 to 1e-3, and
trained on in float64. Let `r_s(t)` be the relative L2 distance after step `t`, and `G(t) = ln(r_s(t) / s)` for kicks so
small that nothing depends on their size. Growth is *linear* as long as a larger kick has the same `G`; that is what a
step beyond its limit does, and what the tangent follows. Where a kick comes to lie a factor 10 above `s exp(G)` while
that is still small, it met what a smaller one did not: a ReLU, a pooling window, an argmax that *switched*. The
smallest such kick brackets the *threshold*.

Of the growth of a last bit of float32, `ln(r_s(t*) / s)` with `s` about 2^-24 and `t*` the step at which it is largest
or of order one, the part `G(t*)` is linear, and what lies beyond it was released by switches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural
from lastbit.dynamics.horizon import ORDER_ONE
from lastbit.stats import Estimate, mean_estimate, not_measured

__all__ = ["LAST_BIT", "SIZES", "Mechanism", "Response", "mechanism", "response"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

SIZES: tuple[float, ...] = tuple(10.0**power for power in range(-14, -2))
"""Of the kicks, relative to the weights."""

LAST_BIT = 2.0**-24
"""The kick that stands for the last bit of float32."""

_SMALL = 1e-2
"""Relative L2 distance up to which a smooth network answers a kick linearly."""

_SWITCHED, _ALIKE = math.log(10), math.log(2)
"""Nats beyond the linear answer from which on a kick met a switch; and up to which two answers are alike."""

_ABOVE_ROUNDING = 100.0
"""How far a kick lies above what rounding adds up to in float64, to tell the linear answer."""

_GREW = math.log(10)
"""Nats from which on a last bit has grown."""

_MOSTLY = 0.8
"""Share of the growth from which on one mechanism is the answer."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """What the kicks of one seed did, along one direction.

    Attributes:
        kind: `measured`, or `not_linear` where even the two smallest that rounding does not hide differ.
        gain: `G` in nats at each step, of the smallest of these.
        small: index of the last step up to which that one is small.
        switched: smallest kick that met a switch; None where none did.
        linear_up_to: largest kick below that; the largest of all where none switched.
        step: after which the smallest that switched lies above its linear answer; None where none did.
        grown: nats by which a last bit of float32 grew.
        linear_share: the part of it that is linear; None where it has not grown.
    """

    kind: str
    gain: Floats
    small: int
    switched: float | None
    linear_up_to: float | None
    step: int | None
    grown: float
    linear_share: float | None


def response(steps: ArrayLike, sizes: ArrayLike, relative: ArrayLike) -> Response:
    """Return what the kicks of one seed say.

    Args:
        steps: recorded steps (S,), the first that of the kick.
        sizes: of the kicks (M,), ascending, at least two of them.
        relative: distances from the base relative to its norm (M, S).

    Raises:
        LastbitError: the shapes do not match, or the sizes do not ascend.

    Example:
        >>> steps, sizes = np.arange(201), np.array(SIZES)
        >>> even = sizes[:, None] * np.exp(0.05 * steps)
        >>> response(steps, sizes, np.minimum(even, 0.5)).linear_share
        1.0
    """
    t, s, r = (np.asarray(one, dtype=np.float64) for one in (steps, sizes, relative))
    if t.ndim != 1 or s.ndim != 1 or r.shape != (len(s), len(t)) or len(s) < 2 or not len(t):
        raise LastbitError(f"distances (M, S) of M kicks at S steps are needed, got {r.shape}, {s.shape} and {t.shape}")
    if not (np.diff(s) > 0).all() or s[0] <= 0:
        raise LastbitError("sizes of kicks ascend from above 0")
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(np.isnan(r), np.inf, np.log(r)) - np.log(s)[:, None]
    first = int(np.searchsorted(s, _ABOVE_ROUNDING * 2.0**-53 * math.sqrt(max(t[-1] - t[0], 1.0))))
    first = min(first, len(s) - 2)
    gain = logs[first]
    above = np.flatnonzero(gain > math.log(_SMALL / s[first]))
    beyond = np.where(np.log(s)[:, None] + gain <= math.log(_SMALL), logs - gain, -np.inf)
    beyond[:first] = -np.inf  # what rounding hides tells nothing
    kind = "measured" if _most(np.abs(beyond[first + 1][np.isfinite(beyond[first + 1])])) <= _ALIKE else "not_linear"
    switched = np.flatnonzero((beyond > _SWITCHED).any(axis=1))
    at = int(switched[0]) if len(switched) else None
    bit = int(np.argmin(np.abs(np.log(s) - math.log(LAST_BIT))))
    grown, share = _grown(logs[bit], gain, math.log(ORDER_ONE) - math.log(s[bit]))
    return Response(
        kind=kind,
        gain=gain,
        small=int(above[0]) - 1 if len(above) else len(t) - 1,
        switched=None if at is None else float(s[at]),
        linear_up_to=float(s[-1]) if at is None else float(s[at - 1]) if at else None,
        step=None if at is None else int(t[np.argmax(beyond[at] > _SWITCHED)]),
        grown=grown,
        linear_share=share,
    )


def _most(values: Floats) -> float:
    return float(values.max()) if len(values) else 0.0


def _grown(curve: Floats, gain: Floats, order_one: float) -> tuple[float, float | None]:
    """Return by how much a kick grew until it was largest or of order one, and the linear part of that."""
    apart = np.flatnonzero(curve >= order_one)
    end = int(apart[0]) if len(apart) else int(np.argmax(curve))
    grown = float(min(curve[end], order_one))
    if grown < _GREW:
        return grown, None
    return grown, float(np.clip(gain[end] / grown, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """Why the last bit grows in a training.

    Attributes:
        kind: `linear`, `switching`, `both`, or `undecided`.
        reason: in a clause.
        linear_share: part of the growth of a last bit of float32 that is linear, mean over seeds, each of which has a
            direction of its own, with its 95% interval.
        threshold: geometric mean over seeds that switched of the kick between the largest that did not and the
            smallest that did.
        switched: in how many seeds a switch was met.
        seeds: how many there are.
    """

    kind: str
    reason: str
    linear_share: Estimate
    threshold: Estimate
    switched: int
    seeds: int


def mechanism(seeds: Sequence[Response]) -> Mechanism:
    """Return what the kicks of all seeds say together.

    Args:
        seeds: what those of each did.

    Raises:
        LastbitError: there is none.
    """
    if not seeds:
        raise LastbitError("no kick was answered: a mechanism needs one seed at least")
    ends = [(one.linear_up_to, one.switched) for one in seeds]
    told = [math.log(low * high) / 2 for low, high in ends if low is not None and high is not None]
    threshold = not_measured("no kick met a switch", len(seeds))
    if told:
        logs = mean_estimate(told)
        low, middle, high = (None if end is None else math.exp(end) for end in (logs.low, logs.estimate, logs.high))
        threshold = Estimate(middle, low, high, logs.n, logs.note)
    grew = [one.linear_share for one in seeds if one.linear_share is not None and one.kind == "measured"]
    share = mean_estimate(grew).truncated(0.0, 1.0) if grew else not_measured("the last bit does not grow", len(seeds))
    kind, reason = _judged(share, sum(one.kind == "not_linear" for one in seeds), len(seeds))
    return Mechanism(
        kind=kind,
        reason=reason,
        linear_share=share,
        threshold=threshold,
        switched=sum(one.switched is not None for one in seeds),
        seeds=len(seeds),
    )


def _judged(share: Estimate, unclear: int, seeds: int) -> tuple[str, str]:
    if 2 * unclear > seeds:
        return "undecided", f"even the smallest kicks of {plural(unclear, 'seed')} do not grow alike"
    if share.estimate is None:
        return "undecided", share.note.removeprefix("not measured: ")
    low = share.estimate if share.low is None else share.low
    high = share.estimate if share.high is None else share.high
    if share.n < 2:
        return "undecided", "one seed has no interval"
    if low >= _MOSTLY:
        return "linear", "growth does not depend on the size of a kick"
    if high <= 1 - _MOSTLY:
        return "switching", "what grows was released by switches"
    if low > 1 - _MOSTLY and high < _MOSTLY:
        return "both", "a part grows linearly, and switches release the rest"
    if high < 1 / 2:
        return "undecided", "switches release most of what grows, and how little is linear is open: more seeds tell"
    if low > 1 / 2:
        return "undecided", "most of the growth is linear, and how little switches release is open: more seeds tell"
    return "undecided", "the linear share may be less than half or more: more seeds tell"
