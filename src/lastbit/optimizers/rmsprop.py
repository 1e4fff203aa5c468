"""RMSprop (plain, centered, with momentum), Adagrad and Adadelta, which divide by the root of squares they gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastbit.optimizers.linear_update import LinearUpdate
from lastbit.optimizers.parts import Direction, Needs
from lastbit.optimizers.registry import Group, OptimizerChoice, State, register

if TYPE_CHECKING:
    from torch import Tensor

    from lastbit.optimizers.step import OptimizerStep


def _direction(step: OptimizerStep) -> Direction:
    """`d = g / (sqrt(v) + eps)`, with `v` centered if asked, or the momentum buffer of that ratio."""
    group = step.group
    lr = float(group["lr"])
    if float(group["momentum"]) > 0:
        return Direction(lr, step.state("momentum_buffer"))
    average = step.state("square_avg")
    if group["centered"]:
        mean = step.state("grad_avg")
        average.addcmul_(mean, mean, value=-1)
    return Direction(lr, step.decayed_gradient(), average.sqrt_().add_(float(group["eps"])))


def _linear_update(group: Group, step: int) -> LinearUpdate:
    lr, momentum = float(group["lr"]), float(group["momentum"])
    if momentum == 0:
        return LinearUpdate([[1.0]], [-lr])
    return LinearUpdate([[1.0, -lr * momentum], [0.0, momentum]], [-lr, 1.0])


def _preconditioner(group: Group, state: State) -> Tensor:
    second: Tensor = state["square_avg"]
    if group["centered"]:
        second = second - state["grad_avg"].square()
    return second.clamp(min=0).sqrt() + float(group["eps"])


def _adagrad_direction(step: OptimizerStep) -> Direction:
    """`d = g / (sqrt(sum g^2) + eps)` with step size `lr / (1 + (t - 1) * lr_decay)`."""
    group = step.group
    step_size = float(group["lr"]) / (1 + (step.count() - 1) * float(group["lr_decay"]))
    return Direction(step_size, step.decayed_gradient(), step.state("sum").sqrt_().add_(float(group["eps"])))


def _adagrad_update(group: Group, step: int) -> LinearUpdate:
    return LinearUpdate([[1.0]], [-float(group["lr"]) / (1 + (step - 1) * float(group["lr_decay"]))])


def _adagrad_preconditioner(group: Group, state: State) -> Tensor:
    root: Tensor = state["sum"].sqrt()
    return root + float(group["eps"])


def _adadelta_direction(step: OptimizerStep) -> Direction:
    """`d = g sqrt(a + eps) / sqrt(v + eps)`, with `a` the mean square of the updates before this one."""
    eps, square = float(step.group["eps"]), step.state("square_avg")
    gathered = step.earlier("acc_delta")
    updates = square.new_zeros(square.shape) if gathered is None else gathered
    ratio = updates.add_(eps).sqrt_().div_(square.add_(eps).sqrt_())
    return Direction(float(step.group["lr"]), ratio.mul_(step.decayed_gradient()))


def _adadelta_update(group: Group, step: int) -> LinearUpdate:
    return LinearUpdate([[1.0]], [-float(group["lr"])])


def _adadelta_preconditioner(group: Group, state: State) -> Tensor:
    """Return `sqrt(v + eps) / sqrt(a + eps)`."""
    eps = float(group["eps"])
    divisor: Tensor = (state["square_avg"] + eps).sqrt() / (state["acc_delta"] + eps).sqrt()
    return divisor


register(
    "torch.optim:RMSprop",
    direction=_direction,
    linear_update=_linear_update,
    preconditioner=_preconditioner,
    # PyTorch's rate, decay and momentum, not those of SGD.
    choice=OptimizerChoice(
        name="rmsprop", options=("momentum",), defaults={"lr": 1e-3, "weight_decay": 0.0, "momentum": 0.0}
    ),
)
register(
    "torch.optim:Adagrad",
    direction=_adagrad_direction,
    linear_update=_adagrad_update,
    preconditioner=_adagrad_preconditioner,
)
register(
    "torch.optim:Adadelta",
    direction=_adadelta_direction,
    needs=Needs(earlier=("acc_delta",)),
    linear_update=_adadelta_update,
    preconditioner=_adadelta_preconditioner,
)
