"""Step a linear equation on a grid, and watch whether it stays finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.pde.linear.equations import LinearEquation
from lastbit.pde.linear.grids import Grid
from lastbit.pde.schemes import TimeScheme

__all__ = ["Simulation", "simulate"]

Field = NDArray[Any]

GREW = 10.0
"""Growth of `max |u|` from which continued growth counts as blow-up: multi-step schemes amplify a little and stop."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The result of a simulation.

    Attributes:
        u: the last field that was computed, shape `grid.shape`; not finite if `status` is `diverged`.
        amplitudes: `max |u|` after 0, 1, … steps, shape `(steps + 1,)`; NaN after the step at which it ended.
        finite: whether the field was finite after each step, shape `(steps + 1,)`; False after the end.
        status: `ok`, or `diverged` if the field became infinite or NaN; the simulation ends there.
        ended_at: the step at which it did, None if it did not.
        fields: the fields after the steps that were to be kept and were reached, by step.
    """

    u: Field
    amplitudes: NDArray[np.float64]
    finite: NDArray[np.bool_]
    status: RunStatus
    ended_at: int | None
    fields: dict[int, Field]

    @property
    def blew_up(self) -> bool:
        """Whether the field is not finite, or `GREW` times as large as at the start and larger than ever before."""
        if self.status is RunStatus.DIVERGED:
            return True
        reached = self.amplitudes[self.finite]
        earlier = reached[: max(1, len(reached) * 3 // 4)]
        return bool(reached[-1] > GREW * reached[0] and reached[-1] > earlier.max())

    @property
    def growth(self) -> float:
        """The factor by which `max |u|` changed per step, over the last quarter of the steps that are finite."""
        reached = self.amplitudes[self.finite]
        steps = max(1, (len(reached) - 1) // 4)
        late, early = reached[-1], reached[-1 - steps] if len(reached) > steps else math.nan
        return math.exp((math.log(late) - math.log(early)) / steps) if late > 0 and early > 0 else math.nan


def simulate(
    equation: LinearEquation,
    scheme: TimeScheme,
    grid: Grid,
    u0: Field,
    dt: float,
    steps: int,
    *,
    v0: Field | None = None,
    amplitude_limit: float = math.inf,
    keep: Collection[int] = (),
) -> Simulation:
    """Step `equation` by `scheme` from `u0`.

    An explicit step evaluates `Σ_j p_j(dt L) u^{n+j}` by Horner's rule in `dt L`; an implicit one also solves with the
    sparse LU factors of `p_k(dt L)`. Both use the stencil itself and never its symbol, so a simulation is evidence
    about the symbol's analysis. The arithmetic is that of `u0`'s precision, except the implicit solve, in float64.

    Args:
        equation: what to step.
        scheme: how; a scheme of time order 1 steps an equation of order 2 as `u' = v, v' = Lu`.
        grid: where; its boundary says how the stencil sees beyond the ends.
        u0: the field at time 0, shape `grid.shape`, real or complex floating point.
        dt: the step, positive and finite.
        steps: how many, at least 1.
        v0: `∂_t u` at time 0 for an equation of order 2; 0 if left out.
        amplitude_limit: end early, with status `ok`, once `max |u|` exceeds this.
        keep: steps after which the field is kept.

    Returns:
        The field, its amplitude and finiteness at every step, and how it ended. Overflow is a status, not a warning.

    Raises:
        LastbitError: a field of another shape or without floating point, a non-finite start, a bad step or number of
            steps, or `v0` for an equation of order 1.

    Example:
        >>> from lastbit.pde.linear.equations import LinearEquation
        >>> from lastbit.pde.linear.operators import laplacian
        >>> from lastbit.pde import make_scheme
        >>> heat = LinearEquation((laplacian((1.0,)),))
        >>> spike = np.eye(1, 16)[0]
        >>> simulate(heat, make_scheme("euler"), Grid(shape=(16,), spacing=(1.0,)), spike, 0.5, 100).status.value
        'ok'
    """
    u0 = np.asarray(u0)
    _require(equation, grid, u0, v0, dt, steps)
    system = equation.time_order == 2 and scheme.time_order == 1
    speed = np.zeros_like(u0) if v0 is None else np.asarray(v0, dtype=u0.dtype)
    first = np.stack([u0, speed]) if system else u0
    matrix = _matrix(equation, scheme, grid, dt)
    rounded = matrix.astype(u0.real.dtype)
    solve = None if scheme.is_explicit else _solver(matrix, scheme)
    polynomials = _by_power(scheme.polynomials[:-1], u0.real.dtype)
    lead = u0.real.dtype.type(scheme.polynomials[-1][0])

    amplitudes = np.full(steps + 1, np.nan)
    levels = [first]
    with np.errstate(all="ignore"):  # overflow is what is being watched for
        for j, start in enumerate(scheme.starting_polynomials(), 1):
            value = _combined(rounded, [first], _by_power((start,), u0.real.dtype))
            if equation.time_order == 2 and not system:
                value = value + u0.real.dtype.type(j * dt) * speed
            levels.append(value)
        ended_at = None
        current = first
        fields = {}
        for step in range(steps + 1):
            if step < len(levels):
                current = levels[step]
            else:
                total = _combined(rounded, levels, polynomials)
                current = -total / lead if solve is None else solve(-total)
                levels = [*levels[1:], current]
            shown = current[0] if system else current
            amplitudes[step] = amplitude = np.abs(shown).max()
            if step in keep:
                fields[step] = shown.copy()
            # A velocity that is not finite shows in the field one step later.
            if not amplitude <= amplitude_limit or amplitude == math.inf:
                ended_at = step
                break
    finite = np.isfinite(amplitudes)
    diverged = ended_at is not None and not finite[ended_at]
    status = RunStatus.DIVERGED if diverged else RunStatus.OK
    return Simulation(u=shown, amplitudes=amplitudes, finite=finite, status=status, ended_at=ended_at, fields=fields)


def _by_power(polynomials: tuple[tuple[float, ...], ...], dtype: Any) -> Field:
    """Coefficients as an array, one row per power of `z`, one column per polynomial."""
    table = np.zeros((max(map(len, polynomials)), len(polynomials)), dtype=dtype)
    for column, polynomial in enumerate(polynomials):
        table[: len(polynomial), column] = polynomial
    return table


def _combined(matrix: sp.csr_array, levels: list[Field], table: Field) -> Field:
    """`Σ_j p_j(dt L) u_j` by Horner's rule, so that each power of `L` is applied once to all levels together."""
    total = np.zeros_like(levels[0])
    for index, row in enumerate(table[::-1]):
        if index:
            total = np.asarray(matrix @ total.ravel()).reshape(total.shape)
        for weight, level in zip(row, levels, strict=True):
            if weight:
                total = total + weight * level
    return total


