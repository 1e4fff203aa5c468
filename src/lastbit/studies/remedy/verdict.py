"""The answer in one sentence, as one of a few fixed words, and what must be known of it."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.report.formatting import number, plural, show, show_ratio, step
from lastbit.studies.frame.control import OWN_NOT_REPRODUCIBLE, Control, Landing
from lastbit.studies.frame.result import Verdict
from lastbit.studies.remedy.found import ChangeEffect, Found

__all__ = ["remedy_verdict"]

_GONE = 0.05
"""Upper end of the ratio below which a last-bit spread is called removed."""

_HALF = 0.5
"""A change whose ratio may be below that is open; where none may, none calms."""


def remedy_verdict(
    found: Found,
    control: Control,
    landing: Landing,
    *,
    names: Sequence[str] = (),
    lost: Sequence[str] = (),
    own: bool = False,
) -> Verdict:
    """Return the verdict of a search for a remedy.

    The words: `remedy` (one was found, and confirmed where that was asked for), `none` (no change calms the training
    without a loss, and none that is open could halve its last-bit spread), `undecided`, `nothing_to_calm` (the training
    as it is has no last-bit spread), `not_reproducible`, `not_landed`, `all_diverged`, `no_runs`.

    Args:
        found: what the runs say.
        control: whether the exact repeats matched.
        landing: whether the last bit was changed in the perturbed runs.
        names: of the arm of each cell, by its number.
        lost: runs of the training as it is that ended without a finite result.
        own: whether a command trains, which decides its device itself.
    """
    where = control.first_difference
    if where is not None:
        arm = f" with {names[where.cell]}" if where.cell < len(names) and names[where.cell] != "base" else ""
        advice = "Look for a random draw that no seed governs, or an operation without a deterministic algorithm."
        return Verdict(
            f"not reproducible here: an exact repeat{arm} first differs at {step(where.step)} ({where.what}), so no "
            "spread can be attributed to the last bit.",
            "not_reproducible",
            OWN_NOT_REPRODUCIBLE if own else advice,
        )
    if found.base is None:
        if lost:
            return Verdict(
                f"the training as it is lost {plural(len(lost), 'run')}, so that no spread is left to calm.",
                "all_diverged",
                "Train with a smaller learning rate first.",
            )
        return Verdict("nothing can be said yet: too few runs are in.", "no_runs", "See how each run ended below.")
    if landing.landed_fraction == 0:
        return Verdict(
            f"the perturbation ({landing.kind}) changed no weight in any run: there is no last-bit spread.",
            "not_landed",
            "Choose another --perturb.",
        )
    if found.nothing_to_calm:
        return Verdict(
            f"nothing to calm: the last bit moves {found.judged} of this training by less than a hundredth of what a "
            "fresh seed does.",
            "nothing_to_calm",
            "A longer training may have a spread to calm.",
        )
    if not found.changes:
        return Verdict("nothing can be said yet: too few runs are in.", "no_runs", "See how each run ended below.")
    if not found.contender:
        return _without(found)
    return _with(found)


def _without(found: Found) -> Verdict:
    """Return the verdict where no change may be the answer."""
    calming = [one for one in found.changes if one.calms]
    open_ = [one.name for one in found.changes if _may_halve(one)]
    many = plural(len(found.changes), "change")
    if calming:
        worst = calming[0]
        why = (
            f"lost {plural(len(worst.lost), 'run')}" if worst.lost else f"costs {found.metric}: {_moved(found, worst)}"
        )
        of = f"none of {many} calms the training without a loss: {worst.name}, the calmest, {why}."
        return Verdict(of, "undecided" if open_ else "none", _open(open_))
    if open_:
        sentence = (
            f"whether one of {many} calms the training is undecided: the spread of {found.judged} is not told apart."
        )
        return Verdict(sentence, "undecided", f"{_open(open_)} More --seeds or --perturbations tell more.".strip())
    return Verdict(f"none of {many} halves the last-bit spread of {found.judged}.", "none", "")


def _may_halve(change: ChangeEffect) -> bool:
    ratio = change.last_bit
    return not change.calms and (ratio.low is None or ratio.low < _HALF)


def _open(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"Open {'is' if len(names) == 1 else 'are'} {', '.join(names)}, which may halve it."


def _with(found: Found) -> Verdict:
    """Return the verdict where a change looked best."""
    name, seen = found.contender, next(one for one in found.changes if one.name == found.contender)
    answer = found.confirmation if found.confirms else seen
    looked = f"{name} looked best in the exploration, with {_ratio(found, seen)}"
    if answer is None:
        return Verdict(f"{looked}; it is not confirmed on fresh seeds.", "undecided", "")
    where = "confirmed on" if found.confirms else "found on"
    fresh = f"{where} {plural(answer.seeds, 'fresh seed' if found.confirms else 'seed')}"
    moved = f"{found.metric} {_moved(found, answer)}"
    if found.remedy:
        verb = "removes" if answer.last_bit.high is not None and answer.last_bit.high < _GONE else "lowers"
        sentence = f"{name} {verb} the last-bit spread: {_ratio(found, answer)}, {fresh}; {moved}."
        return Verdict(sentence, "remedy", " ".join([_fresh(answer), *_cautions(found)]))
    if answer.eligible:
        worth = number(found.worth, 3, found.points)
        sentence = (
            f"{name} lowers the last-bit spread, {_ratio(found, answer)}, {fresh}, but may cost {worth}: {moved}."
        )
        return Verdict(sentence, "undecided", f"{_fresh(answer)} More --seeds narrow the difference.")
    why = (
        f"it lost {plural(len(answer.lost), 'run')}"
        if answer.lost
        else f"there it had {_ratio(found, answer)}; {moved}"
    )
    return Verdict(f"{looked}, and fresh seeds do not confirm it: {why}.", "undecided", _fresh(answer))


def _ratio(found: Found, change: ChangeEffect) -> str:
    return f"{show_ratio(change.last_bit)} of the base's SD of {found.judged}"


def _moved(found: Found, change: ChangeEffect) -> str:
    if change.difference.estimate is None:
        return "is not compared"
    sign = "+" if change.difference.estimate > 0 else ""
    return f"{sign}{show(change.difference, found.points)}"


def _fresh(change: ChangeEffect) -> str:
    """Return what becomes of the spread of fresh runs: what most changes leave as it is."""
    ratio, said = change.fresh, f"{show_ratio(change.fresh)} of the base's"
    if ratio.estimate is None:
        return "What fresh seeds spread by is not compared."
    if ratio.high is not None and ratio.high < 1:
        return f"The spread over fresh seeds falls too, to {said}."
    if ratio.low is not None and ratio.low > 1:
        return f"The spread over fresh seeds grows, to {said}."
    return f"The spread over fresh seeds is not seen to fall: {said}."


def _cautions(found: Found) -> list[str]:
    said = []
    if found.worth is None:
        said.append(f"Without --worth nothing is called harmless: a loss of {found.metric} is only not shown.")
    if not found.confirms:
        many = plural(len(found.changes), "change")
        said.append(f"It is the best of {many} and was not confirmed on fresh seeds (--no-confirm).")
    return said
