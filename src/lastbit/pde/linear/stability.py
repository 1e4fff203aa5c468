"""Von Neumann analysis: from a linear equation and a time scheme to the largest stable step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lastbit.core.errors import LastbitError
from lastbit.pde.linear.equations import SHORTEST_PHASE, LinearEquation, analysed_frequencies
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.root_condition import (
    Condition,
    amplification_roots,
    first_negative,
    root_conditions,
)
from lastbit.pde.schemes import TimeScheme

__all__ = ["StabilityLimit", "VonNeumann"]


@dataclass(frozen=True, kw_only=True)
class StabilityLimit:
    """The supremum of stable steps.

    Attributes:
        dt: every `0 < dt' < dt` is stable; `inf` if every step is, 0 if none is.
        critical_frequency: where the first wave is lost, in radians per length along each axis; None if none ever is.
        attained: whether `dt` itself is stable (False where two roots meet on the unit circle there).
        note: one sentence for a person.
    """

    dt: float
    critical_frequency: tuple[float, ...] | None
    attained: bool
    note: str


class VonNeumann:
    """The amplification of waves `e^{iω·x}` by a scheme for a linear equation.

    A step is *stable* if, at every frequency, all roots of the stability polynomial lie in the closed unit disc and
    those on the circle are simple, so that no wave grows at all. (The Lax–Richtmyer condition allows
    `|g| ≤ 1 + O(dt)`; for an equation whose own solutions do not grow the strict form is the one a practitioner wants.)
    The frequency 0 of an equation of second order in time is exempt: `u = a + bt` is its own solution.

    Args:
        equation: what is stepped.
        scheme: how. A scheme of time order 1 steps an equation of order 2 as the system `u' = v, v' = Lu`, whose
            eigenvalues are `±√λ`.

    Raises:
        LastbitError: a scheme of time order 2 for an equation of order 1.
    """

    def __init__(self, equation: LinearEquation, scheme: TimeScheme) -> None:
        if scheme.time_order > equation.time_order:
            raise LastbitError(f"scheme {scheme.name!r} steps u'' = λu, the equation is u' = λu: use another scheme")
        self.equation = equation
        self.scheme = scheme

    def symbol(self, omega: ArrayLike, dt: float = 0.0) -> NDArray[np.complex128]:
        """Return the symbol `λ(ω)` of the spatial operator; `dt` matters only where the operator depends on it."""
        return self.equation.symbol(omega, dt)

    def amplification_roots(self, omega: ArrayLike, dt: float) -> NDArray[np.complex128]:
        """Return every root `g` of the stability polynomial, along a last axis."""
        roots = [amplification_roots(self.scheme.coefficients(z)) for z in self._scaled_symbols(omega, _step(dt))]
        return np.concatenate(roots, axis=-1)

    def amplification_factor(self, omega: ArrayLike, dt: float) -> NDArray[np.float64]:
        """Return `max |g|`, the factor by which a step multiplies the wave `e^{iω·x}`.

        For several steps it is the spectral radius of the companion matrix.

        Args:
            omega: angular frequencies in radians per length; any shape in one dimension, `(…, dim)` in more.
            dt: the step, positive and finite.

        Returns:
            Real array of shape `(…)`.

        Raises:
            LastbitError: a step that is not positive and finite.
        """
        return np.asarray(np.abs(self.amplification_roots(omega, dt)).max(axis=-1))

    def scaled_symbol(self, omega: ArrayLike, dt: float) -> NDArray[np.complex128]:
        """Return the points `z` that must lie in the scheme's stability region, one per frequency and branch, flat."""
        return np.concatenate([np.ravel(z) for z in self._scaled_symbols(omega, _step(dt))])

    def is_stable(self, dt: float, grid: Grid | None = None) -> bool:
        """Whether no wave is amplified by steps of `dt` (see the class for what that means).

        Roots within a relative rounding error of 1e−12 of the circle count as on it; roots on the circle closer than
        1e−6 to each other count as repeated.

        Args:
            dt: the step, positive and finite.
            grid: ask about the modes of this grid alone; without it about every frequency up to `π/dx`.

        Raises:
            LastbitError: a step that is not positive and finite, or a grid on which the symbol does not hold.
        """
        _step(dt)
        frequencies = analysed_frequencies(self.equation, grid)
        if grid is None and self._limit.dt == 0:
            return False
        if grid is None and (critical := self._limit.critical_frequency) is not None:
            frequencies = np.concatenate([frequencies, np.array([critical])])
        for pencil, scale in self._pencils(frequencies):
            # Frequencies at which the operator vanishes stay as they are.
            moving = scale > 0
            r = dt * scale[moving]
            conditions = [Condition(d[moving], e[moving]) for d, e in root_conditions(pencil)]
            if any(condition.is_broken(r).any() for condition in conditions):
                return False
            marginal = np.any([condition.is_marginal(r) for condition in conditions], axis=0)
            at = frequencies[moving][marginal]
            if len(at) and _repeated_on_circle(
                self.amplification_roots(at[:, 0] if self.equation.dim == 1 else at, dt)
            ):
                return False
        return True

    def max_stable_dt(self, grid: Grid | None = None) -> StabilityLimit:
        """Return the largest step below which every step is stable, and the frequency that is lost there.

        For each frequency the limit is the first sign change of the root condition's polynomials in `dt`, found by
        bisection to the last bit; the smallest over a sample of frequencies is then refined around the critical one
        until the phase is known to 1e−9. Where it falls all the way to long waves, the limit `ω → 0` is extrapolated.

        Args:
            grid: restrict the frequencies to this grid's own modes.

        Raises:
            LastbitError: a grid on which the symbol does not hold (a bounded one with an asymmetric stencil).
        """
        return (
            self._limit if grid is None else self._find_limit(analysed_frequencies(self.equation, grid), refine=False)
        )

    @cached_property
    def _limit(self) -> StabilityLimit:
        return self._find_limit(analysed_frequencies(self.equation, None), refine=True)

    def _find_limit(self, frequencies: NDArray[np.float64], *, refine: bool) -> StabilityLimit:
        limits = self._limits_at(frequencies)
        best = float(limits.min())
        if best == 0:
            return self._never_stable(frequencies[limits == 0])
        if math.isinf(best):
            return StabilityLimit(dt=math.inf, critical_frequency=None, attained=True, note="stable for every step")
        ties = frequencies[limits <= best * (1 + 1e-10)]
        critical = ties[ties.sum(axis=1).argmax()]
        long_waves = False
        if refine:
            widths = {1: math.pi / 256, 2: math.pi / 32, 3: math.pi / 16}
            critical, best = self._refine(critical, best, widths[self.equation.dim])
            critical, best, long_waves = self._towards_long_waves(critical, best)
        if best == 0:
            note = "no step is stable: the smaller the step, the longer the waves that it amplifies"
            return StabilityLimit(dt=0.0, critical_frequency=(0.0,) * self.equation.dim, attained=False, note=note)
        at = critical[0] if self.equation.dim == 1 else critical
        attained = long_waves or not _repeated_on_circle(self.amplification_roots(at, best)[None])
        phases = np.abs(critical) * self.equation.spacing
        waves = (
            "ω → 0 (long waves)" if long_waves else f"ω = {_shown(critical)} (ω·dx = {_shown(phases / math.pi, 'π')})"
        )
        ending = "" if attained else "; at the limit itself two roots meet on the unit circle and grow linearly"
        return StabilityLimit(
            dt=best,
            critical_frequency=tuple(map(float, critical)),
            attained=attained,
            note=f"beyond it waves of {waves} grow first{ending}",
        )

    def _never_stable(self, lost: NDArray[np.float64]) -> StabilityLimit:
        at = lost[:, 0] if self.equation.dim == 1 else lost
        symbols = self.symbol(at)
        growing = symbols.real > 1e-12 * np.abs(symbols)
        if self.equation.time_order == 1 and growing.any():
            worst = lost[np.where(growing, symbols.real, -np.inf).argmax()]
            note = (
                f"no step is stable: the equation itself amplifies ω = {_shown(worst)} at rate {symbols.real.max():.6g}"
            )
        else:
            worst = lost[self.amplification_factor(at, 0.1 / max(np.abs(symbols).max(), 1e-300)).argmax()]
            note = f"no step is stable: every step, however small, amplifies waves such as ω = {_shown(worst)}"
        return StabilityLimit(dt=0.0, critical_frequency=tuple(map(float, worst)), attained=False, note=note)

    def _refine(self, critical: NDArray[np.float64], best: float, width: float) -> tuple[NDArray[np.float64], float]:
        """Shrink a box of trial phases, at first `±width`, around the smallest limit found so far."""
        spacing = np.asarray(self.equation.spacing)
        box = _box(self.equation.dim, {1: 33, 2: 9, 3: 5}[self.equation.dim])
        while width > 1e-9:
            points = np.clip(critical * spacing + width * box, -math.pi, math.pi)
            # Waves too long to evaluate are drawn back along their direction, which so goes on being refined.
            length = np.abs(points).max(axis=1, keepdims=True)
            points = points[length[:, 0] > 0]
            points = points * np.maximum(SHORTEST_PHASE / length[length[:, 0] > 0], 1) / spacing
            limits = self._limits_at(points)
            if (smallest := float(limits.min())) < best * (1 - 1e-12):
                critical, best = points[limits.argmin()], smallest
            width /= 4
        return np.asarray(critical), best

    def _towards_long_waves(
        self, critical: NDArray[np.float64], best: float
    ) -> tuple[NDArray[np.float64], float, bool]:
        """Extrapolate the limits of long waves to `ω → 0`, where that is less than the smallest found so far.

        There `dt*(ω) = dt*(0) + c |ω|^p + …`. Mostly `p = 2`, and two rounds of Richardson's extrapolation leave
        `O(ω⁶)`; any other power, which only schemes of higher order have, is left to Aitken's. What is less than the
        rounding of the values that it is made from is 0: every step amplifies waves that are long enough.
        """
        length = float((np.abs(critical) * self.equation.spacing).max())
        if length == 0:
            return critical, best, True
        # The waves that are lost first may be short ones, which say nothing of the direction of the long ones.
        box = _box(self.equation.dim, {1: 2, 2: 33, 3: 9}[self.equation.dim])
        surface = box[np.abs(box).max(axis=1) == 1] / np.asarray(self.equation.spacing)
        starts = SHORTEST_PHASE * np.concatenate([critical[None] / length, surface])
        limits = self._limits_at(starts)
        start, first = starts[limits.argmin()], float(limits.min())
        direction, _ = (start, first) if first > 1.05 * best else self._refine(start, first, SHORTEST_PHASE / 2)
        waves = direction * np.array([[1], [2], [4]])
        late, soon = self._limits_at(waves), self._limits_at(waves, at_worst=True)
        near, middle, far = late
        if not near < middle < far < math.inf:
            return critical, best, False
        share = 1 / ((far - middle) / (middle - near) - 1)  # 1 / (2^p - 1)
        limit = (64 * near - 20 * middle + far) / 45
        if abs(share - 1 / 3) > 0.02:
            limit = near - share * (middle - near)
        weights = np.array([(1 + share) ** 2, 2 * share * (1 + share), share**2])
        limit = limit if limit > weights @ (late - soon) else 0.0
        return (np.zeros_like(critical), float(limit), True) if limit < best else (critical, best, False)

    def _limits_at(self, frequencies: NDArray[np.float64], *, at_worst: bool = False) -> NDArray[np.float64]:
        """The step limit of each frequency, `(N, dim)` to `(N,)`; `at_worst` the least that rounding allows."""
        limits = np.full(len(frequencies), np.inf)
        for pencil, scale in self._pencils(frequencies):
            for condition in root_conditions(pencil):
                first = first_negative(condition.at_worst if at_worst else condition)
                limits = np.minimum(limits, np.where(scale > 0, first / np.where(scale > 0, scale, 1), np.inf))
        return limits

    def _scaled_symbols(self, omega: ArrayLike, dt: float) -> list[NDArray[np.complex128]]:
        """`z` at each frequency: one array, or two for a second-order equation stepped as a system."""
        symbol = self.symbol(omega, dt)
        if self.equation.time_order == self.scheme.time_order:
            return [dt**self.scheme.time_order * symbol]
        root = np.asarray(dt * np.sqrt(symbol), dtype=np.complex128)
        return [root, -root]

    def _pencils(self, frequencies: NDArray[np.float64]) -> list[tuple[NDArray[np.complex128], NDArray[np.float64]]]:
        """Coefficients of `g^j r^m`, shape `(N, k + 1, D + 1)`, and `scale` with `r = dt · scale`, per branch."""
        omega = frequencies[:, 0] if self.equation.dim == 1 else frequencies
        symbols = [term.symbol(omega) for term in self.equation.terms]
        order = self.scheme.time_order
        if order < self.equation.time_order:
            root: NDArray[np.complex128] = np.sqrt(symbols[0])
            branches: list[list[NDArray[np.complex128]]] = [[root], [-root]]
        else:
            branches = [symbols]
        pencils = []
        for branch in branches:
            scale = np.max([np.abs(s) ** (1 / (order + m)) for m, s in enumerate(branch)], axis=0)
            safe = np.where(scale > 0, scale, 1)
            z = np.zeros((len(frequencies), order + len(branch)), dtype=np.complex128)
            for m, values in enumerate(branch):
                z[:, order + m] = values / safe ** (order + m)
            pencils.append((_composed(self.scheme, z), scale))
        return pencils


