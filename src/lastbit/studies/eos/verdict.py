"""What an edge-of-stability study says, in one sentence a person can act on."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.core.status import RunStatus
from lastbit.report.formatting import RATIO_DIGITS, count, number, percent, reason, show, step
from lastbit.stats import Estimate
from lastbit.studies.eos.cell_result import EosCell
from lastbit.studies.eos.size_trend import SizeTrend, trend_sentence
from lastbit.studies.frame.result import Verdict

__all__ = ["AT_EDGE", "cell_kind", "cell_verdict", "study_verdict"]

AT_EDGE = 0.1
"""How far the mean ratio of the last third may be from 1 and count as hovering, where the limit was reached."""

NAMED = 6
"""The most trainings of a sweep that its sentence names one by one."""

_WORDS = {
    "at_edge": "at the edge",
    "below_edge": "below it",
    "beyond_edge": "beyond it",
    "diverging": "diverging",
    "diverged": "diverged",
    "not_measured": "not measured",
}


def cell_kind(cell: EosCell) -> str:
    """Return one word for a training.

    `not_reproducible`, `diverged`, `diverging`, `at_edge`, `below_edge`, `beyond_edge` or `not_measured`. What hovers
    at its edge is held there: where the loss keeps growing over the last third, the training is beyond it.
    """
    if cell.control is not None and not cell.control.bitwise_identical:
        return "not_reproducible"
    if cell.status != RunStatus.OK:
        return "diverging" if cell.status == RunStatus.DIVERGING else "diverged"
    tail = cell.ratio_tail.estimate
    if tail is None:
        return "not_measured"
    # A training that is still sharpening towards its limit is not held there.
    near = cell.entered_at_step is not None and abs(tail - 1) <= AT_EDGE
    if near and tail >= 1 and not cell.held:
        return "beyond_edge"
    batch = cell.batch_sharpness.ratio_tail.estimate if cell.batch_sharpness else None
    if near or (batch is not None and abs(batch - 1) <= AT_EDGE):
        return "at_edge"
    return "below_edge" if tail < 1 else "beyond_edge"


def cell_verdict(cell: EosCell) -> Verdict:
    """Return what one training says."""
    kind, entered, limit = cell_kind(cell), cell.entered_at_step, number(cell.limit, missing="unknown")
    by_layer = any(row.max_lr is not None for row in cell.per_layer)
    if kind == "not_reproducible":
        where = cell.control.first_difference if cell.control is not None else None
        sentence = (
            f"not reproducible here: the exact repeat first differs at {step(where.step if where else None)}, so no "
            "growth can be attributed to the last bit."
        )
        advice = "Look for a random draw that no seed governs, or an operation without a deterministic algorithm."
        return Verdict(sentence, kind, advice)
    if kind in ("diverged", "diverging"):
        advice = f"Take a smaller learning rate{': the stable ones stand in the table by layer' * by_layer}."
        word = "diverged" if kind == "diverged" else "is diverging"
        return Verdict(f"the training {word}: {cell.message}; its limit was {limit}.", kind, advice)
    if kind == "not_measured":
        sentence = f"where it settles is not measured: {reason(cell.ratio_tail)}."
        return Verdict(sentence, kind, "Train longer, or measure more often.")
    when = f"first reached at {step(entered)}" if entered is not None else "never reached"
    stable = f"the largest that the limit of {limit} on the sharpness allows"
    figure = f"over the last third the learning rate is {_times(cell.ratio_tail, stable)}, {when}"
    if kind == "at_edge":
        lead = "training hovers at its edge of stability"
        advice = (
            "The step size decides how sharp the minimum is: a smaller learning rate lets it sharpen further, and a "
            "difference in the last bit is amplified wherever the ratio is above 1."
        )
    elif kind == "beyond_edge":
        lead = "training runs beyond the linear limit"
        advice = (
            "Something other than the linear theory holds it: look at the loss, the schedule and the layers."
            if cell.held
            else "Nothing has held it yet, its loss is still growing: train longer, or take a smaller learning rate."
        )
    else:
        lead = f"training {'stays' if entered is None else 'ends'} below its edge of stability"
        advice = f"The linear theory allows larger learning rates here{'; the table by layer says which' * by_layer}."
        if cell.batch_sharpness is not None:
            advice = (
                "Mini-batches bear less than the limit of the full batch says: raise the learning rate in small steps."
            )
    return Verdict(f"{lead}: {figure}{_batch(cell)}{_growth(cell)}.", kind, advice)


def study_verdict(cells: Sequence[EosCell], trends: Sequence[SizeTrend]) -> Verdict:
    """Return what a study says: the verdict of its only training, or what the sweep shows."""
    if not cells:
        return Verdict("no training is finished yet.", "no_runs", "")
    if len(cells) == 1:
        return cell_verdict(cells[0])
    kinds = [cell.verdict_kind for cell in cells]
    if "not_reproducible" in kinds:
        cell = cells[kinds.index("not_reproducible")]
        said = cell_verdict(cell)
        return said._replace(sentence=f"{cell.label}: {said.sentence}")
    parts = []
    for kind, word in _WORDS.items():
        if held := [cell for cell in cells if cell.verdict_kind == kind]:
            named = "; ".join(map(_labelled, held))
            parts.append(f"{count(len(held))} {word}" + f" ({named})" * (len(cells) <= NAMED))
    trend = trend_sentence(trends)
    sentence = f"of {count(len(cells))} trainings, {', '.join(parts)}{'; ' if trend else ''}{trend}."
    kind = kinds[0] if len(set(kinds)) == 1 else "mixed"
    return Verdict(sentence, kind, "Each training has a row of its own below, against its own limit.")


def _labelled(cell: EosCell) -> str:
    shown = show(cell.ratio_tail, digits=RATIO_DIGITS)
    return cell.label + (f": {shown.value} of the largest stable rate" if shown.measured else "")


def _times(ratio: Estimate, what: str) -> str:
    shown = show(ratio, digits=RATIO_DIGITS)
    unsure = " (too correlated to say how certain)" if "too correlated" in ratio.note else ""
    return f"{shown.value} times {what}" + (f" ({shown.words})" if shown.interval else unsure)


def _batch(cell: EosCell) -> str:
    if cell.batch_sharpness is None or not cell.batch_sharpness.ratio_tail.measured:
        return ""
    return f"; batch sharpness is {_times(cell.batch_sharpness.ratio_tail, 'the limit')}"


def _growth(cell: EosCell) -> str:
    share = show(cell.growth_share_above_limit, "%")
    if cell.growth is None or cell.growth.share_of_steps_above_limit is None or not share.measured:
        return ""
    steps = percent(cell.growth.share_of_steps_above_limit)
    return (
        f"; {share} of the growth of a last-bit difference falls into the {steps} of steps where the limit is exceeded"
    )
