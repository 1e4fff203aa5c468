"""Do all twins tell the same story? The verdict over several twins, which none of them may contradict.

The geometric mean of distances, which `verdict.judge` reads, hides one twin that left among many that stayed. So every
twin is judged alone, too. A twin has *left the bound* if it is `restrained`, `decays` or `diverged`, or `undecided` and
beyond `rounding.rounding_bound` at some step. The verdict on the mean stands where

* no twin left the bound, or all did, and
* those that can be decided alone are decided alike, and none contradicts a mean that is `stable`.

Else it is `mixed`: "k of n twins left the bound". Where only a twin that is still within the bound keeps a mean from
being `stable`, the verdict is `undecided`, with that twin's reason. One twin that is not finite ends the record of all:
nobody knows what would have become of the others, and the verdict is `diverged`.

The twins are independent draws of the last bit, so the chance that another would leave has the exact binomial interval
of Clopper and Pearson (`stats.proportion_estimate`). Where none of 3 twins left, the next one still leaves with a
chance of up to 71%; where none of 5 did, up to 52%; of 30, up to 12%.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from lastbit.core.words import plural
from lastbit.dynamics.rounding import rounding_bound
from lastbit.dynamics.verdict import Verdict, judge
from lastbit.stats import proportion_estimate

__all__ = ["judge_twins"]

LEFT = ("restrained", "decays", "diverged")


def judge_twins(
    steps: ArrayLike, distance: ArrayLike, norm: ArrayLike, *, dtype: torch.dtype = torch.float32
) -> Verdict:
    """Judge several twins together, and each of them alone.

    Args:
        steps: recorded steps (S,), increasing; the first is where the twins were equal, or perturbed.
        distance: L2 distances over all weights (twins, S).
        norm: the base's L2 norm (S,), or one number.
        dtype: the format in which the weights were stored between steps.

    Raises:
        LastbitError: the arrays do not match, steps do not increase, or a distance is negative.

    Example:
        >>> steps = np.arange(900)
        >>> stays = 1e-7 * np.minimum(steps, 1)
        >>> leaves = np.minimum(1e-8 * np.exp(0.1 * steps), 0.5)
        >>> found = judge_twins(steps, [stays, stays, leaves, stays, stays], 1.0)
        >>> found.verdict, found.reason, found.leaving.estimate
        ('mixed', '1 of 5 twins left the bound of what rounding adds up to', 0.2)
    """
    joint = judge(steps, distance, norm, dtype=dtype)
    twins = np.atleast_2d(np.asarray(distance, dtype=np.float64))
    alone = [judge(steps, twin, norm, dtype=dtype) for twin in twins]
    left = sum(_left(twin, found, steps, norm, dtype) for twin, found in zip(twins, alone, strict=True))
    kinds = [found.verdict for found in alone]
    more: dict[str, Any] = {"twin_verdicts": tuple(kinds), "leaving": proportion_estimate(left, len(twins))}
    if not np.isfinite(twins).all() or not np.isfinite(norm).all():
        return replace(joint, **more)
    decided = Counter(kind for kind in kinds if kind != "undecided")
    if len(decided) > 1 or (decided["stable"] and left):
        reason = f"{left} of {plural(len(twins), 'twin')} left the bound of what rounding adds up to"
        fates = {kind: decided[kind] for kind in LEFT if decided[kind]}
        if len(fates) > 1:
            reason += f" ({', '.join(f'{count} {kind}' for kind, count in fates.items())})"
        return replace(joint, verdict="mixed", reason=reason, steps_needed=None, **more)
    if joint.verdict == "stable" and "undecided" in kinds:
        other = alone[kinds.index("undecided")]
        reason = f"of {plural(len(twins), 'twin')}, {kinds.count('undecided')} cannot be decided alone: {other.reason}"
        return replace(joint, verdict="undecided", reason=reason, steps_needed=other.steps_needed, **more)
    return replace(joint, **more)


def _left(twin: np.ndarray[Any, Any], found: Verdict, steps: ArrayLike, norm: ArrayLike, dtype: torch.dtype) -> bool:
    if found.verdict != "undecided":
        return found.verdict in LEFT
    return bool(np.any(twin > rounding_bound(steps, norm, dtype, initial=float(twin[0]))))
