"""Was it that? The one change that the evidence suggests, against the rate at which pairs differ without it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields

from lastbit.launch.pair.outcome import Pair
from lastbit.launch.settings import LaunchSettings
from lastbit.stats import fewer_by_chance, proportion_estimate
from lastbit.studies.doctor.diagnosis import Intervention
from lastbit.studies.doctor.findings import Confirmation
from lastbit.studies.doctor.trial import Trial

__all__ = ["confirm"]

_CHANCE = 0.05


def confirm(
    trial: Trial, intervention: Intervention, pairs: int, told: Callable[[int], None] = lambda done: None
) -> Confirmation:
    """Run pairs as they are and pairs with the change, in turn, and count those that differ.

    The pair in which the difference was found is not among them: it was chosen for differing.

    Args:
        trial: the program.
        intervention: the change.
        pairs: each way.
        told: of the number of pairs that are done.

    Raises:
        LastbitError: the program cannot be run.
    """
    known = {one.name for one in fields(LaunchSettings)}
    changes = {name: value for name, value in intervention.changes.items() if name in known}
    environment = {**os.environ, **intervention.environment} if intervention.environment else None
    before = after = 0
    for number in range(pairs):
        before += _differs(trial.pair(f"as-is-{number + 1}"))
        told(2 * number + 1)
        after += _differs(trial.pair(f"changed-{number + 1}", environment=environment, **changes))
        told(2 * number + 2)
    chance = fewer_by_chance(before, after, pairs)
    return Confirmation(
        intervention=intervention.id,
        said=intervention.said,
        pairs=pairs,
        differing_before=before,
        differing_after=after,
        before=proportion_estimate(before, pairs),
        after=proportion_estimate(after, pairs),
        chance=chance,
        confirmed=chance <= _CHANCE,
    )


def _differs(pair: Pair) -> bool:
    return bool(pair.differences)
