"""How the stable learning rate moves with the size of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from lastbit.core.errors import LastbitError, choose
from lastbit.pde.deep.bounds import DeepBounds, deep_bounds

__all__ = ["ComplexitySweep", "ComplexityTrend", "complexity_sweep"]

AXES = ("depth", "width", "kernel")

FEWEST = 3
"""Seeds and sizes from which on an interval that holds 0 says that there is no trend to be seen."""


@dataclass(frozen=True, kw_only=True)
class ComplexityTrend:
    """One axis of a sweep: the others held at their base, every size at every seed.

    Attributes:
        axis: `depth`, `width` or `kernel`.
        sizes: the values it took, S of them.
        edge_lr: learning rate at the edge of stability, `[seeds][S]`; `inf` where no rate is too large.
        lowest: smallest eigenvalue, `[seeds][S]`: `−lowest` is the least stable weight decay.
        sharpest_layer: the layer with the sharpest block, `[seeds][S]`, counted from 1.
        exponent: mean over seeds of the slope of `log edge_lr` against `log size`: `edge_lr ∝ size^exponent`.
        interval: 95% interval of that mean, from Student's t over the seeds; None for a single seed.
        converged: whether every eigenvalue did.
    """

    axis: str
    sizes: tuple[int, ...]
    edge_lr: tuple[tuple[float, ...], ...]
    lowest: tuple[tuple[float, ...], ...]
    sharpest_layer: tuple[tuple[int, ...], ...]
    exponent: float
    interval: tuple[float, float] | None
    converged: bool

    @property
    def direction(self) -> str:
        """`falls` or `rises` where the interval leaves 0 out, else `no_trend`, or why nothing can be told.

        That is `unbounded` where at some size no learning rate is too large, `too_few_seeds` and `too_few_sizes` where
        there are fewer than three.
        """
        if not math.isfinite(self.exponent):
            return "unbounded"
        if self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]:
            return "falls" if self.interval[1] < 0 else "rises"
        if len(self.edge_lr) < FEWEST:
            return "too_few_seeds"
        return "too_few_sizes" if len(self.sizes) < FEWEST else "no_trend"


@dataclass(frozen=True, kw_only=True)
class ComplexitySweep:
    """Trends over depth, width and kernel size around one base network."""

    base: dict[str, int]
    settings: dict[str, Any]
    seeds: tuple[int, ...]
    trends: tuple[ComplexityTrend, ...]


def complexity_sweep(
    *,
    depths: Sequence[int] = (1, 2, 3, 4, 6),
    widths: Sequence[int] = (2, 4, 8, 16),
    kernels: Sequence[int] = (1, 3, 5, 7),
    base: dict[str, int] | None = None,
    seeds: Sequence[int] = range(8),
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> ComplexitySweep:
    """Measure the edge of stability while depth, width or kernel size grows and the others stay.

    Args:
        depths: numbers of layers; an empty sequence leaves the axis out, as for the others.
        widths: channels between layers.
        kernels: rows and columns of the windows.
        base: the network around which the axes vary; depth 3, width 4, kernel 3 if left out.
        seeds: of the weights; every size meets every seed, so trends are paired.
        progress: called with (networks done, networks), each seed's counted.
        **settings: anything else `deep_bounds` takes (`device`, …), the same for all networks.

    Raises:
        LastbitError: no axis with two sizes or more, no seed, an axis given twice, or anything `deep_bounds` refuses.
    """
    # The edge is wanted to a fraction of a percent, and an eigenvalue's error is the square of its residual's.
    settings = {"tolerance": 1e-5, **settings}
    around = {"depth": 3, "width": 4, "kernel": 3, **(base or {})}
    for name in around:
        choose(name, AXES, "axis of the sweep")
    if twice := [axis for axis in AXES if axis in settings]:
        raise LastbitError(f"{twice[0]} = {settings[twice[0]]} arrived as a setting: write base={{'{twice[0]}': …}}")
    grid = {axis: tuple(sizes) for axis, sizes in zip(AXES, (depths, widths, kernels), strict=True) if len(sizes)}
    if not grid or any(len(set(sizes)) < 2 for sizes in grid.values()) or not len(seeds):
        raise LastbitError("a sweep needs a seed, and two different sizes or more on each axis it varies")
    networks: dict[str, list[dict[str, Any]]] = {
        axis: [{**around, axis: size} for size in sizes] for axis, sizes in grid.items()
    }
    # The base network lies on every axis: measure it once.
    wanted = {(*network.values(), seed): network for row in networks.values() for network in row for seed in seeds}
    found: dict[tuple[int, ...], DeepBounds] = {}
    for done, (key, network) in enumerate(wanted.items(), 1):
        found[key] = deep_bounds(seed=key[-1], **network, **settings)
        if progress is not None:
            progress(done, len(wanted))
    trends = []
    for axis, sizes in grid.items():
        rows = [[found[*network.values(), seed] for network in networks[axis]] for seed in seeds]
        trends.append(_trend(axis, sizes, rows))
    return ComplexitySweep(base=around, settings=settings, seeds=tuple(seeds), trends=tuple(trends))


def _trend(axis: str, sizes: tuple[int, ...], rows: list[list[DeepBounds]]) -> ComplexityTrend:
    rates = np.array([[bound.edge_lr for bound in row] for row in rows])
    if not np.isfinite(rates).all():
        slopes = np.full(len(rows), np.nan)
    else:
        slopes = np.polyfit(np.log(sizes), np.log(rates).T, 1)[0]
    mean, count = float(slopes.mean()), len(rows)
    interval = None
    if count > 1 and math.isfinite(mean):
        half = float(stats.t.ppf(0.975, count - 1) * slopes.std(ddof=1) / math.sqrt(count))
        interval = (mean - half, mean + half)
    return ComplexityTrend(
        axis=axis,
        sizes=sizes,
        edge_lr=tuple(tuple(map(float, row)) for row in rates),
        lowest=tuple(tuple(bound.lowest for bound in row) for row in rows),
        sharpest_layer=tuple(tuple(bound.binding_layer for bound in row) for row in rows),
        exponent=mean,
        interval=interval,
        converged=all(bound.converged for row in rows for bound in row),
    )