def _box(dim: int, each: int) -> NDArray[np.float64]:
    """Points of the box from -1 to 1 along every axis, `each` of them along one, `(each^dim, dim)`."""
    trials = np.linspace(-1, 1, each)
    return np.stack(np.meshgrid(*[trials] * dim, indexing="ij"), axis=-1).reshape(-1, dim)


def _composed(scheme: TimeScheme, z_NR: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """`p_j(z(r))` as polynomials in `r`: Horner's rule on coefficient arrays."""
    degree = max(len(p) for p in scheme.polynomials) - 1
    length = degree * (z_NR.shape[1] - 1) + 1
    result = np.zeros((len(z_NR), scheme.steps + 1, length), dtype=np.complex128)
    for j, polynomial in enumerate(scheme.polynomials):
        value = np.zeros((len(z_NR), length), dtype=np.complex128)
        for coefficient in reversed(polynomial):
            shifted = np.zeros_like(value)
            for power in range(1, z_NR.shape[1]):
                shifted[:, power:] += z_NR[:, power, None] * value[:, : length - power]
            value = shifted
            value[:, 0] += coefficient
        result[:, j] = value
    return result


def _step(dt: float) -> float:
    if not (math.isfinite(dt) and dt > 0):
        raise LastbitError(f"time step dt = {dt} arrived: give a positive finite number")
    return float(dt)


def _repeated_on_circle(roots: NDArray[np.complex128]) -> bool:
    """Whether two roots of one polynomial meet on the unit circle."""
    on_circle = np.abs(roots) > 1 - 1e-6
    close = np.abs(roots[..., :, None] - roots[..., None, :]) < 1e-6
    pairs = close & on_circle[..., :, None] & on_circle[..., None, :]
    return bool((pairs.sum(axis=(-1, -2)) > on_circle.sum(axis=-1)).any())


def _shown(values: NDArray[np.float64], unit: str = "") -> str:
    text = ", ".join(unit if unit and value == 1 else f"{value:.6g}{unit}" for value in np.atleast_1d(values))
    return f"({text})" if np.size(values) > 1 else text
