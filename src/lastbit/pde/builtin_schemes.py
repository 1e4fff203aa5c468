"""The time schemes that come with the package, each by its stability polynomial, and those that are gradient descent.

For a mode with `d/dt v = -lambda v` and `h = dt lambda = -z`, their stability polynomials are those of the updates that
optimizers make:

| scheme | update |
| --- | --- |
| euler | `v <- v - dt g` |
| heavy-ball | `u <- mu u + g; v <- v - dt u` |
| nesterov | `u <- mu u + g; v <- v - dt (g + mu u)` (PyTorch's form) |
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lastbit.core.errors import LastbitError, choose
from lastbit.pde.schemes import TimeScheme

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DESCENTS", "EULER", "SCHEMES", "descent_direction", "descent_scheme", "make_scheme"]

DESCENTS = ("euler", "heavy-ball", "nesterov")


def _heavy_ball(momentum: float) -> TimeScheme:
    """Polyak's heavy ball, SGD with momentum β: `u^{n+1} = u^n + β(u^n − u^{n−1}) + z u^n`, started at rest.

    On the negative axis the root that leaves is `g = −1`: `2 + 2β + z = 0`.
    """
    return TimeScheme(
        name="heavy-ball",
        polynomials=((momentum,), (-1.0 - momentum, -1.0), (1.0,)),
        start=((1.0, 1.0),),
        real_limit=2 + 2 * momentum,
        imaginary_limit=0.0,
        source="g² − (1 + β + z) g + β at g = −1; off the axis |g|² = 1 + y²(1 + β)/(1 − β)³ + … at z = iy",
        parameters={"momentum": momentum},
    )


def _nesterov(momentum: float) -> TimeScheme:
    """Nesterov's scheme: `u^{n+1} = (1 + z)(u^n + β(u^n − u^{n−1}))`, started at rest.

    On the negative axis the root that leaves is `g = −1`: `1 + (1 + z)(1 + 2β) = 0`.
    """
    return TimeScheme(
        name="nesterov",
        polynomials=((momentum, momentum), (-1.0 - momentum, -1.0 - momentum), (1.0,)),
        start=((1.0, 1.0),),
        real_limit=(2 + 2 * momentum) / (1 + 2 * momentum),
        imaginary_limit=0.0,
        source="g² − (1 + β)(1 + z) g + β(1 + z) at g = −1; |g|² = 1 + y²(1 − β + 2β²)/(1 − β)³ + … at z = iy",
        parameters={"momentum": momentum},
    )


def _rk4_real_limit() -> float:
    """The real root of `z³ + 4z² + 12z + 24`, where `R(z) = 1` off 0; Cardano for `z = w − 4/3`."""
    half, third = 172 / 27, 20 / 9  # w³ + (20/3) w + 344/27 = 0
    root = math.sqrt(half**2 + third**3)
    return 4 / 3 - float(np.cbrt(root - half) - np.cbrt(root + half))


_WITH_MOMENTUM = {"heavy-ball": _heavy_ball, "nesterov": _nesterov}

SCHEMES: dict[str, TimeScheme] = {
    scheme.name: scheme
    for scheme in (
        # Gradient descent's own: u^{n+1} = (1 + z) u^n.
        TimeScheme(
            name="euler",
            polynomials=((-1.0, -1.0), (1.0,)),
            real_limit=2.0,
            imaginary_limit=0.0,
            source="|1 + z| ≤ 1: the disc of radius 1 about −1",
        ),
        _heavy_ball(0.9),
        _nesterov(0.9),
        # Any two-stage Runge–Kutta method of order 2 (Heun, midpoint).
        TimeScheme(
            name="rk2",
            polynomials=((-1.0, -1.0, -0.5), (1.0,)),
            real_limit=2.0,
            imaginary_limit=0.0,
            source="R(−2) = 1; |R(iy)|² = 1 + y⁴/4",
        ),
        # The classical Runge–Kutta method.
        TimeScheme(
            name="rk4",
            polynomials=((-1.0, -1.0, -1 / 2, -1 / 6, -1 / 24), (1.0,)),
            real_limit=_rk4_real_limit(),
            imaginary_limit=2 * math.sqrt(2),
            source="real root of z³ + 4z² + 12z + 24; |R(iy)|² = 1 − y⁶/72 + y⁸/576",
        ),
        # (1 − z) u^{n+1} = u^n.
        TimeScheme(
            name="backward-euler",
            polynomials=((-1.0,), (1.0, -1.0)),
            real_limit=math.inf,
            imaginary_limit=math.inf,
            source="|1 − z| ≥ 1: the outside of the disc of radius 1 about 1",
        ),
        # The trapezoidal rule.
        TimeScheme(
            name="crank-nicolson",
            polynomials=((-1.0, -0.5), (1.0, -0.5)),
            real_limit=math.inf,
            imaginary_limit=math.inf,
            source="|1 + z/2| ≤ |1 − z/2| iff Re z ≤ 0",
        ),
        # Midpoint: u^{n+1} = u^{n−1} + 2z u^n, started by one step of order 2. At |z| = 1 itself a repeated root grows
        # linearly, and anything that decays is amplified by every step.
        TimeScheme(
            name="leapfrog",
            polynomials=((-1.0,), (0.0, -2.0), (1.0,)),
            start=((1.0, 1.0, 0.5),),
            real_limit=0.0,
            imaginary_limit=1.0,
            source="g² − 2zg − 1: roots of product −1, both on the circle iff z = iy, |y| ≤ 1",
        ),
    )
}
"""By name, those with momentum at 0.9. For an equation of second order in time `leapfrog` is Störmer's form."""

# u^{n+1} = 2u^n − u^{n−1} + z u^n, z = dt²λ, from rest: stable for −4 ≤ z ≤ 0, with linear growth at −4 itself. At
# z = 0 the double root is the equation's own: u = a + bt.
_STORMER = TimeScheme(
    name="leapfrog",
    polynomials=((1.0,), (-2.0, -1.0), (1.0,)),
    time_order=2,
    start=((1.0, 0.5),),
    real_limit=4.0,
    source="g² − (2 + z) g + 1: both roots on the circle iff |2 + z| ≤ 2",
)


def make_scheme(name: str, *, time_order: int = 1, **parameters: float) -> TimeScheme:
    """Return the built-in scheme `name`.

    Args:
        name: one of `SCHEMES`; underscores may stand for the hyphens.
        time_order: of the equation it will step; it matters for `leapfrog` alone, which is Störmer's scheme for
            `u'' = λu`. The other schemes step such an equation as the system `u' = v, v' = λu`.
        **parameters: the scheme's own, `momentum` for `heavy-ball` and `nesterov`.

    Raises:
        LastbitError: a name or a parameter that does not exist, naming those that do, or a momentum outside `[0, 1)`.

    Example:
        >>> make_scheme("heavy-ball", momentum=0.5).real_limit
        3.0
    """
    name = choose(name.replace("_", "-"), SCHEMES, "scheme")
    accepted = SCHEMES[name].parameters
    for parameter, value in parameters.items():
        if not accepted:
            raise LastbitError(f"scheme {name!r} takes no parameter, {parameter!r} arrived: leave it out")
        choose(parameter, accepted, f"parameter of scheme {name!r}")
        if not (math.isfinite(value) and 0 <= value < 1):
            raise LastbitError(f"momentum {value} arrived: write a number from 0 up to, but not including, 1")
    if name == "leapfrog" and time_order == 2:
        return _STORMER
    return _WITH_MOMENTUM[name](float(parameters["momentum"])) if parameters else SCHEMES[name]


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


EULER = SCHEMES["euler"]
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
