"""How the stable learning rate moves as a network grows in depth, width and kernel size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lastbit.core.config import validated
from lastbit.core.keywords import keywords, takes
from lastbit.pde.deep.sweep import ComplexitySweep, ComplexityTrend, complexity_sweep
from lastbit.report.blocks import Table
from lastbit.report.formatting import bound, interval, number, plural, setting
from lastbit.studies.pde.measured import SaidTrend, Trends
from lastbit.studies.pde.result import PdeResult, Progress, table_of
from lastbit.studies.pde.settings import ComplexitySettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ComplexityStudy", "pde_complexity"]

_DIRECTIONS = {"falls": "falls", "rises": "rises", "no_trend": "shows no trend"}
_TOO_FEW = {"too_few_seeds": "too few seeds to tell", "too_few_sizes": "too few points to tell"}


@dataclass(frozen=True, kw_only=True, eq=False)
class ComplexityStudy(PdeResult):
    """The edge of stability along each axis of size, every size at every seed."""

    kind: ClassVar[str] = "pde complexity"
    forms: ClassVar[tuple[type, ...]] = (ComplexitySettings, Trends)
    settings: ComplexitySettings
    sweep: ComplexitySweep
    problem: str = "deep"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows the command's name: it knows deep networks alone."""
        return ()

    @property
    def words(self) -> str:
        """The base network in a few words."""
        return ", ".join(f"{axis} {size}" for axis, size in self.sweep.base.items())

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        said = "; ".join(map(self._sentence, self.sweep.trends))
        unsure = [trend.axis for trend in self.sweep.trends if not trend.converged]
        if unsure:
            said += f"; eigenvalues did not all converge over {', '.join(unsure)}"
        return f"Around {self.words}, over {plural(len(self.sweep.seeds), 'seed')}: {said}."

    def _sentence(self, trend: ComplexityTrend) -> str:
        """Return the trend in a clause."""
        if trend.direction == "unbounded":
            return f"with {trend.axis} no trend can be fitted, because at some sizes no learning rate is too large"
        if trend.direction in _TOO_FEW:
            of_seeds = trend.direction == "too_few_seeds"
            name, have = ("seeds", trend.edge_lr) if of_seeds else (f"{trend.axis}s", trend.sizes)
            usual = setting(type(self.settings).model_fields[name].default).replace(",", "")
            return f"with {trend.axis} there are {_TOO_FEW[trend.direction]} ({len(have)}; write --{name} {usual})"
        span = "" if trend.interval is None else f", {interval(*trend.interval, 3)}"
        power = f"∝ {trend.axis}^{number(trend.exponent, 3)}{span}"
        return f"with {trend.axis} the stable learning rate {_DIRECTIONS[trend.direction]} ({power})"

    @property
    def verdict_kind(self) -> str:
        """The `direction` of all axes, `mixed` where they do not agree, or `not_converged`.

        A direction is `falls`, `rises`, `no_trend`, `unbounded`, `too_few_seeds` or `too_few_sizes`.
        """
        kinds = {trend.direction for trend in self.sweep.trends}
        if not all(trend.converged for trend in self.sweep.trends):
            return "not_converged"
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def table(self) -> Table:
        """Every size, with the median and the range of the edge over the seeds."""
        rows = []
        for trend in self.sweep.trends:
            for i, size in enumerate(trend.sizes):
                edges = [row[i] for row in trend.edge_lr]
                least = [-row[i] for row in trend.lowest]
                shown = [bound(value) for value in (median(edges), min(edges), max(edges))]
                rows.append([trend.axis if i == 0 else "", str(size), *shown, number(median(least))])
        titles = ("size", "edge lr, median", "least", "most", "alpha min, median")
        return table_of(("axis",), titles, rows)

    def measured(self) -> Sequence[Any]:
        """Return the trends; None stands for an exponent that cannot be fitted."""
        one = self.sweep
        trends = [SaidTrend.of(trend, self._sentence(trend)) for trend in one.trends]
        return (Trends(base=one.base, settings=one.settings, seeds=one.seeds, trends=trends),)

    def draw_on(self, figure: Figure) -> None:
        """Draw the edge against size, one panel per axis: a dot for each seed, a line through the medians."""
        trends = self.sweep.trends
        figure.set_size_inches(3.2 * len(trends), 3.1)
        panels = figure.subplots(1, len(trends), sharey=True, squeeze=False)[0]
        for panel, trend in zip(panels, trends, strict=True):
            rates = np.asarray(trend.edge_lr)
            sizes = np.broadcast_to(np.asarray(trend.sizes), rates.shape)
            panel.loglog(sizes, rates, ".", color="#2b6cb0", alpha=0.5, markeredgewidth=0, label="seeds")
            panel.loglog(trend.sizes, np.median(rates, axis=0), "-", color="#c2410c", label="median")
            panel.set_xticks(trend.sizes, [str(size) for size in trend.sizes])
            panel.minorticks_off()
            panel.set_xlabel(trend.axis)
            title = _TOO_FEW.get(trend.direction, "no trend can be fitted")
            if trend.direction in _DIRECTIONS:
                title = f"{_DIRECTIONS[trend.direction]}: ∝ {trend.axis}^{number(trend.exponent, 3)}"
            panel.set_title(title, fontsize=9)
        # One of each: every seed is a line of its own to matplotlib.
        (first, *_), median_line = panels[0].lines[:-1], panels[0].lines[-1]
        panels[0].legend(handles=[first, median_line], labels=["a seed", "median"], frameon=False, fontsize=7)
        panels[0].set_ylabel("learning rate at the edge of stability")


@takes(keywords(ComplexitySettings))
def pde_complexity(*, progress: Progress | None = None, **settings: Any) -> ComplexityStudy:
    """Measure how the learning rate at the edge of stability moves with depth, width and kernel size.

    One size varies at a time, the others stay at the base network's. Every size meets every seed.

    Args:
        **settings: fields of `ComplexitySettings`.
        progress: called with (networks done, networks), each seed's counted.

    Raises:
        LastbitError: a setting that cannot be, in one line.

    Example:
        >>> found = pde_complexity(depths=(), widths=(), kernels=(1, 2, 4), seeds=2, image_size=8, images=2)
        >>> [trend.axis for trend in found.sweep.trends]
        ['kernel']
    """
    given = validated(ComplexitySettings, settings, flag="--")
    axes = {"depth", "width", "kernel"}
    sweep = complexity_sweep(
        base=given.model_dump(include=axes),
        seeds=range(given.seeds),
        progress=progress,
        **given.model_dump(exclude={*axes, "seeds"}, exclude_none=True),
    )
    return ComplexityStudy(settings=given, sweep=sweep)
