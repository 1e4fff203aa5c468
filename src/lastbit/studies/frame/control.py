"""Does an exact repeat repeat? The question that comes before any spread."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lastbit.store import RunRecord, StudyFolder

__all__ = ["RepeatDifference", "compare_repeat"]


@dataclass(frozen=True, kw_only=True)
class RepeatDifference:
    """Where the exact repeat of an unperturbed run first differs from it."""

    seed: int
    step: int
    """Optimizer step, counted from 1, at which the first difference shows."""
    what: str
    """The quantity that differs there."""
    base: float | None
    """Its value in the unperturbed run; None where it is not finite or not one number."""
    repeat: float | None
    """Its value in the repeat."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def compare_repeat(folder: StudyFolder, base: RunRecord, repeat: RunRecord) -> RepeatDifference | None:
    """Compare two finished runs bit for bit: the loss of every step, every metric, every array.

    Returns:
        None where every bit is the same; else the earliest step at which a difference shows.
    """
    one, two = folder.arrays(base.run), folder.arrays(repeat.run)
    found: list[RepeatDifference] = []

    def differ(step: int, what: str, a: float | None, b: float | None) -> None:
        finite = [None if value is None or not np.isfinite(value) else float(value) for value in (a, b)]
        found.append(RepeatDifference(seed=base.seed, step=step, what=what, base=finite[0], repeat=finite[1]))

    shared = min(len(one["losses"]), len(two["losses"]))
    unequal = np.flatnonzero(one["losses"][:shared].view(np.int64) != two["losses"][:shared].view(np.int64))
    if len(unequal):
        step = int(unequal[0])
        differ(step + 1, "training loss", one["losses"][step], two["losses"][step])
    for name, values in base.metrics.items():
        for step, a, b in zip(base.steps, values, repeat.metrics.get(name, ()), strict=False):
            if np.float64(a).tobytes() != np.float64(b).tobytes():
                differ(step, name, a, b)
                break
    last = len(one["losses"])
    if one["weights_first"].tobytes() != two["weights_first"].tobytes():
        differ(1, "weights after the first step", None, None)
    for name in sorted(set(one) | set(two)):
        if name not in one or name not in two or one[name].tobytes() != two[name].tobytes():
            differ(last, name.replace("_", " "), None, None)
    if base.steps != repeat.steps or base.status != repeat.status:
        differ(last, "length of the run", float(len(base.steps)), float(len(repeat.steps)))
    return min(found, key=lambda difference: difference.step) if found else None
