"""What C6 measures: ends of stable weight decays, foretold from the spectrum and found by stepping the linear PDE."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from lastbit.pde.cnn.flow import CnnFlow
from lastbit.pde.cnn.images import make_image
from lastbit.pde.cnn.linear_flow import linear_path, simulated_bounds
from lastbit.pde.cnn.linearisation import linearise_regime
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels
from lastbit.pde.cnn.regimes import RegimeStability, regime_stability
from lastbit.pde.cnn.simulation import norms

__all__ = ["FIGURE_STEPS", "SETTINGS", "Setting", "losses", "simulated_ends", "steps_of"]

FIGURE_STEPS = 100

_START_SEED, _START_SIZE = 7, 1e-3

_RTOL = 1e-3
"""Width of a bracket, relative to the end."""


class Setting(NamedTuple):
    """One linear PDE: `steps` are those of a trial, enough for the worst mode to outgrow the rest of a random start."""

    image: str
    size: int
    kernel: int
    label: float
    dt: float
    steps: int = 1000
    channels: int = 1
    pooling: str = "mean"

    @property
    def full_support(self) -> bool:
        """Whether the kernel covers the periodic image."""
        return self.kernel == self.size

    @property
    def words(self) -> str:
        """The image and what the kernel covers of it."""
        covers = "all of it" if self.full_support else f"window {self.kernel} x {self.kernel}"
        channels = f" of {self.channels} channels" if self.channels > 1 else ""
        return f"{self.image} {self.size} x {self.size}{channels}, {covers}"


_CHECKERBOARDS = (
    Setting("checkerboard", 256, 256, 1.0, dt=6.5e-10, steps=20, pooling="sum"),
    Setting("checkerboard", 256, 32, 1.0, dt=1e-8, steps=160, pooling="sum"),
)

_SMALL = (
    *_CHECKERBOARDS,
    Setting("noise", 16, 16, 1.0, dt=0.5),
    # The smallest of 256 symbols lies near the next, which is slow to be outgrown.
    Setting("noise", 16, 16, 0.0, dt=0.5, steps=4000),
    *(Setting("noise", 40, 4, label, dt=2.0) for label in (1.0, 0.0)),
    Setting("noise", 40, 4, 1.0, dt=1.0, channels=3),
)

_MEDIUM = (
    *_SMALL,
    *(Setting("noise", 32, 32, label, dt=0.4, steps=steps) for label, steps in ((1.0, 2000), (0.0, 10_000))),
    *(Setting("noise", 96, 8, label, dt=2.0, steps=4000) for label in (1.0, 0.0)),
)

SETTINGS: Mapping[str, Sequence[Setting]] = {
    "small": _SMALL,
    "medium": _MEDIUM,
    "full": (
        *_MEDIUM,
        Setting("checkerboard", 512, 32, 1.0, dt=2e-9, steps=100, pooling="sum"),
        *(Setting("noise", 256, 16, label, dt=2.0, steps=10_000) for label in (1.0, 0.0)),
    ),
}
"""Of each scale; those of the checkerboard of 256 x 256 are the ones that were computed independently."""


def steps_of(settings: Sequence[Setting]) -> float:
    """Return how many steps of the flow, on an image of 64 x 64, cost as much as these settings."""
    rounds = 5
    trials = {one: 2 * (65 * min(one.steps, 40) + 8 * rounds * one.steps) for one in settings}
    # A kernel as large as the image takes full transforms both ways, and a spectrum of its own size.
    dear = {one: 2.5 if one.full_support else 1.0 for one in settings}
    return sum(dear[one] * one.channels * (one.size / 64) ** 2 * count for one, count in trials.items())


def simulated_ends(setting: Setting) -> Mapping[str, Any]:
    """Return both ends of the stable weight decays, foretold and found, as data of a `Case`."""
    problem, bounds, stability = _parts(setting)
    J = linearise_regime(problem, "transitioning")
    start = initial_kernels(problem, (_START_SEED,))[0]
    start = start / torch.linalg.vector_norm(start)
    found = simulated_bounds(J, start, start, dt=setting.dt, steps=setting.steps, rtol=_RTOL)
    of = f"{setting.words}, label {int(setting.label)}"
    # An end of zero has no relative deviation: where one is below a tenth of 1/dt, that is the scale.
    ends = {
        name: {"what": f"{name} end ({of})", "foretold": end, "low": low, "high": high, "scale": max(abs(end), floor)}
        for floor in (0.1 / setting.dt,)
        for name, end, (low, high) in (
            ("lower", bounds.alpha_min, found.alpha_min_range),
            ("upper", bounds.alpha_max, found.alpha_max_range),
        )
    }
    return {
        "image": setting.words,
        "label": setting.label,
        "full_support": setting.full_support,
        "dt": setting.dt,
        **ends,
        "fourier_lower": stability["full_support"].alpha_min,
    }


def losses(settings: Sequence[Setting]) -> Mapping[str, Sequence[float]]:
    """Return the loss at each step of the linear PDE for a weight decay below, between and above the bounds.

    It is the network's cross-entropy with its weight decay term, at the kernels of the linear PDE.
    """
    setting = next(one for one in settings if not one.full_support)
    problem, bounds, _ = _parts(setting)
    low, high = bounds.alpha_min, bounds.alpha_max
    decays = {
        "half the lower bound": low / 2,
        "a value between": math.sqrt(low * high),
        "1.02 upper bound": 1.02 * high,
    }
    flow, decay_M = CnnFlow(problem), torch.tensor(list(decays.values()), dtype=torch.float64)
    start = initial_kernels(problem, (_START_SEED,), scale=_START_SIZE)
    at_zero = flow.gradient(torch.zeros_like(start))[0]
    path = linear_path(
        linearise_regime(problem, "transitioning"),
        start.expand(len(decays), *start.shape[1:]),
        dt=setting.dt,
        weight_decay_M=decay_M,
        source_MCnm=at_zero,
        steps=FIGURE_STEPS,
    )
    loss_TM = torch.stack([flow.gradient(kernel)[1] + decay_M / 2 * norms(kernel).square() for kernel in path])
    return dict(zip(decays, loss_TM.T.tolist(), strict=True))


def _parts(setting: Setting) -> tuple[CnnProblem, RegimeStability, Mapping[str, RegimeStability]]:
    """Return the problem, its bounds, and the bounds for both kinds of support."""
    image = make_image(setting.image, size=setting.size, channels=setting.channels, seed=1)
    boundary = "periodic" if setting.full_support else "valid"
    problem = CnnProblem.of(
        image, kernel=setting.kernel, label=setting.label, pooling=setting.pooling, boundary=boundary
    )
    both = regime_stability(problem, dt=setting.dt)["transitioning"]
    return problem, both["full_support" if setting.full_support else "windowed"], both
