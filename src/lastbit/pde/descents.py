"""Gradient descent as a time scheme: plain (Euler), heavy ball, Nesterov.

For a mode with `d/dt v = -lambda v` and `h = dt lambda = -z`, their stability polynomials are those of the updates that
optimizers make:

| scheme | update |
| --- | --- |
| euler | `v <- v - dt g` |
| heavy-ball | `u <- mu u + g; v <- v - dt u` |
| nesterov | `u <- mu u + g; v <- v - dt (g + mu u)` (PyTorch's form) |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastbit.core.errors import LastbitError, choose
from lastbit.pde.builtin_schemes import make_scheme
from lastbit.pde.schemes import TimeScheme

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DESCENTS", "EULER", "descent_direction", "descent_scheme"]

DESCENTS = ("euler", "heavy-ball", "nesterov")


def descent_scheme(name: str = "euler", momentum: float | None = None) -> TimeScheme:
    """Return the time scheme of plain gradient descent, heavy ball or Nesterov.

    Args:
        name: one of `DESCENTS`; an underscore may stand for the hyphen.
        momentum: in [0, 1); 0.9 when None. Euler has none.

    Raises:
        LastbitError: another name, a momentum outside `[0, 1)`, or one that is given to Euler.

    Example:
        >>> descent_scheme("heavy-ball", 0.5).step_limit()
        3.0
    """
    chosen = choose(name.replace("_", "-"), DESCENTS, "descent scheme")
    if chosen == "euler" and momentum:
        raise LastbitError(f"Euler has no momentum, got {momentum:g}: choose heavy-ball or nesterov")
    return make_scheme(chosen) if chosen == "euler" or momentum is None else make_scheme(chosen, momentum=momentum)


EULER = descent_scheme()
"""Plain gradient descent."""


def descent_direction(scheme: TimeScheme, gradient: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is multiplied by `-dt` and added to the value, and the new velocity.

    Written as the optimizers are, and not from the stability polynomial, so that what is simulated is evidence about a
    bound.

    Args:
        scheme: of `descent_scheme`.
        gradient: at the value.
        velocity: of the step before, zero at rest; plain descent leaves it as it is.
    """
    if scheme.name == "euler":
        return gradient, velocity
    velocity = scheme.momentum * velocity + gradient
    return (velocity if scheme.name == "heavy-ball" else gradient + scheme.momentum * velocity), velocity
