"""The answer in one sentence, one of a few fixed words, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.report.formatting import count, number, plural
from lastbit.stats.forced_flags import LIMITS
from lastbit.studies.frame.result import Verdict
from lastbit.studies.same.findings import Finding
from lastbit.studies.same.judge import ENOUGH, Judgement, TensorRow
from lastbit.studies.same.nature import Nature

__all__ = ["NOTHING", "finding_words", "same_verdict", "step_words"]

NOTHING = Verdict("nothing was compared yet.", "no_runs", "")

_ENTITLED = {
    "gradient_scale": "gradient scale",
    "initial_weights": "initial weights",
    "copy": "copy of the weights",
    "data": "data of the step",
}


def finding_words(what: str) -> str:
    """Return what sort of thing a finding is, for a cell."""
    return _ENTITLED.get(what, what)


def step_words(one: Finding, compared: int) -> str:
    """Return when something differs: from a step on, in one alone, in some."""
    if not one.step:
        return "before the first step"
    if one.what in ("schedule", "optimizer", "counter", "length") or 2 * one.steps > compared:
        return f"from step {count(one.step)} on"
    return (
        f"in step {count(one.step)} alone"
        if one.steps == 1
        else f"in {plural(one.steps, 'step')}, first {count(one.step)}"
    )


def same_verdict(
    judgement: Judgement,
    steps: int,
    *,
    nature: Sequence[Nature] = (),
    ended: str = "",
    control: str = "",
    alone: bool = False,
) -> Verdict:
    """Return the sentence, the word and the advice.

    The words are `bit_for_bit`, `same_up_to_rounding`, `other_arithmetic`, `different`, `undecided`, `recorded` and,
    where the reference does not repeat itself, `not_reproducible`.

    Args:
        judgement: what the tables say.
        steps: that were compared.
        nature: what may be other by nature.
        ended: how the candidate ended, where that was badly.
        control: where the reference first differs from itself, in words.
        alone: whether the reference was recorded, and held against itself alone.
    """
    kind = judgement.answer
    if kind == "not_reproducible":
        return Verdict(
            f"undecided: the reference does not repeat itself{control}, so that nothing can be held against it.",
            kind,
            "Make it repeatable first.",
        )
    if alone:
        said = f"recorded: {plural(steps, 'step')} of the reference, which repeats itself bit for bit."
        return Verdict(said, "recorded", "Hold a candidate against the file by --against.")
    if kind == "different":
        return _different(judgement, steps, nature)
    if ended:
        said = f"undecided: the candidate {ended} after {plural(steps, 'step')}, which agree up to rounding."
        return Verdict(said, "undecided", "See what it printed: the folder is named below.")
    if kind == "bit_for_bit":
        return Verdict(
            f"bit for bit the same training: the candidate agrees with the reference in every bit of "
            f"{plural(len(judgement.tensors), 'tensor')} in {plural(steps, 'step')}.",
            kind,
            "",
        )
    if kind == "other_arithmetic":
        return Verdict(
            f"another arithmetic, with no defect found in it: the candidate's gradients move "
            f"{number(judgement.staircase, 2)} times as far as the reference's when the weights move by 2^-18, as in "
            f"bfloat16 or TF32 ({plural(steps, 'step')}).",
            kind,
            "A gradient's scale that is off by less than about a hundredth is not seen inside it: compare in float32 "
            "to see more.",
        )
    if kind == "undecided":
        few = (
            f"only {plural(steps, 'step')} {'was' if steps == 1 else 'were'} compared"
            if steps
            else "no step was compared"
        )
        return Verdict(
            f"undecided: {few}, and nothing in them differs by more than rounding.",
            kind,
            f"Let both train {plural(ENOUGH, 'step')} or more.",
        )
    return _rounding(judgement.tensors, steps)


def _rounding(tensors: Sequence[TensorRow], steps: int) -> Verdict:
    sized = [row for row in tensors if row.role == "gradient" and not row.noise and row.median is not None]
    most = max(sized, key=lambda row: row.median or 0.0, default=None)
    said = f"the same training up to rounding: in {plural(steps, 'step')}, none of {plural(len(tensors), 'tensor')} "
    said += "of the candidate differs by more than rounding from the reference's"
    if most is not None and most.median:
        said += (
            f"; the gradient that differs most, {most.name}, by {number(most.median, 2)} of its units of rounding "
            f"(limit {number(LIMITS.median)})"
        )
    return Verdict(f"{said}.", "same_up_to_rounding", "")


def _different(judgement: Judgement, steps: int, nature: Sequence[Nature]) -> Verdict:
    first, *others = judgement.findings
    where = f" in {first.tensor}" if first.tensor else ""
    sentence = f"different {step_words(first, steps)}{where}: {first.said}."
    advice = []
    if nature:
        advice.append(f"Before it is called a defect: {' '.join(f'{one.what} {one.cure}' for one in nature)}")
    if judgement.widely and judgement.staircase is None:
        advice.append(
            "Whether it is another arithmetic, as bfloat16 or TF32, is not looked at by --quick or --against."
        )
    if others:
        more = plural(len(others), "more thing")
        advice.append(f"{more} {'differs' if len(others) == 1 else 'differ'}, below; what differs first may be why.")
    return Verdict(sentence, "different", " ".join(advice))
