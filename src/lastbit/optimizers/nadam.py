"""NAdam: Adam with Nesterov's momentum, whose coefficient rises over the steps."""

from __future__ import annotations

from lastbit.optimizers.adam import decoupled, kept, preconditioner
from lastbit.optimizers.linear_update import LinearUpdate
from lastbit.optimizers.registry import Group, register

__all__: list[str] = []

_TERMS = 2000
"""Factors of the product of momenta that are multiplied out: each is below beta1, so at beta1 = 0.99 what is left is
below 1e-9 of 1."""


def _linear_update(group: Group, step: int) -> LinearUpdate:
    lr, beta, decay = float(group["lr"]), float(group["betas"][0]), float(group["momentum_decay"])

    def mu(t: int) -> float:
        return beta * (1 - 0.5 * float(0.96 ** (t * decay)))

    product = 1.0
    for t in range(1, min(step, _TERMS) + 1):
        product *= mu(t)
    now = lr * (1 - mu(step)) / (1 - product)
    ahead = lr * mu(step + 1) / (1 - product * mu(step + 1))
    return LinearUpdate([[kept(group), -ahead * beta], [0.0, beta]], [-now - ahead * (1 - beta), 1 - beta])


register("torch.optim:NAdam", linear_update=_linear_update, preconditioner=preconditioner, decoupled=decoupled)
