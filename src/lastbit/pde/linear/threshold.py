"""The largest stable step as a simulation shows it, to hold the analysis against."""

from __future__ import annotations

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.pde.linear.equations import LinearEquation
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.simulation import Field, simulate
from lastbit.pde.schemes import TimeScheme

__all__ = ["simulated_limit"]

_GROWTH = 10.0
"""Number of e-foldings, and more, by which growth shows beyond doubt."""

_FEWEST = 100


def simulated_limit(
    equation: LinearEquation,
    scheme: TimeScheme,
    grid: Grid,
    u0: Field,
    *,
    between: tuple[float, float],
    steps: int,
) -> tuple[float, float]:
    """Bisect between a step that is stable and one that blows up, by simulation alone.

    A step `1 + δ` times a limit set by one wave multiplies it by `1 + O(δ)`: over `steps` steps growth shows for `δ`
    above about `10 / steps`, and the bisection ends there.

    Args:
        equation: what is stepped.
        scheme: how.
        grid: where.
        u0: the start, with every wave of the grid in it.
        between: a step that should not blow up, and a larger one that should.
        steps: of each simulation; the bracket's relative width becomes `10 / steps`.

    Returns:
        The largest step found stable, and the smallest found to blow up.

    Raises:
        LastbitError: the two steps are not as they should be, or there are too few to show growth.
    """
    stable, unstable = between
    if not (0 < stable < unstable and steps >= _FEWEST):
        raise LastbitError(
            f"a bisection between {stable} and {unstable} by {steps} steps: give 0 < stable < unstable, and at least "
            f"{_FEWEST} steps"
        )

    def blows_up(dt: float) -> bool:
        return simulate(equation, scheme, grid, u0, dt, steps, amplitude_limit=1e6 * float(np.abs(u0).max())).blew_up

    if blows_up(stable) or not blows_up(unstable):
        raise LastbitError(f"the limit does not lie between the steps {stable} and {unstable}: give others")
    while unstable - stable > _GROWTH / steps * stable:
        middle = (stable + unstable) / 2
        if blows_up(middle):
            unstable = middle
        else:
            stable = middle
    return stable, unstable
