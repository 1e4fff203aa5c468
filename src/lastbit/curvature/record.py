"""What one measurement of the live monitor found."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan

from lastbit.core.status import RunStatus

__all__ = ["StabilityRecord"]


@dataclass(frozen=True)
class StabilityRecord:
    """One measurement.

    Attributes:
        step: optimizer steps taken when it was made, from 1.
        status: `ok`, or `diverged` where weights or loss are not finite (numbers are then NaN).
        loss: on the probe batch, without weight decay.
        gradient_norm: of that loss.
        sharpness: largest eigenvalue of the loss's Hessian in the optimizer's coordinates (`P^{-1/2} H P^{-1/2}`),
            coupled weight decay left out; the top eigenvector is that of the Hessian with decay.
        limit: what `sharpness` must not exceed: `2/lr - alpha` for gradient descent.
        ratio: largest eigenvalue over limit with decay on both sides; above 1 that direction is unstable.
        residual: of the top eigenpair relative to its eigenvalue.
        converged: whether every eigenpair met the tolerance.
        smallest: smallest eigenvalue in the same coordinates, decay left out (NaN if not asked for).
        growing: how many directions were found that grow, their eigenvalue certified below `-alpha`; at most as many
            as asked for.
        alignment: |cosine| between the top eigenvector and the last update of the weights, in the optimizer's
            coordinates; NaN where there was no update to compare with.
        lrs: learning rate per parameter group.
        layers: ratio of each layer moved alone, if asked for.
        products: Hessian-vector products spent.
        seconds: wall time spent.
    """

    step: int
    status: RunStatus
    loss: float = nan
    gradient_norm: float = nan
    sharpness: float = nan
    limit: float = nan
    ratio: float = nan
    residual: float = nan
    converged: bool = False
    smallest: float = nan
    growing: int = 0
    alignment: float = nan
    lrs: tuple[float, ...] = ()
    layers: dict[str, float] = field(default_factory=dict)
    products: int = 0
    seconds: float = nan
