"""The mean of what several networks return, in place of what one does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lastbit.core.batches import apply_model, arrived, call_names, pair_of, placed
from lastbit.core.generators import LentGenerators
from lastbit.core.words import plural
from lastbit.report.formatting import count
from lastbit.studies.remedy.changes.change import Change, Subject

__all__ = ["MeanOutput"]

_MOST = 4_000_000
"""Numbers that a run may return for all test examples together: each run of the base keeps them."""


@dataclass(frozen=True)
class MeanOutput(Change):
    """The mean over several runs of what their networks return (of logits), of runs that differ in the last bit alone.

    Nothing is trained for it: the runs are those of the base with one seed, each in one mean.

    Attributes:
        runs: in each mean.
    """

    runs: int

    @property
    def name(self) -> str:
        """Its name."""
        return f"mean={self.runs}"

    @property
    def says(self) -> str:
        """What it does."""
        return f"the mean of what {self.runs} networks return, of one seed and trained with other last bits"

    def check(self, subject: Subject) -> None:
        """Refuse a number that the study has not twice, and outputs that have no mean or are too many to keep.

        Raises:
            LastbitError: it is one, or they are.
        """
        task = subject.task
        if self.runs < 2:
            raise self.refused("give the runs in each mean, 2 or more")
        if subject.perturbations < 2 * self.runs:
            there = plural(subject.perturbations, "run")
            raise self.refused(
                f"a spread needs two means of a seed, and it has {there}: give --perturbations {2 * self.runs} or more"
            )
        with LentGenerators(0).active(), torch.no_grad():
            network = task.model().eval()
            weight: Any = next(network.parameters(), torch.empty(0))
            inputs, _ = pair_of(placed(task.test.batch(torch.arange(1)), None, weight.dtype), call_names(network))
            one = apply_model(network, inputs)
        if not isinstance(one, Tensor) or not one.is_floating_point():
            raise self.refused(f"the network returns {arrived(one)}, of which no mean is taken")
        if (many := one.numel() * len(task.test)) > _MOST:
            raise self.refused(
                f"the network returns {count(many)} numbers for the test examples, and at most {count(_MOST)} are kept"
            )
