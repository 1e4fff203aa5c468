"""Which differences of a training that is forced onto another's course are more than rounding.

Every difference is local: the tensors of one step, given equal weights, states and generators before it. So one that is
many units of rounding large, or points the same way step after step, is no rounding.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lastbit.stats._inputs import Floats
from lastbit.stats.rounding_unit import RoundingUnit

__all__ = [
    "LIMITS",
    "Flag",
    "Limits",
    "Measure",
    "bias_of",
    "buffer_flags",
    "gradient_flags",
    "hidden_bias",
    "staircase_ratio",
    "step_flags",
    "update_flags",
]

Bools = NDArray[np.bool_]

Measure = Literal["units", "bias", "kinks", "worst", "step"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is more than rounding.

    Set on five small networks and frozen; on three others harmless pairs came to at most the number in brackets.
    """

    median: float = 32.0
    """Units of rounding in half of the steps [22]."""
    noisy: float = 4.0
    """Times that for a tensor that is noise by itself."""
    bias: float = 4e-6
    """Median over the steps of the share of the gradient that the difference is [1.4e-6]."""
    z: float = 6.0
    """Of that median in its standard errors."""
    loss: float = 128.0
    """Units of rounding of a loss, in one step [34]."""
    step: float = 64.0
    """Units of rounding of all tensors at once, in one step [18]; of one tensor a kink."""
    kinks: float = 0.25
    """Share of the steps in which one tensor may be at a kink, as a ReLU that switches [0.225]."""
    worst: float = 128.0
    """Of an element of a weight, state or copy, in its ulp and that of its change, in one step [70]."""
    update_bias: float = 1e-6
    """Median of the share of the change that the difference is."""
    second_bias: float = 2e-6
    """The same for a second moment."""
    buffer_step: float = 1024.0
    """Units of rounding of a buffer, in one step."""
    staircase: float = 5.0
    """Ratio from which the candidate computes in less precision [float32 1.51; bfloat16 and TF32 at least 15.5]."""
    hidden_z: float = 5.0
    """Of a mean bias inside another arithmetic, in its standard errors."""
    hidden_bias: float = 1e-3
    """Least mean bias inside another arithmetic: rounding to fewer digits may have a small one."""
    hidden_share: float = 2.0
    """Times the usual relative difference of the other gradients there, which is all that rounding could lean by."""


LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One tensor that differs by more than rounding."""

    tensor: int
    """Its column."""
    first: int
    """Row of the first step at which it shows."""
    measure: Measure
    value: float
    limit: float


def bias_of(shares: Floats) -> tuple[float, float]:
    """Return the median of shares over the steps, and how many standard errors it is from zero.

    The standard error of a median of n values is sqrt(pi/2) s / sqrt(n), with s = 1.4826 MAD, which no single step
    moves. Source: Kendall and Stuart, The Advanced Theory of Statistics, volume 1, section 10.11.

    Args:
        shares: (S,) of the tensor that its difference is along it, NaN where it was not compared.

    Example:
        >>> bias_of(np.array([1e-5] * 9))
        (1e-05, inf)
        >>> bias_of(np.array([]))
        (0.0, 0.0)
    """
    known = shares[np.isfinite(shares)]
    if not len(known):
        return 0.0, 0.0
    middle = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - middle)))
    if middle == 0:
        return 0.0, 0.0
    error = math.sqrt(math.pi / 2 / len(known)) * spread
    return middle, abs(middle) / error if error else math.inf


def _shares(projection: Floats, size: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(size > 0, projection / size / size, np.nan)


def gradient_flags(
    difference: Floats, projection: Floats, size: Floats, unit: RoundingUnit, limits: Limits = LIMITS
) -> list[Flag]:
    """Return the gradients that differ by more than rounding, step after step.

    Args:
        difference: (S, T) norms of the differences.
        projection: (S, T) inner products of the differences and the reference's gradients.
        size: (S, T) norms of the reference's gradients.
        unit: of rounding.
        limits: beyond which it is no rounding.
    """
    units, shares, found = unit.units(difference), _shares(projection, size), []
    for tensor in range(units.shape[1]):
        column, noisy = units[:, tensor], bool(unit.noise[tensor])
        if not np.isfinite(column).any():
            continue
        limit = limits.median * (limits.noisy if noisy else 1.0)
        middle = float(np.nanmedian(column))
        if middle > limit:
            first = _onset(column > limit)
            found.append(Flag(tensor=tensor, first=first, measure="units", value=middle, limit=limit))
            continue
        bias, z = bias_of(shares[:, tensor])
        if not noisy and abs(bias) > limits.bias and z > limits.z:
            first = _onset(np.sign(bias) * shares[:, tensor] > limits.bias)
            found.append(Flag(tensor=tensor, first=first, measure="bias", value=bias, limit=limits.bias))
            continue
        beyond = column > limits.step * (limits.noisy if noisy else 1.0)
        kinks = float(beyond.sum() / np.isfinite(column).sum())
        if kinks > limits.kinks:
            first = _onset(beyond)
            found.append(Flag(tensor=tensor, first=first, measure="kinks", value=kinks, limit=limits.kinks))
    return found


def step_flags(units: Floats, loss_units: Floats, limits: Limits = LIMITS) -> Bools:
    """Return at which steps everything differs: the loss, or all gradients at once.

    Args:
        units: (S, T) of the gradients that are no noise by themselves.
        loss_units: (S,) of the loss, NaN where there is none.
        limits: beyond which it is no rounding.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step that was not compared
        least = np.nanmin(units, axis=1) if units.shape[1] else np.full(len(units), np.nan)
    return (least > limits.step) | (loss_units > limits.loss)


def update_flags(worst: Floats, bias: Floats, share: Floats, bias_limit: Floats, limits: Limits = LIMITS) -> list[Flag]:
    """Return the weights, states and copies that differ after a step from equal gradients.

    A sum that cancels in one element, as of a gradient and the decay of its weight, magnifies the rounding of its
    terms without limit. So one element in one step tells nothing where the tensor as a whole was changed alike.

    Args:
        worst: (S, T) of the largest difference of an element in its unit, ulp(r) + 2^-23 |change|.
        bias: (S, T) projection of the difference on the change, as a share of the change.
        share: (S, T) norm of the difference over that of the change.
        bias_limit: (T,) of its median.
        limits: beyond which it is no rounding.
    """
    found = []
    for tensor in range(worst.shape[1]):
        column = worst[:, tensor]
        if not np.isfinite(column).any() and not np.isposinf(column).any():
            continue
        largest, beyond = float(np.nanmax(column)), column > limits.worst
        cancelled = beyond.sum() == 1 and bool(share[beyond, tensor][0] <= limits.update_bias)
        if beyond.any() and not cancelled:
            first = int(np.flatnonzero(beyond)[0])
            found.append(Flag(tensor=tensor, first=first, measure="worst", value=largest, limit=limits.worst))
            continue
        middle, z = bias_of(bias[:, tensor])
        limit = float(bias_limit[tensor])
        if abs(middle) > limit and z > limits.z:
            first = _onset(np.sign(middle) * bias[:, tensor] > limit)
            found.append(Flag(tensor=tensor, first=first, measure="bias", value=middle, limit=limit))
    return found


def buffer_flags(difference: Floats, unit: RoundingUnit, limits: Limits = LIMITS) -> list[Flag]:
    """Return the buffers that differ by more than rounding: step after step, or by much in one.

    Args:
        difference: (S, T) norms of the differences.
        unit: of rounding.
        limits: beyond which it is no rounding.
    """
    units, found = unit.units(difference), []
    for tensor in range(units.shape[1]):
        column = units[:, tensor]
        if not np.isfinite(column).any():
            continue
        limit, middle, largest = limits.median, float(np.nanmedian(column)), float(np.nanmax(column))
        if middle > limit:
            first = _onset(column > limit)
            found.append(Flag(tensor=tensor, first=first, measure="units", value=middle, limit=limit))
        elif largest > limits.buffer_step:
            first = int(np.flatnonzero(column > limits.buffer_step)[0])
            found.append(Flag(tensor=tensor, first=first, measure="step", value=largest, limit=limits.buffer_step))
    return found


