"""From the runs to what each change did, and which of them looked best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastbit import stats
from lastbit.stats import Estimate, not_measured, not_worse, ratio_of_means, remedy_effect
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.folders import arms_of
from lastbit.studies.remedy.changes.register import averaged, changes_of
from lastbit.studies.remedy.found import BaseSpread, ChangeEffect, Found, Harm, Spread
from lastbit.studies.remedy.measured import LOSS, ArmGrid, add_arrays, grids_of, metric_of
from lastbit.studies.remedy.names import names_of
from lastbit.studies.remedy.settings import RemedySettings

__all__ = ["contender_of", "effect_of", "find", "harm_of", "looked_best"]

LEVEL = 0.95

_SILENT = 0.01
"""Of the SD of a fresh run: a last-bit SD below that share is none that matters."""

_LEAST_SEEDS = 2
"""Seeds without which nothing is held against anything."""


@dataclass(frozen=True)
class _Question:
    """What is asked of a change.

    Attributes:
        higher_is_better: of the metric.
        worth: the smallest loss of it that matters, None where nobody said.
        comparisons: how many changes are held against the base: all intervals together hold with the level.
    """

    higher_is_better: bool
    worth: float | None
    comparisons: int


def find(folder: StudyFolder, records: Sequence[RunRecord]) -> Found:
    """Return what the runs say that are in."""
    settings = RemedySettings(**folder.facts["spec"]["settings"])
    names, says = _named(folder, settings)
    metric = metric_of(folder.facts, 0)
    first, second = range(settings.seeds), range(settings.seeds, 2 * settings.seeds)
    grids = _grids(folder, records, settings, first)
    for grid in grids:
        add_arrays(folder, grid, first)
    changes = _effects(grids, names, says, metric, settings)
    contender = contender_of(changes)
    confirmation = None
    if settings.confirm and contender:
        again = _grids(folder, records, settings, second)
        arm = names.index(contender)
        for grid in (again[0], again[arm]):
            add_arrays(folder, grid, second)
        one = _Question(bool(metric["higher_is_better"]), settings.worth, comparisons=1)
        confirmation = effect_of(again[0], again[arm], contender, says[arm], one)
    answer = confirmation if settings.confirm else next((one for one in changes if one.name == contender), None)
    holds = answer is not None and answer.eligible and (settings.worth is None or answer.harm == "harmless")
    base = _base(grids[0])
    return Found(
        metric=metric["name"],
        unit=metric["unit"],
        higher_is_better=bool(metric["higher_is_better"]),
        judged_by=LOSS if base is not None and base.loss is not None else metric["name"],
        worth=settings.worth,
        confirms=settings.confirm,
        level=LEVEL,
        base=base,
        nothing_to_calm=is_silent(grids[0]),
        changes=tuple(sorted(changes, key=_rank)),
        contender=contender,
        confirmation=confirmation,
        remedy=contender if holds else "",
    )


def looked_best(folder: StudyFolder, settings: RemedySettings) -> int | None:
    """Return the arm that looked best in the exploration, by what the runs' records hold; None where none did."""
    names, says = _named(folder, settings)
    grids = _grids(folder, folder.runs(), settings, range(settings.seeds))
    if is_silent(grids[0]):
        return None
    changes = _effects(grids, names, says, metric_of(folder.facts, 0), settings)
    contender = contender_of(changes)
    return names.index(contender) if contender else None


def _grids(folder: StudyFolder, records: Sequence[RunRecord], settings: RemedySettings, seeds: range) -> list[ArmGrid]:
    """Return what the runs of each arm gave; a mean of n runs costs n times the fastest of them."""
    grids = grids_of(folder, records, len(arms_of(folder.facts["spec"])), seeds, settings.perturbations)
    base = grids[0].seconds_SP
    known = np.isfinite(base).any(axis=1)
    for name, runs in averaged(settings.change).items():
        grid = grids[1 + settings.change.index(name)]
        grid.seconds_SP[known] = runs * np.nanmin(base[known], axis=1, keepdims=True)
    return grids


def _named(folder: StudyFolder, settings: RemedySettings) -> tuple[list[str], list[str]]:
    """Return name and description of each arm."""
    specs = arms_of(folder.facts["spec"])
    names = names_of(specs, settings.variant)
    if settings.variant:
        return names, names
    return names, ["", *(change.says for change in changes_of(settings.change))]


def is_silent(base: ArmGrid) -> bool:
    """Tell whether the last bit does nothing to the training as it is: it is seen in no quantity that is measured."""
    tables = [grid[base.whole_S] for grid in (base.metric_SP, base.loss_SP)]
    measured = [table for table in tables if len(table) >= _LEAST_SEEDS and np.isfinite(table).any()]
    return bool(measured) and all(_is_still(table) for table in measured)


def _is_still(table: np.ndarray[Any, Any]) -> bool:
    parts = stats.variance_components(table)
    bit, fresh = parts.sigma_last_bit.estimate, parts.sigma_total.estimate
    if bit is None:
        return False
    return bit == 0 or (fresh is not None and bit < _SILENT * fresh)


