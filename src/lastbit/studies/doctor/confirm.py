"""Was it that? The one change that the evidence suggests, against the rate at which pairs differ without it."""

from __future__ import annotations

from lastbit.launch.pair.outcome import Pair
from lastbit.launch.site.changes import CHANGES
from lastbit.stats import fewer_by_chance, proportion_estimate
from lastbit.studies.doctor.diagnosis import Intervention
from lastbit.studies.doctor.findings import Confirmation
from lastbit.studies.doctor.trial import LAUNCHED, Trial

__all__ = ["can_confirm", "confirm"]

_CHANCE = 0.05

_ROUNDED = 1e-12
"""Three pairs of three come to one in twenty and a bit."""

_FURTHER, _LEAST = 3, 50
"""A defect of chance shows now earlier and now later: so many times as late, and so many steps, are waited for."""


def can_confirm(intervention: Intervention) -> bool:
    """Tell whether a program can be run under an intervention: files of its own are never put back."""
    return {*LAUNCHED, *CHANGES} >= intervention.changes.keys()


def confirm(trial: Trial, intervention: Intervention, pairs: int, *, found: int) -> Confirmation:
    """Run pairs as they are and pairs with the change, in turn, and count those that differ.

    The pair in which the difference was found is not among them: it was chosen for differing.

    Args:
        trial: the program.
        intervention: the change.
        pairs: each way.
        found: the steps of the process before the difference; a pair that is equal well beyond it counts as equal.

    Raises:
        LastbitError: the program cannot be run.
    """
    before = after = 0
    failed = False
    until = _FURTHER * found + _LEAST
    for number in range(pairs):
        before += _differs(trial.pair(f"as-is-{number + 1}", None, until))
        changed = trial.pair(f"changed-{number + 1}", intervention, until)
        after += _differs(changed)
        failed = failed or _failed(changed, found)
    chance = fewer_by_chance(before, after, pairs)
    return Confirmation(
        intervention=intervention.id,
        said=intervention.said,
        pairs=pairs,
        within=until,
        differing_before=before,
        differing_after=after,
        before=proportion_estimate(before, pairs),
        after=proportion_estimate(after, pairs),
        chance=chance,
        failed=failed,
        confirmed=not failed and chance <= _CHANCE + _ROUNDED,
    )


def _failed(pair: Pair, found: int) -> bool:
    """Tell whether runs are equal only as neither came to where a difference could have shown."""
    if pair.differences or any(process.steps > found for process in pair.processes):
        return False
    return not pair.identical or any(run is not None and run.exit_code for run in pair.runs)


def _differs(pair: Pair) -> bool:
    return bool(pair.differences)
