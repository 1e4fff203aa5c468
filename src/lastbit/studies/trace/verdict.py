"""One sentence that says what became of the last bit, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.report.formatting import count, decades, distance, growth_rate, number, percent, plural, show
from lastbit.stats import not_measured
from lastbit.studies.frame.control import OWN_NOT_REPRODUCIBLE
from lastbit.studies.frame.result import Verdict
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["member_sentence", "sentence"]

_SMALLER_STEP = (
    "The step is too long for the training to stay bounded: a smaller learning rate, or a weight decay within its "
    "bounds, keeps it bounded."
)

_ADVICE = {
    "restrained": "Runs that differ in the last bit end as different networks: lastbit audit says what that does to "
    "the metric, and --scaled-time with smaller rates in --lr whether the growth disappears with them.",
    "stable": "The last bit does not matter to this training: a spread between runs comes from elsewhere.",
    "decays": "This training forgets a difference in the last bit: a spread between runs comes from elsewhere.",
    "mixed": "Whether the last bit matters is a matter of chance here: more --twins say how often, and lastbit audit "
    "what it does to the metric.",
    "diverging": _SMALLER_STEP,
    "diverged": _SMALLER_STEP,
    "not_reproducible": "Look for a random draw that no seed controls, or an operation without a deterministic "
    "algorithm; --device cpu rules most of them out.",
    "not_landed": "Choose another --perturb, or a learning rate whose updates reach the weights' last bit.",
}

_ADVICE_SEPARATE = _ADVICE | {
    "restrained": "Runs that differ in the last bit end as different networks: lastbit audit says what that does to "
    "the metric, and a trace with a smaller learning rate whether the growth disappears with it.",
    "not_reproducible": OWN_NOT_REPRODUCIBLE,
}
"""The same of a function or command."""


_WHY = {
    "linear": "It grows linearly, whatever its size: a smaller learning rate calms it, a longer format only delays it.",
    "switching": "Units that switch release it: a smooth activation calms it, a smaller learning rate does not.",
    "both": "A part of it grows linearly, and units that switch release the rest: a smaller learning rate calms the "
    "one, a smooth activation the other.",
}
"""By the mechanism of what grew."""


def member_sentence(found: TwinsFound) -> str:
    """Return what became of one training's last bit, without a full stop."""
    match found.verdict_kind:
        case "not_reproducible":
            where = found.control.first_difference if found.control else None
            at = f" at step {count(where.step)} ({where.what})" if where else ""
            return (
                f"not reproducible here: the exact repeat first differs{at}, so no growth can be attributed to the "
                "last bit"
            )
        case "not_landed":
            return "the perturbation changed no weight in any twin: there is no growth to trace"
        case "restrained":
            e_fold = (
                f", e-folding in {plural(number(found.e_folding_steps, 3), 'step')}" if found.e_folding_steps else ""
            )
            return (
                f"restrained: the last-bit difference grew by {decades(found.decades)} decades{e_fold}, reached its "
                f"level by step {count(found.saturation_step)}, and stayed bounded at "
                f"{distance(found.saturation_level, 'an unknown share')} of the weights (relative L2)"
            )
        case "stable":
            share = distance(found.final.relative_l2 if found.final else None, "an unknown share")
            return f"stable: {found.reason} ({share} of the weights after {plural(found.reached, 'step')})"
        case "mixed":
            furthest = distance(found.final.largest_relative_l2 if found.final else None, "an unknown share")
            chance = show(found.leaving or not_measured("no twin"), "%")
            ends = f"the furthest ended {furthest} of the weights from its base"
            return f"mixed: {found.reason}; {ends}, and another twin would leave it with a chance of {chance}"
        case kind:
            needed = f"; about {plural(found.steps_needed, 'step')} would suffice" if found.steps_needed else ""
            said = found.renormalised or kind == "diverged"
            rate = found.growth_rate_per_step
            speed = f" ({growth_rate(rate)})" if said and rate is not None else ""
            return f"{kind}: {found.reason}{speed}{needed}"


def sentence(members: Sequence[TwinsFound]) -> Verdict:
    """Return the verdict over all members of a sweep, and what to do about it."""
    first = members[0]
    advice = (_ADVICE_SEPARATE if first.separate else _ADVICE).get(first.verdict_kind, "")
    if first.verdict_kind == "undecided":
        epochs = "" if first.separate else " (--epochs)"
        advice = (
            f"Train for {plural(first.steps_needed, 'step')} or more{epochs} to decide it."
            if first.steps_needed
            else "The curve below shows how far the difference got."
        )
    if first.verdict_kind == "stable" and first.leaving is not None:
        advice += f" Another twin would leave the bound with a chance of at most {percent(first.leaving.high)}."
    if first.mechanism is not None and first.verdict_kind in ("restrained", "mixed"):
        why = first.mechanism
        advice += f" {_WHY.get(why.kind, f'Why it grows is undecided: {why.reason}.')}"
    # Members are traced one after another, and the first whose repeat does not match is the last.
    kinds = list(dict.fromkeys(member.verdict_kind for member in members))
    kind = kinds[0] if len(kinds) == 1 or first.silent else "mixed"
    kind = "not_reproducible" if "not_reproducible" in kinds else kind
    if len(members) == 1 or first.verdict_kind == "not_reproducible":
        return Verdict(member_sentence(first) + ".", kind, advice)
    by_kind = {each: [member for member in members if member.verdict_kind == each] for each in kinds}
    told = "; ".join(f"{each.replace('_', ' ')} at {_listed(mine, members)}" for each, mine in by_kind.items())
    advice = f"{_listed([first], members)}: {member_sentence(first)}."
    what = "trainings"
    if first.separate:
        seeds = len({member.seed for member in members})
        what = (
            "seeds"
            if seeds == len(members)
            else f"optimizers of {plural(seeds, 'seed')}"
            if seeds > 1
            else "optimizers"
        )
    return Verdict(f"{len(members)} {what} traced: {told}.", kind, advice)


def _listed(mine: Sequence[TwinsFound], members: Sequence[TwinsFound]) -> str:
    """Return some of the members by what varies among all, rates together that share a format."""
    if members[0].separate:
        return ", ".join(f"{member.name} ({member.optimizer})" for member in mine)
    if len({m.lr for m in members}) == 1:
        return ", ".join(member.dtype for member in mine)
    parts = []
    for dtype in dict.fromkeys(member.dtype for member in mine):
        rates = ", ".join(number(member.lr, 6) for member in mine if member.dtype == dtype)
        parts.append(f"lr {rates}" + (f" in {dtype}" if len({m.dtype for m in members}) > 1 else ""))
    return " and ".join(parts)
