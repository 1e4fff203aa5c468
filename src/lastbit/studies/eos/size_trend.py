"""What growing a network does to the learning rates it bears: power laws over the sizes of a sweep.

    quantity ~ size^p,      p by least squares of the logarithms over the sizes, all else equal.

One line of a sweep holds every size at the same values of the other settings and with the same seed. A line in which a
quantity is missing at some size (the training diverged, or never reached its limit) is left out whole, so that no size
stands for fewer seeds than another. The exponents of a seed's lines are averaged, for trainings of one seed at several
learning rates start from the same weights and are no samples; the interval is Student's over the seeds. With one seed
and one line it is that of the least-squares slope, whose residuals then hold what departs from a power law, too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from scipy import stats

from lastbit.core.status import RunStatus
from lastbit.report.formatting import number, plural, show
from lastbit.stats import Estimate, mean_estimate, not_measured
from lastbit.studies.eos.cell_result import EosCell

__all__ = ["QUANTITIES", "SizeTrend", "power_of_size", "quantity_of", "size_trends", "trend_sentence"]

_SIZES = ("depth", "width", "kernel")
"""The settings by which a network grows."""

MONOTONE = 0.5
"""Rank correlation from which on a slope is called a trend."""

QUANTITIES = {
    "stable_lr_first": "stable learning rate, first measurement",
    "stable_lr_lowest": "stable learning rate, lowest",
    "stable_lr_tail": "stable learning rate, last third",
    "entered_at_step": "first step at the limit",
}
"""What is followed over the sizes, and how to say it."""


@dataclass(frozen=True, kw_only=True)
class SizeTrend:
    """What becomes of one quantity as one size of the network grows."""

    axis: str
    quantity: str
    """One of `QUANTITIES`."""
    sizes: tuple[int, ...]
    means: tuple[float, ...]
    """Geometric means by size; empty where no line of the sweep is whole."""
    exponent: Estimate
    rank_correlation: float | None
    """Spearman's, mean over the lines; a limit that was never reached counts as reached last."""
    direction: str
    """`falls`, `rises`, `unclear` where the interval holds 0 or there is none, `not monotone` where it does not but the
    ranks disagree, or `not measured`."""
    trainings: int
    """How many the exponent comes from."""
    left_out: int


def size_trends(cells: Sequence[EosCell]) -> tuple[SizeTrend, ...]:
    """Return one entry for each size that is varied and each of `QUANTITIES`; empty where no size is varied."""
    varied = [axis for axis in _SIZES if len({cell.axes.get(axis) for cell in cells}) > 1]
    return tuple(_trend(axis, name, cells) for axis in varied for name in QUANTITIES)


def quantity_of(cell: EosCell, quantity: str) -> float | None:
    """Return one of `QUANTITIES` of a training; None where it has none."""
    value: float | None = attrgetter(quantity.replace("stable_lr_", "stable_lr."))(cell)
    return value


def _lines(axis: str, quantity: str, cells: Sequence[EosCell]) -> tuple[list[float], dict[tuple[Any, ...], np.ndarray]]:
    """Return the sizes, and by seed and other settings the values at them, NaN where one is missing."""
    sizes = sorted({float(cell.axes[axis]) for cell in cells})
    lines: dict[tuple[Any, ...], np.ndarray] = defaultdict(lambda: np.full(len(sizes), np.nan))
    for cell in cells:
        value = quantity_of(cell, quantity)
        if quantity == "entered_at_step" and value is None and cell.status == RunStatus.OK:
            value = math.inf
        key = (cell.seed, *(value for name, value in sorted(cell.axes.items()) if name != axis))
        lines[key][sizes.index(float(cell.axes[axis]))] = np.nan if value is None else value
    return sizes, lines


def _trend(axis: str, quantity: str, cells: Sequence[EosCell]) -> SizeTrend:
    sizes, lines = _lines(axis, quantity, cells)
    whole = {key: line for key, line in lines.items() if np.isfinite(line).all() and (line > 0).all()}
    exponent = power_of_size(np.log(sizes), whole)
    ranked = [line for line in lines.values() if not np.isnan(line).any() and len(set(line)) > 1]
    ranks = [float(stats.spearmanr(sizes, line).statistic) for line in ranked]
    rank, used = float(np.mean(ranks)) if ranks else None, len(whole) * len(sizes)
    means = np.exp(np.mean([np.log(line) for line in whole.values()], axis=0)).tolist() if whole else []
    return SizeTrend(
        axis=axis,
        quantity=quantity,
        sizes=tuple(int(size) for size in sizes),
        means=tuple(means),
        exponent=exponent,
        rank_correlation=rank,
        direction=_direction(exponent, rank),
        trainings=used,
        left_out=len(cells) - used,
    )


def _direction(exponent: Estimate, rank: float | None) -> str:
    if exponent.low is None or exponent.high is None or exponent.low <= 0 <= exponent.high:
        return "unclear" if exponent.measured else "not measured"
    # A slope can be certain where the quantity first falls and then rises.
    if rank is None or abs(rank) < MONOTONE:
        return "not monotone"
    return "falls" if exponent.high < 0 else "rises"


def power_of_size(logs: np.ndarray, lines: Mapping[tuple[Any, ...], np.ndarray]) -> Estimate:
    """Return the exponent of a power law over sizes, with Student's interval over the seeds.

    Args:
        logs: (S,) logarithms of the sizes.
        lines: by seed and whatever else is alike in a line, (S,) positive values at the sizes.
    """
    if not lines:
        return not_measured("no line of the sweep has it at every size")
    seeds = [seed for seed, *_ in lines]
    slopes = [float(np.polyfit(logs, np.log(line), 1)[0]) for line in lines.values()]
    if len(set(seeds)) > 1:
        return mean_estimate(slopes, seeds=seeds)
    if len(lines) > 1 or len(logs) < 3:
        return Estimate(float(np.mean(slopes)), None, None, 1, "one seed: no interval; write --seeds 3")
    fit = stats.linregress(logs, np.log(next(iter(lines.values()))))
    slope, reach = float(fit.slope), float(stats.t.ppf(0.975, len(logs) - 2) * fit.stderr)
    note = f"one seed: interval of the fit through {len(logs)} sizes"
    return Estimate(slope, slope - reach, slope + reach, 1, note)


def trend_sentence(trends: Sequence[SizeTrend]) -> str:
    """Return what a sweep over sizes says of the stable learning rate; empty without such a sweep."""
    parts = []
    for axis in dict.fromkeys(trend.axis for trend in trends):
        found = {trend.quantity: trend for trend in trends if trend.axis == axis}
        first = found["stable_lr_first"]
        said = _clause(first, "at the first measurement"), _clause(found["stable_lr_tail"], "over the last third")
        counted = f"{plural(first.trainings, 'training')}, {plural(first.exponent.n, 'seed')}"
        sizes = f"from {axis} {number(first.sizes[0])} to {number(first.sizes[-1])}"
        parts.append(f"{sizes} the stable learning rate {' and '.join(said)} ({counted})")
    return "; ".join(parts)


def _clause(trend: SizeTrend, when: str) -> str:
    shown = show(trend.exponent)
    if not shown.measured:
        return f"is not measured {when}"
    word = {"unclear": "shows no clear trend", "not monotone": "is not monotone"}.get(trend.direction, trend.direction)
    return f"{word} {when} (as {trend.axis}^{shown.value}{f', {shown.words}' if shown.interval else ''})"