def _base(grid: ArmGrid) -> BaseSpread | None:
    table = grid.metric_SP[grid.whole_S]
    if len(table) < _LEAST_SEEDS:
        return None
    loss = grid.loss_SP[grid.whole_S]
    measured = np.isfinite(loss).sum() == np.isfinite(table).sum()
    return BaseSpread(metric=_spread(table), loss=_spread(loss) if measured else None)


def _spread(table: np.ndarray[Any, Any]) -> Spread:
    parts = stats.variance_components(table)
    return Spread(
        mean=stats.mean_estimate(np.nanmean(table, axis=1)),
        sigma_last_bit=parts.sigma_last_bit,
        sigma_total=parts.sigma_total,
        last_bit_variance_share=parts.last_bit_variance_share,
    )


def _effects(
    grids: Sequence[ArmGrid], names: Sequence[str], says: Sequence[str], metric: Any, settings: RemedySettings
) -> list[ChangeEffect]:
    asked = _Question(bool(metric["higher_is_better"]), settings.worth, comparisons=len(grids) - 1)
    named = zip(grids[1:], names[1:], says[1:], strict=True)
    effects = [effect_of(grids[0], grid, name, said, asked) for grid, name, said in named]
    return [one for one in effects if one is not None]


def effect_of(base: ArmGrid, changed: ArmGrid, name: str, says: str, asked: _Question) -> ChangeEffect | None:
    """Return what a change did, of the seeds of which both have two runs or more; None where they are too few.

    Args:
        base: the training as it is.
        changed: with the change.
        name: of the change.
        says: what it does.
        asked: of it.
    """
    both = base.whole_S & changed.whole_S
    if np.count_nonzero(both) < _LEAST_SEEDS:
        return None
    how: Any = {"level": LEVEL, "comparisons": asked.comparisons}
    of_metric = remedy_effect(base.metric_SP[both], changed.metric_SP[both], **how)
    losses = base.loss_SP[both], changed.loss_SP[both]
    measured = all(
        (np.isfinite(loss) == np.isfinite(metric[both])).all()
        for loss, metric in zip(losses, (base.metric_SP, changed.metric_SP), strict=True)
    )
    of_loss = remedy_effect(*losses, **how) if measured else None
    ratio = of_metric.last_bit_ratio if of_loss is None else of_loss.last_bit_ratio
    same_measure = base.measure == changed.measure
    return ChangeEffect(
        name=name,
        says=says,
        seeds=int(np.count_nonzero(both)),
        loss_last_bit=None if of_loss is None else of_loss.last_bit_ratio,
        metric_last_bit=of_metric.last_bit_ratio,
        loss_fresh=None if of_loss is None else of_loss.fresh_ratio,
        metric_fresh=of_metric.fresh_ratio,
        difference=of_metric.difference,
        churn=_by_seed(base.churn_S, changed.churn_S, both, how),
        weight_distance=(
            _by_seed(base.distance_S, changed.distance_S, both, how)
            if same_measure
            else not_measured("the weights of the two are not measured alike", 0)
        ),
        cost=ratio_of_means(*(np.nanmin(arm.seconds_SP[both], axis=1) for arm in (base, changed)), **how),
        lost=changed.lost,
        calms=ratio.high is not None and ratio.high < 1,
        raises=ratio.low is not None and ratio.low > 1,
        harm=harm_of(of_metric.difference, asked.worth, higher_is_better=asked.higher_is_better),
    )


def _by_seed(base: np.ndarray[Any, Any], changed: np.ndarray[Any, Any], both: Any, how: Any) -> Estimate:
    """Return the ratio of two means over seeds, of those that have the number in both."""
    if not len(base) or not len(changed):
        return not_measured("not measured", 0)
    return ratio_of_means(base[both], changed[both], **how)


def harm_of(difference: Estimate, worth: float | None, *, higher_is_better: bool) -> Harm:
    """Return whether a difference of the metric is harmless, a loss, or neither is shown.

    Without `worth` a loss is one whose interval leaves no other sign, and nothing is harmless.
    """
    if worth is not None:
        known = not_worse(difference, worth, higher_is_better=higher_is_better)
        return "open" if known is None else "harmless" if known else "worse"
    end = difference.high if higher_is_better else difference.low
    lost = end is not None and (end < 0 if higher_is_better else end > 0)
    return "worse" if lost else "open"


def _rank(change: ChangeEffect) -> tuple[bool, float, float]:
    """Return what changes are ordered by: the upper end of the ratio, to a hundredth, then the cost."""
    high, ratio = change.last_bit.high, change.last_bit.estimate
    known = high if high is not None else ratio
    return known is None, round(known or 0.0, 2), change.cost.estimate or 1.0


def contender_of(changes: Sequence[ChangeEffect]) -> str:
    """Return the name of the change that looks best; "" where none calms without a loss."""
    best = min((one for one in changes if one.eligible), key=_rank, default=None)
    return "" if best is None else best.name
