"""Closed forms of the stability limits, from the crossing at `z = -1`.

Every scheme here loses stability where its companion matrix has the eigenvalue -1, which gives the limit by hand: set
`w_{t+1} = -w_t` and solve for the curvature. The companion matrix is what lastbit computes with; these are its
tested shortcuts and what a reader can check on paper. All limits are on the eigenvalue of the (preconditioned)
Hessian; coupled weight decay is part of that eigenvalue.
"""

from __future__ import annotations

__all__ = ["adam_limit", "nesterov_limit", "rmsprop_limit", "sgd_limit"]


def sgd_limit(lr: float, momentum: float = 0.0, dampening: float = 0.0) -> float:
    """Return `(2 + 2 beta) / ((1 - dampening) lr)`: gradient descent at `beta = 0`, else heavy ball.

    Source: Polyak (1964) for heavy ball; Cohen et al. (ICLR 2021), appendix, for its edge of stability.

    Example:
        >>> sgd_limit(lr=0.1), sgd_limit(lr=0.1, momentum=0.5)
        (20.0, 30.0)
    """
    fresh = 1 - dampening if momentum else 1.0
    return (2 + 2 * momentum) / (fresh * lr)


def nesterov_limit(lr: float, momentum: float) -> float:
    """Return `(2 + 2 beta) / ((1 + 2 beta) lr)`, for Nesterov's momentum as torch writes it.

    Example:
        >>> nesterov_limit(lr=0.1, momentum=0.5)
        15.0
    """
    return (2 + 2 * momentum) / ((1 + 2 * momentum) * lr)


def adam_limit(lr: float, beta1: float, decoupled_weight_decay: float = 0.0, step: int | None = None) -> float:
    """Return `(2 - lr alpha)(1 + beta1) (1 - beta1^step) / ((1 - beta1) lr)`, the limit on `P^{-1/2} H P^{-1/2}`.

    Source: Cohen et al., Adaptive gradient methods at the edge of stability (arXiv 2207.14484): 38/lr at beta1 = 0.9.

    Args:
        lr: learning rate.
        beta1: decay of the first moment.
        decoupled_weight_decay: alpha of AdamW.
        step: number of the step whose bias correction holds; None for late in training.

    Example:
        >>> round(adam_limit(lr=1.0, beta1=0.9), 9)
        38.0
    """
    correction = 1.0 if step is None else 1 - beta1**step
    return (2 - lr * decoupled_weight_decay) * (1 + beta1) * correction / ((1 - beta1) * lr)


def rmsprop_limit(lr: float, momentum: float = 0.0) -> float:
    """Return `(2 + 2 mu) / lr`, the limit on `P^{-1/2} H P^{-1/2}` for RMSprop; at `mu = 0` also for Adagrad.

    Example:
        >>> rmsprop_limit(lr=0.01)
        200.0
    """
    return (2 + 2 * momentum) / lr
