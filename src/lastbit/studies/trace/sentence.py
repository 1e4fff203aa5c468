"""One sentence that says what became of the last bit, and what a person can do about it."""

from __future__ import annotations

from typing import Any

__all__ = ["member_sentence", "sentence"]

_ADVICE = {
    "restrained": "Runs that differ in the last bit end as different networks: lastbit audit says what that does to "
    "the metric, and --lr with smaller rates and --scaled-time whether the growth goes away with them.",
    "stable": "The last bit does not matter to this training: a spread between runs comes from elsewhere.",
    "diverged": "The step is too long for the training to stay bounded: a smaller learning rate, or weight decay "
    "within its bounds, keeps it so.",
    "not_reproducible": "Look for a random draw that no seed governs, or an operation without a deterministic "
    "algorithm; --device cpu rules most of them out.",
    "not_landed": "Choose another --perturb, or a learning rate whose updates reach the weights' last bit.",
}


def member_sentence(member: dict[str, Any]) -> str:
    """Return what became of one training's last bit, without a full stop."""
    kind = member["verdict"]
    if kind == "not_reproducible":
        where = member["control"]["first_difference"]
        at = f" at step {where['step']} ({where['what']})" if where else ""
        return f"not reproducible here: the exact repeat first differs{at}, so no growth can be laid to the last bit"
    if kind == "not_landed":
        return "the perturbation changed no weight in any twin: there is no growth to trace"
    final = member["final"]["relative_l2"]
    if kind == "restrained":
        e_fold = f", e-folding in {member['e_folding_steps']:.3g} steps" if member["e_folding_steps"] else ""
        return (
            f"restrained: the last-bit difference grew by {member['decades']:.1f} decades{e_fold}, reached its level "
            f"by step {member['saturation_step']:,}, and stayed bounded at {_share(member['saturation_level'])} of the "
            "weights (relative L2)"
        )
    if kind == "stable":
        return f"stable: {member['reason']} ({_share(final)} of the weights after {member['reached']:,} steps)"
    if kind == "diverged":
        rate = member["growth_rate_per_step"]
        speed = f" ({rate:.3g} nats per step)" if rate is not None else ""
        return f"diverged: {member['reason']}{speed}"
    needed = f"; about {member['steps_needed']:,} steps would do" if member["steps_needed"] else ""
    rate = member["growth_rate_per_step"]
    grew = f" ({rate:.3g} nats per step)" if rate is not None and member["renormalised"] else ""
    return f"undecided: {member['reason']}{grew}{needed}"


def sentence(members: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the verdict over all members of a sweep as a sentence, and what to do about it."""
    first = members[0]
    advice = _ADVICE.get(first["verdict"], "")
    if first["verdict"] == "undecided":
        advice = (
            f"Train for {first['steps_needed']:,} steps or more (--epochs) to decide it."
            if first["steps_needed"]
            else "The curve below shows how far the difference came."
        )
    if len(members) == 1 or first["verdict"] == "not_reproducible":
        return member_sentence(first) + ".", advice
    kinds = list(dict.fromkeys(member["verdict"] for member in members))
    told = "; ".join(f"{kind.replace('_', ' ')} at {_listed(kind, members)}" for kind in kinds)
    return f"{len(members)} trainings traced: {told}.", f"{_called(first, members)}: {member_sentence(first)}."


def _listed(kind: str, members: list[dict[str, Any]]) -> str:
    """Return the members with a verdict, rates together that share a format."""
    mine = [member for member in members if member["verdict"] == kind]
    if len({m["lr"] for m in members}) == 1:
        return ", ".join(member["dtype"] for member in mine)
    parts = []
    for dtype in dict.fromkeys(member["dtype"] for member in mine):
        rates = ", ".join(f"{member['lr']:g}" for member in mine if member["dtype"] == dtype)
        parts.append(f"lr {rates}" + (f" in {dtype}" if len({m["dtype"] for m in members}) > 1 else ""))
    return " and ".join(parts)


def _called(member: dict[str, Any], members: list[dict[str, Any]]) -> str:
    parts = []
    if len({m["lr"] for m in members}) > 1:
        parts.append(f"lr {member['lr']:g}")
    if len({m["dtype"] for m in members}) > 1:
        parts.append(member["dtype"])
    return " in ".join(parts) or member["name"]


def _share(value: float | None) -> str:
    if value is None:
        return "an unknown share"
    if value == 0:
        return "0%"
    return f"{100 * value:.{0 if value >= 0.1 else 1}f}%" if value >= 1e-3 else f"{value:.1e}"
