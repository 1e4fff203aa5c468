"""What an edge-of-stability study says, in one sentence a person can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lastbit.studies.eos.size_trend import trend_sentence

__all__ = ["AT_EDGE", "cell_kind", "cell_sentence", "four_digits", "study_verdict"]

AT_EDGE = 0.1
"""How far the mean ratio of the last third may be from 1 and count as hovering, where the limit was reached."""


def cell_kind(cell: Mapping[str, Any]) -> str:
    """Return one word: `not_reproducible`, `diverged`, `at_edge`, `below_edge`, `beyond_edge` or `not_measured`."""
    control = cell["control"]
    if control is not None and not control["bitwise_identical"]:
        return "not_reproducible"
    if cell["status"] != "ok":
        return "diverged"
    tail = cell["ratio_tail"]["estimate"]
    if tail is None:
        return "not_measured"
    # A training that is still sharpening towards its limit is not held there.
    if abs(tail - 1) <= AT_EDGE and cell["entered_at_step"] is not None:
        return "at_edge"
    batch = _batch_ratio(cell)
    if batch is not None and abs(batch["estimate"] - 1) <= AT_EDGE:
        return "at_edge"
    return "below_edge" if tail < 1 else "beyond_edge"


def cell_sentence(cell: Mapping[str, Any]) -> tuple[str, str]:
    """Return the sentence and the advice for one training."""
    kind, control = cell_kind(cell), cell["control"]
    if kind == "not_reproducible":
        return (
            f"not reproducible here: the exact repeat first differs at step {control['first_difference']}, so no "
            "growth can be laid to the last bit.",
            "Look for a random draw that no seed governs, or an operation without a deterministic algorithm.",
        )
    by_layer = any("max_lr" in row for row in cell["per_layer"])
    if kind == "diverged":
        return (
            f"the training diverged: {cell['message']}; its limit was {four_digits(cell['limit'])}.",
            "Take a smaller learning rate" + (": the stable ones stand in the table by layer." if by_layer else "."),
        )
    if kind == "not_measured":
        return (
            f"where it settles is not measured: {_told(cell['ratio_tail'])}.",
            "Train longer, or measure more often.",
        )
    tail, entered = cell["ratio_tail"], cell["entered_at_step"]
    figure = f"{tail['estimate']:.3g} times the limit of {four_digits(cell['limit'])}{_interval(tail)}"
    when = f"reached first at step {entered}" if entered is not None else "never reached"
    if kind == "at_edge":
        lead = f"training hovers at its edge of stability: over the last third the sharpness is {figure}, {when}"
        advice = (
            "The step size decides how sharp the minimum is: a smaller learning rate lets it sharpen further, and a "
            "difference in the last bit is amplified wherever the ratio is above 1."
        )
    elif kind == "below_edge":
        verb = "stays" if entered is None else "ends"
        lead = f"training {verb} below its edge of stability: over the last third the sharpness is {figure}, {when}"
        advice = "The linear theory allows larger learning rates here"
        advice += "; the table by layer says which." if by_layer else "."
        if cell["batch_sharpness"] is not None:
            advice = (
                "Mini-batches bear less than the limit of the full batch says: raise the learning rate in small steps."
            )
    else:
        lead = f"training runs beyond the linear limit: over the last third the sharpness is {figure}, {when}"
        advice = "Something else than the linear theory holds it: look at the loss, the schedule and the layers."
    return f"{lead}{_batch(cell)}{_growth(cell)}.", advice


def _batch_ratio(cell: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return batch sharpness over the limit in the last third, where there are mini-batches and it has one."""
    batch = cell["batch_sharpness"]
    return None if batch is None or batch["ratio_tail"]["estimate"] is None else dict(batch["ratio_tail"])


def _batch(cell: Mapping[str, Any]) -> str:
    ratio = _batch_ratio(cell)
    return "" if ratio is None else f"; batch sharpness is {ratio['estimate']:.3g} times the limit{_interval(ratio)}"


def _growth(cell: Mapping[str, Any]) -> str:
    share = cell["growth_share_above_limit"]
    if share["estimate"] is None or cell["growth"]["share_of_steps_above_limit"] is None:
        return ""
    steps = cell["growth"]["share_of_steps_above_limit"]
    return (
        f"; {share['estimate']:.0%} of the growth of a last-bit difference{_interval(share, 100, '%')} falls into the "
        f"{steps:.0%} of steps where the limit is exceeded"
    )


NAMED = 6
"""The most trainings of a sweep that its sentence names one by one."""


def study_verdict(cells: Sequence[Mapping[str, Any]], trends: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    """Return sentence, kind and advice of a study: those of its only training, or what the sweep shows."""
    if len(cells) == 1:
        sentence, advice = cell_sentence(cells[0])
        return sentence, cell_kind(cells[0]), advice
    kinds = [cell_kind(cell) for cell in cells]
    if "not_reproducible" in kinds:
        cell = cells[kinds.index("not_reproducible")]
        sentence, advice = cell_sentence(cell)
        return f"{cell['label']}: {sentence}", "not_reproducible", advice
    words = {
        "at_edge": "at the edge",
        "below_edge": "below it",
        "beyond_edge": "beyond it",
        "diverged": "diverged",
        "not_measured": "not measured",
    }
    parts = []
    for kind, word in words.items():
        if held := [cell for cell, found in zip(cells, kinds, strict=True) if found == kind]:
            named = "; ".join(_labelled(cell) for cell in held)
            parts.append(f"{len(held)} {word}" + f" ({named})" * (len(cells) <= NAMED))
    trend = trend_sentence(trends)
    sentence = f"of {len(cells)} trainings, {', '.join(parts)}{'; ' if trend else ''}{trend}."
    kind = "at_edge" if "at_edge" in kinds else kinds[0]
    return sentence, kind, "Each training has a row of its own below, against its own limit."


def _labelled(cell: Mapping[str, Any]) -> str:
    tail = cell["ratio_tail"]["estimate"]
    return str(cell["label"]) + (f": {tail:.3g} of its limit" if tail is not None else "")


def _told(estimate: Mapping[str, Any]) -> str:
    return str(estimate["note"]).removeprefix("not measured: ")


def four_digits(value: float | None) -> str:
    """Return a number to four digits, or that it is unknown."""
    return "unknown" if value is None else f"{value:.4g}"


def _interval(estimate: Mapping[str, Any], scale: float = 1.0, unit: str = "") -> str:
    if estimate["low"] is None or estimate["high"] is None:
        return ""
    return f" (95% interval {scale * estimate['low']:.3g}{unit} to {scale * estimate['high']:.3g}{unit})"
