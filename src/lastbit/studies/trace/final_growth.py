"""How much a difference in the last bit grew from its first step to the last, twin by twin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from lastbit.studies.trace.result import TraceMember
from lastbit.studies.trace.study import TraceStudy

__all__ = ["TwinGrowth", "largest_growth"]


@dataclass(frozen=True, kw_only=True)
class TwinGrowth:
    """The growth of the difference between one perturbed twin and its base.

    With $d(t)$ the L2 distance of all weights after step $t$, `factor` is $d(T) / d(t_0)$: $t_0$ is the first recorded
    step after which the twin differs, step 1 where the perturbation lands at once, and $T$ the last. It has no unit.
    """

    member: str
    """The training or optimizer, by its name in `result.members`."""
    twin: str
    factor: float
    """Infinite where the training diverged."""
    low: float
    """Lower end of its interval; `factor` itself where the distances are exact, as those of a Task are."""
    high: float
    first_step: int
    last_step: int
    passed_step: int | None
    """The first recorded step at which the growth was above the bound; None where it never was."""
    tensor: str
    """The tensor that holds most of the final difference."""
    tensor_share: float | None
    """The share that it holds of the squared distance; None where that is not finite."""


def largest_growth(study: TraceStudy, growth_at_most: float) -> TwinGrowth | None:
    """Return the largest growth over all twins and optimizers; None where no twin ever differed.

    Of a function or command the distances are estimated from sketches, each within a 95% interval from `a d` to `b d`.
    The growth is a quotient of two of them and lies from `factor a / b` to `factor b / a` with a probability of at
    least 90%, and above its lower end with at least 95% (Bonferroni: each distance is beyond one end in 2.5%).

    Args:
        study: a trace whose controls passed.
        growth_at_most: the bound.
    """
    found = [growth for member in study.result.members for growth in _growths(study, member, growth_at_most)]
    return max(found, key=lambda one: one.factor, default=None)


def _growths(study: TraceStudy, member: TraceMember, bound: float) -> Iterator[TwinGrowth]:
    data = study.to_xarray(member.name)
    low, high = data.attrs.get("distance_interval", (1.0, 1.0))
    for twin in data["twin"].values[1:]:
        one = data.sel(twin=twin)
        distances = one["all_l2"].values.astype(np.float64)
        # Both sides of a difference between two infinities are lost; the training has diverged all the same.
        distances = np.where(np.isfinite(distances), distances, np.inf)
        differing = np.flatnonzero(distances > 0)
        if not len(differing):
            continue
        first = differing[0]
        grown = distances / distances[first] if np.isfinite(distances[first]) else np.where(distances > 0, np.inf, 0.0)
        passed = np.flatnonzero(grown > bound)
        factor = float(grown[-1])
        tensor, share = _holds_most(one)
        yield TwinGrowth(
            member=member.name,
            twin=str(twin),
            factor=factor,
            low=factor * float(low / high),
            high=factor * float(high / low),
            first_step=int(data["step"][first]),
            last_step=int(data["step"][-1]),
            passed_step=int(data["step"][passed[0]]) if len(passed) else None,
            tensor=tensor,
            tensor_share=share,
        )


def _holds_most(twin: xr.Dataset) -> tuple[str, float | None]:
    """Return the tensor that is furthest apart after the last step, and its share of the squared distance."""
    squares = twin["l2"].isel(step=-1).values.astype(np.float64) ** 2
    place = int(np.argmax(np.where(np.isfinite(squares), squares, np.inf)))
    total = float(squares.sum())
    share = float(squares[place]) / total if np.isfinite(total) and total > 0 else None
    return str(twin["tensor"].values[place]), share
