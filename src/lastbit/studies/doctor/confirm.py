"""Was it that? The change that the evidence suggests, against the rate at which pairs differ without it.

Where that does not cure it, the next causes that the evidence fits are tried, against the same rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lastbit.launch.pair.outcome import Pair
from lastbit.launch.site.changes import CHANGES
from lastbit.report.formatting import plural
from lastbit.stats import fewer_by_chance, proportion_estimate
from lastbit.studies.doctor.diagnosis import Cause, Intervention
from lastbit.studies.doctor.findings import Confirmation, Tried
from lastbit.studies.doctor.trial import LAUNCHED, Trial

__all__ = ["can_confirm", "confirm", "confirmed_of"]

_CHANCE = 0.05

_ROUNDED = 1e-12
"""Three pairs of three come to one in twenty and a bit."""

_CANDIDATES = 3
"""Causes that are tried at most."""

_FURTHER, _LEAST = 3, 50
"""A defect of chance shows now earlier and now later: so many times as late, and so many steps, are waited for."""


def can_confirm(intervention: Intervention) -> bool:
    """Tell whether a program can be run under an intervention: files of its own are never put back."""
    return {*LAUNCHED, *CHANGES} >= intervention.changes.keys()


def confirmed_of(
    trial: Trial, causes: Sequence[Cause], pairs: int, *, found: int, say: Callable[[str], None]
) -> tuple[Tried, ...]:
    """Try causes in turn, each by its intervention, up to the first that is not refuted.

    Args:
        trial: the program.
        causes: the likeliest first; where nothing can confirm that, none is tried.
        pairs: each way; as the program is, they are run once for all causes.
        found: as in `confirm`.
        say: told what is tried next.

    Returns:
        What was tried, in turn; all but the last did not cure it.

    Raises:
        LastbitError: the program cannot be run.
    """
    tried: list[Tried] = []
    if not causes or causes[0].intervention is None or not can_confirm(causes[0].intervention):
        return ()
    known: set[str] = set()
    before: int | None = None
    for cause in causes:
        change = cause.intervention
        if change is None or change.id in known or not can_confirm(change) or len(tried) == _CANDIDATES:
            continue
        known.add(change.id)
        first = f"{plural(pairs, 'pair')} as it is and as many" if before is None else plural(pairs, "pair")
        begins = "" if before is None else "that is not the cause, or not alone; "
        say(f"{begins}tried now: {change.said} ({first} with the change)")
        found_so = confirm(trial, change, pairs, found=found, before=before)
        before = found_so.differing_before
        tried.append(Tried(cause=cause.id, cause_said=cause.said, confirmation=found_so))
        if not (found_so.refuted or found_so.failed):
            break
    return tuple(tried)


def confirm(
    trial: Trial, intervention: Intervention, pairs: int, *, found: int, before: int | None = None
) -> Confirmation:
    """Run pairs as they are and pairs with the change, in turn, and count those that differ.

    The pair in which the difference was found is not among them: it was chosen for differing.

    Args:
        trial: the program.
        intervention: the change.
        pairs: each way.
        found: the steps of the process before the difference; a pair that is equal well beyond it counts as equal.
        before: pairs of as many that differ as the program is, where that is known; else they are run.

    Raises:
        LastbitError: the program cannot be run.
    """
    plain = after = 0
    failed = False
    until = _FURTHER * found + _LEAST
    for number in range(pairs):
        if before is None:
            plain += _differs(trial.pair(f"as-is-{number + 1}", None, until))
        changed = trial.pair(f"{intervention.id}-{number + 1}", intervention, until)
        after += _differs(changed)
        failed = failed or _failed(changed, found)
    plain = plain if before is None else before
    chance = fewer_by_chance(plain, after, pairs)
    return Confirmation(
        intervention=intervention.id,
        said=intervention.said,
        pairs=pairs,
        within=until,
        differing_before=plain,
        differing_after=after,
        before=proportion_estimate(plain, pairs),
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
