"""The largest stable step as a simulation shows it, to hold the analysis against."""

from __future__ import annotations

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.pde.linear.equations import LinearEquation
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.simulation import Field, simulate
from lastbit.pde.schemes import TimeScheme

__all__ = ["simulated_limit"]


def simulated_limit(
    equation: LinearEquation,
    scheme: TimeScheme,
    grid: Grid,
    u0: Field,
    *,
    stable: float,
    unstable: float,
    steps: int,
    width: float = 1e-3,
) -> tuple[float, float]:
    """Bisect between a step that is stable and one that blows up, by simulation alone.

    A step `1 + δ` times a limit set by one wave multiplies it by `1 + O(δ)`: over `steps` steps growth shows for `δ`
    above about `10 / steps`, so the bracket is believed no narrower than that.

    Args:
        equation: what is stepped.
        scheme: how.
        grid: where.
        u0: the start, with every wave of the grid in it.
        stable: a step that should not blow up.
        unstable: a larger one that should.
        steps: of each simulation, at least `10 / width`.
        width: relative width at which the bisection ends.

    Returns:
        The largest step found stable, and the smallest found to blow up.

    Raises:
        LastbitError: the two steps are not as they should be, or `steps` is too small to show `width`.
    """
    if not (0 < stable < unstable and steps * width >= 10):
        raise LastbitError(
            f"a bisection between {stable} and {unstable} to {width} in {steps} steps: give 0 < stable < unstable, and "
            "at least 10 / width steps"
        )

    def blows_up(dt: float) -> bool:
        return simulate(equation, scheme, grid, u0, dt, steps, amplitude_limit=1e6 * float(np.abs(u0).max())).blew_up

    if blows_up(stable) or not blows_up(unstable):
        raise LastbitError(f"the limit does not lie between the steps {stable} and {unstable}: give others")
    while unstable - stable > width * stable:
        middle = (stable + unstable) / 2
        if blows_up(middle):
            unstable = middle
        else:
            stable = middle
    return stable, unstable
