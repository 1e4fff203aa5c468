"""What a search for a remedy finds: the spread of the training as it is, and what each change does to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lastbit.stats import Estimate
from lastbit.studies.remedy.measured import LOSS

__all__ = ["BaseSpread", "ChangeEffect", "Found", "Harm", "Spread"]

Harm = Literal["harmless", "worse", "open"]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far runs spread in one quantity, in its unit.

    Attributes:
        mean: over the runs that count.
        sigma_last_bit: SD over perturbations of one training with one seed.
        sigma_total: SD of a fresh run with a fresh seed.
        last_bit_variance_share: share of the variance of fresh runs, between 0 and 1.
    """

    mean: Estimate
    sigma_last_bit: Estimate
    sigma_total: Estimate
    last_bit_variance_share: Estimate


@dataclass(frozen=True, kw_only=True)
class BaseSpread:
    """The spread of the training as it is: of the metric, and of the test loss where it is measured."""

    metric: Spread
    loss: Spread | None


@dataclass(frozen=True, kw_only=True)
class ChangeEffect:
    """What a change does, held against the training as it is. Ratios are the change's over the base's.

    Attributes:
        name: of the change or variant.
        says: what it does, in a few words.
        seeds: of which both have two runs or more that count.
        loss_last_bit: ratio of the last-bit SD of the test loss; None where it is not measured.
        metric_last_bit: ratio of the last-bit SD of the metric.
        loss_fresh: ratio of the SD of a fresh run in the test loss; None likewise.
        metric_fresh: ratio of the SD of a fresh run in the metric.
        difference: of the metric, the change minus the base, by seed.
        churn: ratio of the share of examples predicted otherwise by two runs of one seed.
        weight_distance: ratio of the distance of a seed's trained weights from its unperturbed run's.
        cost: ratio of the seconds of a run, of each seed the fastest, for whatever else a machine does only adds to it.
        lost: runs that did not end with a finite result.
        calms: whether the interval of the last-bit ratio ends below 1.
        raises: whether it begins above 1.
        harm: whether the metric is not worse by what is worth it (`harmless`), worse (`worse`), or neither is shown.
    """

    name: str
    says: str
    seeds: int
    loss_last_bit: Estimate | None
    metric_last_bit: Estimate
    loss_fresh: Estimate | None
    metric_fresh: Estimate
    difference: Estimate
    churn: Estimate
    weight_distance: Estimate
    cost: Estimate
    lost: tuple[str, ...]
    calms: bool
    raises: bool
    harm: Harm

    @property
    def last_bit(self) -> Estimate:
        """Ratio of the last-bit SD of what the change is judged by: the test loss, else the metric."""
        return self.metric_last_bit if self.loss_last_bit is None else self.loss_last_bit

    @property
    def fresh(self) -> Estimate:
        """Ratio of the SD of a fresh run in what the change is judged by."""
        return self.metric_fresh if self.loss_fresh is None else self.loss_fresh

    @property
    def eligible(self) -> bool:
        """Whether it may be the answer: it calms, loses no run, and is not shown to be worse."""
        return self.calms and not self.lost and self.harm != "worse"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the runs say.

    Attributes:
        metric: what the training is judged by.
        unit: of the metric.
        higher_is_better: whether a larger metric is better.
        judged_by: of which quantity the last-bit ratio decides: `test_loss` where it is measured, else the metric.
        worth: the smallest loss of the metric that matters; None where nobody said.
        confirms: whether what looks best is trained again on fresh seeds before it is the answer.
        level: of the intervals of the exploration all at once, and of that of the confirmation.
        base: the spread of the training as it is, in the exploration.
        nothing_to_calm: whether its last-bit SD is below a hundredth of that of a fresh run in all that is measured.
        changes: what each change did in the exploration, the calmest first.
        contender: the change that looked best in the exploration; "" where none calms and is not shown to be worse.
        confirmation: what the contender did on fresh seeds; None where it was not trained again.
        remedy: the change that is the answer; "" where there is none.
    """

    metric: str
    unit: str
    higher_is_better: bool
    judged_by: str
    worth: float | None
    confirms: bool
    level: float
    base: BaseSpread | None
    nothing_to_calm: bool
    changes: tuple[ChangeEffect, ...]
    contender: str
    confirmation: ChangeEffect | None
    remedy: str

    @property
    def points(self) -> str:
        """The unit of a difference of the metric: points for a percentage."""
        return "points" if self.unit == "%" else self.unit

    @property
    def judged(self) -> str:
        """What `judged_by` is called in a sentence."""
        return "the test loss" if self.judged_by == LOSS else self.metric
