"""The time schemes that come with the package, each by its stability polynomial."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np

from lastbit.core.errors import LastbitError, choose
from lastbit.pde.schemes import TimeScheme

__all__ = ["SCHEMES", "make_scheme"]


def _momentum(value: float) -> float:
    if not (math.isfinite(value) and 0 <= value < 1):
        raise LastbitError(f"momentum {value} arrived: write a number from 0 up to, but not including, 1")
    return float(value)


def euler() -> TimeScheme:
    """Forward Euler, gradient descent's own scheme: `u^{n+1} = (1 + z) u^n`; stable for `|1 + z| ≤ 1`."""
    return TimeScheme(
        name="euler",
        polynomials=((-1.0, -1.0), (1.0,)),
        real_limit=2.0,
        imaginary_limit=0.0,
        source="|1 + z| ≤ 1: the disc of radius 1 about −1",
    )


def heavy_ball(momentum: float = 0.9) -> TimeScheme:
    """Polyak's heavy ball, SGD with momentum β: `u^{n+1} = u^n + β(u^n − u^{n−1}) + z u^n`, started at rest.

    On the negative axis the root that leaves is `g = −1`: `2 + 2β + z = 0`.
    """
    beta = _momentum(momentum)
    return TimeScheme(
        name="heavy-ball",
        polynomials=((beta,), (-1.0 - beta, -1.0), (1.0,)),
        start=((1.0, 1.0),),
        real_limit=2 + 2 * beta,
        imaginary_limit=0.0,
        source="g² − (1 + β + z) g + β at g = −1; off the axis |g|² = 1 + y²(1 + β)/(1 − β)³ + … at z = iy",
        parameters={"momentum": beta},
    )


def nesterov(momentum: float = 0.9) -> TimeScheme:
    """Nesterov's scheme: `u^{n+1} = (1 + z)(u^n + β(u^n − u^{n−1}))`, started at rest.

    On the negative axis the root that leaves is `g = −1`: `1 + (1 + z)(1 + 2β) = 0`.
    """
    beta = _momentum(momentum)
    return TimeScheme(
        name="nesterov",
        polynomials=((beta, beta), (-1.0 - beta, -1.0 - beta), (1.0,)),
        start=((1.0, 1.0),),
        real_limit=(2 + 2 * beta) / (1 + 2 * beta),
        imaginary_limit=0.0,
        source="g² − (1 + β)(1 + z) g + β(1 + z) at g = −1; |g|² = 1 + y²(1 − β + 2β²)/(1 − β)³ + … at z = iy",
        parameters={"momentum": beta},
    )


def rk2() -> TimeScheme:
    """Any two-stage Runge–Kutta method of order 2 (Heun, midpoint): `R(z) = 1 + z + z²/2`."""
    return TimeScheme(
        name="rk2",
        polynomials=((-1.0, -1.0, -0.5), (1.0,)),
        real_limit=2.0,
        imaginary_limit=0.0,
        source="R(−2) = 1; |R(iy)|² = 1 + y⁴/4",
    )


def rk4() -> TimeScheme:
    """The classical Runge–Kutta method: `R(z) = 1 + z + z²/2 + z³/6 + z⁴/24`.

    Off the negative axis it leaves where `R(z) = 1`, the real root of `z³ + 4z² + 12z + 24`; on the imaginary axis
    `|R(iy)|² = 1 − y⁶/72 + y⁸/576`, so `y = 2√2`.
    """
    # Cardano for z = w − 4/3: w³ + (20/3) w + 344/27 = 0.
    half, third = 172 / 27, 20 / 9
    root = math.sqrt(half**2 + third**3)
    return TimeScheme(
        name="rk4",
        polynomials=((-1.0, -1.0, -1 / 2, -1 / 6, -1 / 24), (1.0,)),
        real_limit=4 / 3 - float(np.cbrt(root - half) - np.cbrt(root + half)),
        imaginary_limit=2 * math.sqrt(2),
        source="real root of z³ + 4z² + 12z + 24; |R(iy)|² = 1 − y⁶/72 + y⁸/576",
    )


