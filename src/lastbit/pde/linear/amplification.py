"""What one step of a given length does to the waves of a problem: the answer to "is my dt stable?"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lastbit.pde.linear.equations import analysed_frequencies
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.stability import VonNeumann

__all__ = ["StepJudgement", "judge_step"]


@dataclass(frozen=True, kw_only=True)
class StepJudgement:
    """Whether a step is stable.

    Attributes:
        dt: the step.
        stable: whether no wave grows.
        max_stable_dt: the largest step below which all are stable, of the same waves.
        amplification: `|g|`, the factor per step: of the fastest wave where the step is unstable, else of the wave that
            is lost first beyond the limit; 1 at most where there is none.
        frequency: of that wave, in radians per length along each axis.
    """

    dt: float
    stable: bool
    max_stable_dt: float
    amplification: float
    frequency: tuple[float, ...]


def judge_step(von_neumann: VonNeumann, dt: float, grid: Grid | None = None) -> StepJudgement:
    """Judge one step.

    Args:
        von_neumann: the equation and the scheme.
        dt: the step, positive and finite.
        grid: whose modes are asked about; without it every frequency up to `π/dx`.

    Raises:
        LastbitError: a step that is not positive and finite, or a grid on which the symbol does not hold.

    Example:
        >>> from lastbit.pde.linear.analysis import analyse
        >>> found = judge_step(analyse("heat").von_neumann, 0.55)
        >>> found.stable, round(found.amplification, 12)
        (False, 1.2)
    """
    stable, limit = von_neumann.is_stable(dt, grid), von_neumann.max_stable_dt(grid)
    waves = analysed_frequencies(von_neumann.equation, grid)
    if limit.critical_frequency is not None:
        critical = np.array([limit.critical_frequency])
        waves = critical if stable else np.concatenate([critical, waves])
    factor = von_neumann.amplification_factor(waves[:, 0] if von_neumann.equation.dim == 1 else waves, dt)
    # Of waves that are amplified alike the first, the critical one where it is among them.
    fastest = int(np.argmax(factor >= factor.max() * (1 - 1e-12)))
    # -π per point is the same wave as π, and ω the conjugate of -ω.
    edge = np.isclose(np.abs(waves[fastest]) * von_neumann.equation.spacing, np.pi)
    frequency = np.where(edge, np.abs(waves[fastest]), waves[fastest])
    if frequency[np.flatnonzero(frequency)[:1]].sum() < 0:
        frequency = np.where(edge, frequency, -frequency)
    return StepJudgement(
        dt=dt,
        stable=stable,
        max_stable_dt=limit.dt,
        amplification=float(factor[fastest]),
        frequency=tuple(map(float, frequency)),
    )
