"""The divergences of a run in order of steps, thinned as the run grows, and the first step at which anything differed.

A history is a value: `init_history` makes an empty one, `record` returns the next one, `to_dataset` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from lastbit.core.errors import LastbitError
from lastbit.dynamics.divergence import Divergence
from lastbit.dynamics.thinning import Thinning

__all__ = ["History", "init_history", "record", "to_dataset"]

# Axes: K twins, S steps, T tensors.

MEASURES = ("mean_relative_l1", "l2", "relative_l2", "max_ulp", "share_differing", "cosine")


@dataclass(frozen=True)
class History:
    """What is held after some steps.

    Attributes:
        thinning: which steps stay.
        steps: those held, in order.
        rows: the divergence at each of them.
        first: int64 (K, T), the first measured step at which the tensor differed, -1 where none yet; None before the
            first step. Thinning does not touch it.
        peak: float64 (K, T), the largest relative L2 difference measured so far, thinned steps included.
    """

    thinning: Thinning
    steps: tuple[int, ...] = ()
    rows: tuple[Divergence, ...] = ()
    first: torch.Tensor | None = None
    peak: torch.Tensor | None = None


def init_history(thinning: Thinning | None = None) -> History:
    """Return an empty history."""
    return History(thinning or Thinning())


def record(history: History, step: int, found: Divergence) -> History:
    """Return `history` with what was `found` at `step`, thinned to what is kept of a run that has got this far.

    Raises:
        LastbitError: `step` is not after the last one, or the tensors or the number of twins changed.
    """
    if step < 0 or (history.steps and step <= history.steps[-1]):
        raise LastbitError(f"step {step} comes after step {history.steps[-1] if history.steps else 0}: record in order")
    differs = (found.differing > 0).cpu()
    reached = torch.where(differs, step, -1)
    peak = found.relative_l2.cpu()
    if history.rows and history.first is not None and history.peak is not None:
        if history.rows[-1].names != found.names or history.first.shape != differs.shape:
            raise LastbitError("the tensors or the number of twins changed within one history: start another one")
        reached = torch.where(history.first >= 0, history.first, reached)
        # A NaN is the largest of all: torch.maximum hands it on.
        peak = torch.maximum(history.peak, peak)
    steps = np.array([*history.steps, step])
    kept = history.thinning.mask(steps, step)
    rows = tuple(row for row, keep in zip((*history.rows, found), kept, strict=True) if keep)
    return replace(history, steps=tuple(steps[kept].tolist()), rows=rows, first=reached, peak=peak)


def to_dataset(history: History) -> xr.Dataset:
    """Return the history with dimensions (`twin`, `step`, `tensor`).

    Variables: every measure of `Divergence` per tensor; the same over all weights as `all_<measure>` (`twin`, `step`);
    `norm` and `all_norm`, the base's L2 norms; `first_step` (`twin`, `tensor`), -1 where nothing ever differed.

    Raises:
        LastbitError: nothing was recorded.
    """
    if not history.rows or history.first is None:
        raise LastbitError("nothing was recorded: record at least one step first")
    variables: dict[str, Any] = {}
    wholes = [row.whole() for row in history.rows]
    for measure in MEASURES:
        values = torch.stack([getattr(row, measure) for row in history.rows], 1).cpu().numpy()
        variables[measure] = (("twin", "step", "tensor"), values)
        values = torch.stack([getattr(whole, measure)[:, 0] for whole in wholes], 1).cpu().numpy()
        variables[f"all_{measure}"] = (("twin", "step"), values)
    variables["norm"] = (("step", "tensor"), torch.stack([row.norm for row in history.rows]).cpu().numpy())
    variables["all_norm"] = ("step", torch.cat([whole.norm for whole in wholes]).cpu().numpy())
    variables["first_step"] = (("twin", "tensor"), history.first.numpy())
    coordinates = {
        "twin": np.arange(history.first.shape[0]),
        "step": np.array(history.steps),
        "tensor": list(history.rows[0].names),
    }
    return xr.Dataset(variables, coordinates)