def _matrix(equation: LinearEquation, scheme: TimeScheme, grid: Grid, dt: float) -> sp.csr_array:
    """`dt L` (or `dt² L`, or `dt` times the first-order system) as a sparse matrix."""
    total = equation.terms[0].matrix(grid)
    for power, term in enumerate(equation.terms[1:], 1):
        total = total + dt**power * term.matrix(grid)
    if scheme.time_order == equation.time_order:
        return sp.csr_array(dt**scheme.time_order * total)
    identity = sp.eye_array(grid.size, format="csr")
    return sp.csr_array(dt * sp.block_array([[None, identity], [total, None]]))


def _solver(matrix: sp.csr_array, scheme: TimeScheme) -> Callable[[Field], Field]:
    """`u ↦ p_k(dt L)⁻¹ u` by sparse LU factors."""
    eye = sp.eye_array(matrix.shape[0], format="csr")
    total = sp.csr_array(matrix.shape)
    for coefficient in reversed(scheme.polynomials[-1]):
        total = total @ matrix + coefficient * eye
    factors = splu(sp.csc_array(total))

    def solve(u: Field) -> Field:
        if not np.isfinite(u).all():
            return np.full_like(u, np.nan)
        flat = u.ravel().astype(np.complex128 if np.iscomplexobj(u) else np.float64)
        if np.iscomplexobj(flat):
            result = factors.solve(flat.real.copy()) + 1j * factors.solve(flat.imag.copy())
        else:
            result = factors.solve(flat)
        return np.asarray(result.reshape(u.shape), dtype=u.dtype)

    return solve


def _require(equation: LinearEquation, grid: Grid, u0: Field, v0: Field | None, dt: float, steps: int) -> None:
    if grid.spacing != equation.spacing:
        raise LastbitError(f"an equation on spacing {equation.spacing} met a grid of spacing {grid.spacing}: use one")
    if u0.shape != grid.shape:
        raise LastbitError(f"u0 has shape {u0.shape}, the grid {grid.shape}: give one value per grid point")
    if not np.issubdtype(u0.dtype, np.inexact):
        raise LastbitError(f"u0 has dtype {u0.dtype}: give floating-point numbers")
    if not np.isfinite(u0).all():
        raise LastbitError("u0 holds NaN or infinity: start from finite numbers")
    if v0 is not None and equation.time_order == 1:
        raise LastbitError("v0 arrived for an equation of first order in time: leave it out")
    if v0 is not None and np.shape(v0) != grid.shape:
        raise LastbitError(f"v0 has shape {np.shape(v0)}, the grid {grid.shape}: give one value per grid point")
    if not (math.isfinite(dt) and dt > 0):
        raise LastbitError(f"time step dt = {dt} arrived: give a positive finite number")
    if steps < 1:
        raise LastbitError(f"steps = {steps} arrived: give at least 1")
