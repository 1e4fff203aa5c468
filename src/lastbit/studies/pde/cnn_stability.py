"""Stable weight decays of the one-layer CNN in its three linear regimes, at one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lastbit.pde import descent_scheme
from lastbit.pde.cnn.activation import REGIMES
from lastbit.pde.cnn.linear_flow import SimulatedBounds, simulated_bounds
from lastbit.pde.cnn.linearisation import linearise_regime
from lastbit.pde.cnn.regimes import RegimeStability, regime_stability
from lastbit.pde.lanczos import extreme_eigenpairs
from lastbit.report.blocks import Table
from lastbit.report.formatting import bound, number
from lastbit.studies.pde.cnn_problem import CnnResult, cnn_problem
from lastbit.studies.pde.measured import CnnBounds, RegimeEnds
from lastbit.studies.pde.result import table_of
from lastbit.studies.pde.settings import CnnStabilitySettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CnnStability", "cnn_stability"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CnnStability(CnnResult):
    """Stable weight decays of the three linear regimes at one step.

    Attributes:
        bounds: `[regime][support]`.
        simulated: both ends found by stepping the worst modes, where that was asked for.
    """

    kind: ClassVar[str] = "pde stability"
    figure_size: ClassVar[tuple[float, float]] = (9.6, 3.4)
    forms: ClassVar[tuple[type, ...]] = (CnnStabilitySettings, CnnBounds)
    settings: CnnStabilitySettings
    bounds: dict[str, dict[str, RegimeStability]]
    simulated: SimulatedBounds | None

    @property
    def answer(self) -> RegimeStability:
        """The transitioning regime with the window: where simulations of the linear flow turn."""
        return self.bounds["transitioning"]["windowed"]

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        one, decay = self.answer, self.settings.weight_decay
        where = f"at dt = {number(one.dt, 6)}, where the network transitions (windowed)"
        low, high, longest = number(one.alpha_min, 6), number(one.alpha_max, 6), bound(one.max_stable_dt, 6)
        if decay is None:
            if one.alpha_max < one.alpha_min:
                return (
                    f"No weight decay is stable {where}: some is for steps up to {longest} only "
                    f"(lower end {low}, upper end {high})."
                )
            return f"Weight decays from {low} to {high} are stable {where}."
        if one.stable:
            steps = "any step" if longest == "any" else f"steps up to {longest}"
            return f"Weight decay {number(decay, 6)} is stable {where}, for {steps}."
        cause = f"below {low} a mode grows at any step"
        if decay >= one.alpha_min:
            cause = f"above {high} the step is too long; up to {longest} is stable"
        return f"Weight decay {number(decay, 6)} is unstable {where}: {cause}."

    @property
    def verdict_kind(self) -> str:
        """`stable` or `unstable`: the weight decay, or where none was given whether any is."""
        one = self.answer
        return "stable" if (one.alpha_max >= one.alpha_min if one.stable is None else one.stable) else "unstable"

    @property
    def table(self) -> Table:
        """The bounds by regime and support."""
        rows = [
            [_words(regime), _words(support), *_ends(one), bound(one.max_stable_dt, 6)]
            for regime, by_support in self.bounds.items()
            for support, one in by_support.items()
        ]
        if self.simulated is not None:
            rows.append(["transitioning", "simulated", *_ends(self.simulated), ""])
        return table_of(("regime", "support"), ("alpha min", "alpha max", "max stable dt"), rows)

    def measured(self) -> Sequence[Any]:
        """Return the bounds; the top level is the transitioning regime, windowed."""
        regimes = {
            regime: {support: _regime_ends(one) for support, one in by_support.items()}
            for regime, by_support in self.bounds.items()
        }
        answer = self.answer
        found = CnnBounds(
            alpha_min=answer.alpha_min,
            alpha_max=answer.alpha_max,
            max_stable_dt=answer.max_stable_dt,
            stable=answer.stable,
            windowed=regimes["transitioning"]["windowed"],
            full_support=regimes["transitioning"]["full_support"],
            regimes=regimes,
            simulated=self.simulated,
        )
        return (found,)

    def draw_on(self, figure: Figure) -> None:
        """Draw the stable weight decays against the step, per regime, windowed and with full support."""
        dt, decay = self.settings.dt, self.settings.weight_decay
        limit = self.limit
        steps = dt * np.logspace(-1.5, 1.5, 241)
        for axes, regime in zip(figure.subplots(1, 3, sharey=True), REGIMES, strict=True):
            looks = {
                "windowed": {"color": "#3b6fb6", "alpha": 0.4, "lw": 0},
                "full_support": {"facecolor": "none", "edgecolor": "#5a3a00", "hatch": "////", "lw": 0.6},
            }
            for support, look in looks.items():
                spectrum = self.bounds[regime][support].spectrum
                low, high = np.full_like(steps, -spectrum.low), limit / steps - spectrum.high
                axes.fill_between(steps, low, high, where=high >= low, label=f"stable, {_words(support)}", **look)
            axes.axvline(dt, color="black", lw=0.8, ls=":", label=f"dt = {number(dt)}")
            if decay is not None:
                axes.plot([dt], [decay], "kx", label=f"weight decay = {number(decay)}")
            axes.set_xscale("log")
            axes.set_yscale("symlog", linthresh=max(1e-3 * limit / dt, 1e-300))
            axes.set_title(_words(regime), fontsize=10)
            axes.set_xlabel("step dt")
        figure.axes[0].set_ylabel("weight decay alpha")
        figure.axes[1].legend(frameon=False, fontsize=7)
        figure.suptitle(self.words, fontsize=9)


def cnn_stability(settings: CnnStabilitySettings) -> CnnStability:
    """Return the bounds of all three regimes."""
    problem, dt = cnn_problem(settings), settings.dt
    scheme, gauss_newton = descent_scheme(settings.scheme, settings.momentum), settings.gauss_newton
    decay = settings.weight_decay
    bounds = regime_stability(problem, dt=dt, weight_decay=decay, scheme=scheme, gauss_newton=gauss_newton)
    simulated = None
    if settings.check:
        J = linearise_regime(problem, "transitioning", gauss_newton=gauss_newton)
        ends = extreme_eigenpairs(J, (1, *problem.kernel_shape), like=problem.images_BCHW, tolerance=1e-6)
        reach = 2 * max(abs(float(ends.low_M[0])), abs(float(ends.high_M[0]))) + 8 / dt
        low, high = ends.low_vector_MCnm[0], ends.high_vector_MCnm[0]
        simulated = simulated_bounds(J, low, high, dt=dt, scheme=scheme, reach=reach)
    return CnnStability(settings=settings, bounds=bounds, simulated=simulated)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _ends(one: RegimeStability | SimulatedBounds) -> tuple[str, str]:
    return number(one.alpha_min, 6), number(one.alpha_max, 6)


def _regime_ends(one: RegimeStability) -> RegimeEnds:
    ends = one.spectrum
    return RegimeEnds(
        alpha_min=one.alpha_min,
        alpha_max=one.alpha_max,
        max_stable_dt=one.max_stable_dt,
        stable=one.stable,
        eigenvalue_min=ends.low,
        eigenvalue_max=ends.high,
        residual=ends.residual,
        converged=ends.converged,
    )
