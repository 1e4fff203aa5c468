"""What C7 measures: the non-linear flow linearised by automatic differentiation, where each regime is all there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lastbit.pde.cnn.activation import REGIMES, inflection
from lastbit.pde.cnn.autodiff import activation_slopes, differentiated_hessian, pooled_gradient
from lastbit.pde.cnn.flow import CnnFlow
from lastbit.pde.cnn.images import white_noise
from lastbit.pde.cnn.linear_flow import simulated_bounds
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels
from lastbit.pde.cnn.regimes import RegimeStability, regime_stability

__all__ = ["SIZES", "Setting", "measured_regime", "settings_of", "slopes"]

SIZES: Mapping[str, tuple[int, int]] = {"small": (5, 1000), "medium": (8, 4000), "full": (50, 10_000)}
"""Kernels of each row, and steps of a trial, by scale: among more kernels are some whose worst mode outgrows the next
more slowly."""

_SHIFT = 5.0
"""Mean of an image whose positions all have the sign of the kernel's."""

_SHARP, _TINY = 1e7, 1e-5
"""A β so large that positions are activated at kernels so small that the pooled value, and s with it, stays at 0."""

_MEAN = 0.7
"""Of an image that does not vanish on average."""

_RTOL, _START_SEED = 1e-3, 99

_SHARE = 0.7
"""Of a step: its product with the largest eigenvalue, so that bounds move by a large part where an eigenvalue does."""


class Setting(NamedTuple):
    """A row of the table, a seed, and the steps of a trial; `mean` tells whether a transitioning image has one."""

    regime: str
    label: float
    mean: bool
    seed: int
    steps: int

    @property
    def words(self) -> str:
        """The regime and what is special about it."""
        image = ", image with a mean" if self.mean else ""
        return f"{self.regime.replace('_', ' ')}{image}, label {int(self.label)}"


def settings_of(scale: str) -> list[Setting]:
    """Return what is measured at a scale."""
    rows = [*((regime, label, False) for regime in REGIMES for label in (1.0, 0.0)), ("transitioning", 1.0, True)]
    kernels, steps = SIZES[scale]
    return [Setting(*row, seed, steps) for row in rows for seed in range(kernels)]


def measured_regime(setting: Setting) -> Mapping[str, Any]:
    """Return the bounds that the table foretells, and those of the flow as automatic differentiation linearises it."""
    problem, kernel = _place(setting)
    hessian = differentiated_hessian(problem, kernel)
    along = pooled_gradient(problem, kernel)
    spectrum = _bounds(problem, setting, 1.0).spectrum
    dt = _SHARE / max(abs(spectrum.low), abs(spectrum.high), _SHARE)
    bounds = _bounds(problem, setting, dt)
    start = initial_kernels(problem, (_START_SEED,))[0]
    start = start / torch.linalg.vector_norm(start)

    def stepped(v: Tensor) -> Tensor:
        return (v.flatten(1) @ hessian).reshape(v.shape)

    found = simulated_bounds(stepped, start, start, dt=dt, steps=setting.steps, rtol=_RTOL)
    return {
        "regime": setting.regime,
        "label": setting.label,
        "mean": setting.mean,
        "words": setting.words,
        "share": float(CnnFlow(problem).regime_shares(kernel[None])[0, REGIMES.index(setting.regime)]),
        "coefficient": _coefficient(setting, hessian, along),
        "dt": dt,
        "foretold": [bounds.alpha_min, bounds.alpha_max],
        "published": _published(setting, bounds, along),
        "lower": found.alpha_min_range,
        "upper": found.alpha_max_range,
    }


def slopes(points: int = 161) -> Mapping[str, Any]:
    """Return the swish's first two derivatives by automatic differentiation, and where regimes part."""
    t = torch.linspace(-8, 8, points, dtype=torch.float64)
    first, second = activation_slopes(t, 1.0)
    return {"t": t.tolist(), "first": first.tolist(), "second": second.tolist(), "edge": inflection()}


def _place(setting: Setting) -> tuple[CnnProblem, Tensor]:
    """Return a problem and a kernel at which every position is in the regime, and the pooled value near 0."""
    noise = white_noise(6 if setting.regime == "transitioning" and not setting.mean else 12, seed=setting.seed)
    if setting.regime == "transitioning":
        image = noise - noise.mean() + (_MEAN if setting.mean else 0.0)
        # Without a mean the kernel covers the periodic image, for which the published bounds are meant.
        window = 3 if setting.mean else image.shape[-1]
        problem = CnnProblem.of(image, kernel=window, label=setting.label, boundary="periodic")
        return problem, initial_kernels(problem, (setting.seed,), scale=1e-9)[0]
    sign = 1.0 if setting.regime == "activated" else -1.0
    problem = CnnProblem.of(noise.abs() + _SHIFT, kernel=3, label=setting.label, beta=_SHARP)
    return problem, sign * _TINY * (1 + 0.01 * initial_kernels(problem, (setting.seed,))[0])


def _bounds(problem: CnnProblem, setting: Setting, dt: float) -> RegimeStability:
    return regime_stability(problem, dt=dt, gauss_newton=setting.mean)[setting.regime]["windowed"]


def _coefficient(setting: Setting, hessian: Tensor, along: Tensor) -> float | None:
    """Return the factor of the mean image's square in the activated regime: `g H g / |g|^4`, g the gradient of p."""
    if setting.regime != "activated":
        return None
    return float(along @ hessian @ along / (along @ along).square())


def _published(setting: Setting, bounds: RegimeStability, along: Tensor) -> Sequence[float | None]:
    """Return the published bounds, lower and upper; None where there is none."""
    if setting.regime == "activated":
        return None, 2 / bounds.dt - float(along @ along) / 8
    return (bounds.alpha_min if setting.regime == "transitioning" else None), bounds.alpha_max