def backward_euler() -> TimeScheme:
    """Backward Euler: `(1 − z) u^{n+1} = u^n`; stable wherever `|1 − z| ≥ 1`."""
    return TimeScheme(
        name="backward-euler",
        polynomials=((-1.0,), (1.0, -1.0)),
        real_limit=math.inf,
        imaginary_limit=math.inf,
        source="|1 − z| ≥ 1: the outside of the disc of radius 1 about 1",
    )


def crank_nicolson() -> TimeScheme:
    """Crank–Nicolson, the trapezoidal rule: `(1 − z/2) u^{n+1} = (1 + z/2) u^n`; stable for `Re z ≤ 0`."""
    return TimeScheme(
        name="crank-nicolson",
        polynomials=((-1.0, -0.5), (1.0, -0.5)),
        real_limit=math.inf,
        imaginary_limit=math.inf,
        source="|1 + z/2| ≤ |1 − z/2| iff Re z ≤ 0",
    )


def leapfrog() -> TimeScheme:
    """Leapfrog (midpoint): `u^{n+1} = u^{n−1} + 2z u^n`, started by one step of order 2.

    The roots' product is −1, so both must lie on the circle: `z` on the imaginary axis, `|z| ≤ 1`, with a repeated
    root (and linear growth) at `|z| = 1` itself. Anything that decays is amplified by every step.
    """
    return TimeScheme(
        name="leapfrog",
        polynomials=((-1.0,), (0.0, -2.0), (1.0,)),
        start=((1.0, 1.0, 0.5),),
        real_limit=0.0,
        imaginary_limit=1.0,
        source="g² − 2zg − 1: roots of product −1, both on the circle iff z = iy, |y| ≤ 1",
    )


def stormer() -> TimeScheme:
    """Störmer's leapfrog for `u'' = λu`: `u^{n+1} = 2u^n − u^{n−1} + z u^n`, `z = dt²λ`, started from rest.

    Stable for `−4 ≤ z ≤ 0`, with a repeated root (and linear growth) at −4 itself. At `z = 0` the double root is the
    equation's own: `u = a + bt`.
    """
    return TimeScheme(
        name="leapfrog",
        polynomials=((1.0,), (-2.0, -1.0), (1.0,)),
        time_order=2,
        start=((1.0, 0.5),),
        real_limit=4.0,
        source="g² − (2 + z) g + 1: both roots on the circle iff |2 + z| ≤ 2",
    )


SCHEMES: dict[str, Callable[..., TimeScheme]] = {
    "euler": euler,
    "heavy-ball": heavy_ball,
    "nesterov": nesterov,
    "rk2": rk2,
    "rk4": rk4,
    "backward-euler": backward_euler,
    "crank-nicolson": crank_nicolson,
    "leapfrog": leapfrog,
}
"""Builders by name. For an equation of second order in time `leapfrog` is Störmer's form."""


def make_scheme(name: str, *, time_order: int = 1, **parameters: float) -> TimeScheme:
    """Return the built-in scheme `name`.

    Args:
        name: one of `SCHEMES`; underscores may stand for the hyphens.
        time_order: of the equation it will step; it matters for `leapfrog` alone, which is Störmer's scheme for
            `u'' = λu`. The other schemes step such an equation as the system `u' = v, v' = λu`.
        **parameters: the scheme's own, `momentum` for `heavy-ball` and `nesterov`.

    Raises:
        LastbitError: a name or a parameter that does not exist, naming those that do.

    Example:
        >>> make_scheme("heavy-ball", momentum=0.5).real_limit
        3.0
    """
    name = choose(name.replace("_", "-"), SCHEMES, "scheme")
    builder = SCHEMES[name]
    accepted = inspect.signature(builder).parameters
    for parameter in parameters:
        if not accepted:
            raise LastbitError(f"scheme {name!r} takes no parameter, {parameter!r} arrived: leave it out")
        choose(parameter, accepted, f"parameter of scheme {name!r}")
    if name == "leapfrog" and time_order == 2:
        return stormer()
    return builder(**parameters)
