"""What a measurement of sharpness says, in one sentence a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from lastbit.curvature import LayerStability
from lastbit.report.formatting import RATIO_DIGITS, certified, number, step
from lastbit.studies.eos.tables import stable_rate
from lastbit.studies.frame.control import Difference
from lastbit.studies.frame.result import Verdict

__all__ = ["not_repeated", "sharpness_verdict"]


def not_repeated(where: Difference) -> Verdict:
    """Return the verdict over a measurement whose exact repeat gave other bits."""
    return Verdict(
        f"not reproducible here: an exact repeat first differs at {step(where.step)} ({where.what}), so another "
        "measurement would give other numbers.",
        "not_reproducible",
        "Look for a random draw that no seed controls, or an operation without a deterministic form.",
    )


def sharpness_verdict(whole: LayerStability, layers: Sequence[LayerStability], optimizer: str) -> Verdict:
    """Return the sentence, one word (`stable`, `past_limit`, `not_converged`) and what to do."""
    sharp = max(layers, key=lambda row: row.ratio)
    alone = number(sharp.ratio, RATIO_DIGITS)
    advice = f"The sharpest layer is {sharp.name}: alone it is at {alone} times its largest stable learning rate."
    rates = ""
    if whole.max_lr is not None:
        most = f"the largest stable learning rate is {stable_rate(whole)}"
        rates = "; any learning rate is stable" if whole.max_lr == inf else f"; {most}"
    in_use = "" if whole.lr is None else f" (in use: {number(whole.lr)})"
    if whole.limit == inf:
        return Verdict(f"the limit of {optimizer} cannot be exceeded at a learning rate of 0{rates}.", "stable", advice)
    figure = (
        f"sharpness {certified(whole.sharpness, whole.sharpness_within)}, the learning rate "
        f"{number(whole.ratio, RATIO_DIGITS)} times the largest stable one (limit {number(whole.limit)} of {optimizer})"
    )
    if not whole.converged:
        return Verdict(f"not certified: {figure}, but the eigenvalue did not converge.", "not_converged", advice)
    if whole.ratio > 1:
        advice += " Along the sharpest direction a difference grows from step to step, until other terms hold it."
        return Verdict(f"past the stable step: {figure}{rates}{in_use}.", "past_limit", advice)
    return Verdict(f"within the stable step: {figure}{rates}{in_use}.", "stable", advice)