def staircase_ratio(reference: Floats, candidate: Floats) -> float:
    """Return how much further the candidate's gradients move than the reference's when the weights move by 2^-18.

    The weights are rounded to fewer digits in a coarser arithmetic, so that they move on a staircase: seldom, and then
    by a whole step, which is far more. The gradient of a small layer stands still in most steps, so the tensors of a
    step are taken together, each in units of its usual movement in the reference.

    Args:
        reference: (S, T) how far each gradient of the reference moves.
        candidate: (S, T) the same of the candidate.

    Returns:
        Of the mean over the tensors, the upper quartile over the steps: a quarter of them may be at a kink; NaN where
        nothing moves.

    Example:
        >>> staircase_ratio(np.full((5, 2), 1e-5), np.full((5, 2), 4e-4))
        40.0
    """
    known = np.isfinite(reference) & np.isfinite(candidate)
    usual = np.array([np.median(one[at]) if at.any() else 0.0 for one, at in zip(reference.T, known.T, strict=True)])
    known &= usual > 0
    rows = known.any(axis=1)
    if not rows.any():
        return math.nan
    units = [np.where(known, one, np.nan)[rows] / np.where(usual > 0, usual, np.nan) for one in (candidate, reference)]
    ours, theirs = (np.quantile(np.nanmean(one, axis=1), 1 - LIMITS.kinks) for one in units)
    return float(ours / theirs)


def hidden_bias(difference: Floats, projection: Floats, size: Floats, limits: Limits = LIMITS) -> list[Flag]:
    """Return the gradients that lean to one side by more than a coarser arithmetic explains.

    The mean share of the gradient that the difference is, held against its standard error over the steps. It must be
    more than twice the usual difference of the other gradients as a whole, since what is rounded to fewer digits once
    and for all, such as a weight or the factor of a dropout, leans the same way in every step.

    Args:
        difference: (S, T) norms of the differences.
        projection: (S, T) inner products of the differences and the reference's gradients.
        size: (S, T) norms of the reference's gradients.
        limits: beyond which it is no rounding.
    """
    shares, found = _shares(projection, size), []
    usual = _usual(difference, size)
    for tensor in range(shares.shape[1]):
        known = shares[:, tensor][np.isfinite(shares[:, tensor])]
        if len(known) < 2:
            continue
        rounding = limits.hidden_share * float(np.median(np.delete(usual, tensor))) if len(usual) > 1 else 0.0
        limit = max(limits.hidden_bias, rounding)
        mean, error = float(known.mean()), float(known.std(ddof=1)) / math.sqrt(len(known))
        if abs(mean) > limit and abs(mean) > limits.hidden_z * error:
            first = _onset(np.sign(mean) * shares[:, tensor] > limit)
            found.append(Flag(tensor=tensor, first=first, measure="bias", value=mean, limit=limit))
    return found


def _usual(difference: Floats, size: Floats) -> Floats:
    """Return the median over steps of each tensor's relative difference, 0 of one that was never compared."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(size > 0, difference / size, np.nan)
    known = [column[np.isfinite(column)] for column in relative.T]
    return np.array([np.median(column) if len(column) else 0.0 for column in known])


def _onset(beyond: Bools) -> int:
    """Return the first row from which on it shows in most steps, for one alone may be a kink; else the first at all."""
    for row in np.flatnonzero(beyond):
        if beyond[row : row + 5].mean() > 0.5:
            return int(row)
    return int(np.flatnonzero(beyond)[0]) if beyond.any() else 0
