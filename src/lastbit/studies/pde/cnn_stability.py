"""Stable weight decays of the one-layer CNN in its three linear regimes, at one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lastbit.pde.cnn import (
    REGIMES,
    CnnProblem,
    RegimeStability,
    SimulatedBounds,
    linearise_regime,
    regime_stability,
    simulated_bounds,
)
from lastbit.pde.lanczos import extreme_eigenpairs
from lastbit.report.blocks import Column, Row, Table
from lastbit.report.formatting import bound, number
from lastbit.studies.pde.cnn_problem import cnn_problem, cnn_words, time_scheme
from lastbit.studies.pde.result import PdeResult, new_figure
from lastbit.studies.pde.settings import CnnStabilitySettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CnnStability", "cnn_stability"]

_NAMES = {"activated": "activated", "transitioning": "transitioning", "not_activated": "not activated"}
_SUPPORTS = {"full_support": "full support", "windowed": "windowed"}


@dataclass(frozen=True, kw_only=True, eq=False)
class CnnStability(PdeResult):
    """Stable weight decays of the three linear regimes at one step.

    Attributes:
        bounds: `[regime][support]`.
        simulated: both ends found by stepping the worst modes, where that was asked for.
    """

    kind: ClassVar[str] = "pde stability"
    settings: CnnStabilitySettings
    bounds: dict[str, dict[str, RegimeStability]]
    simulated: SimulatedBounds | None

    @property
    def answer(self) -> RegimeStability:
        """The transitioning regime with the window: where simulations of the linear flow turn."""
        return self.bounds["transitioning"]["windowed"]

    @property
    def words(self) -> str:
        """The network in a few words."""
        return cnn_words(self.settings)

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
            Row([_NAMES[regime], _SUPPORTS[support], *_ends(one), bound(one.max_stable_dt, 6)])
            for regime, by_support in self.bounds.items()
            for support, one in by_support.items()
        ]
        if self.simulated is not None:
            rows.append(Row(["transitioning", "simulated", *_ends(self.simulated), ""]))
        numbers = [Column(title, True) for title in ("alpha min", "alpha max", "max stable dt")]
        return Table([Column("regime"), Column("support"), *numbers], rows)

    def measured(self) -> dict[str, Any]:
        """Return the bounds; the top level is the transitioning regime, windowed."""
        regimes = {
            regime: {support: _plain(one) for support, one in by_support.items()}
            for regime, by_support in self.bounds.items()
        }
        answer, found = regimes["transitioning"]["windowed"], self.simulated
        return {
            **{name: answer[name] for name in ("alpha_min", "alpha_max", "max_stable_dt", "stable")},
            **regimes["transitioning"],
            "regimes": regimes,
            "simulated": None if found is None else {"alpha_min": found.alpha_min, "alpha_max": found.alpha_max},
        }

    def draw(self) -> Figure:
        """Draw the stable weight decays against the step, per regime, windowed and with full support."""
        dt, decay = self.settings.dt, self.settings.weight_decay
        limit = time_scheme(self.settings).step_limit()
        figure = new_figure(9.6, 3.4)
        steps = dt * np.logspace(-1.5, 1.5, 241)
        for axes, regime in zip(figure.subplots(1, 3, sharey=True), REGIMES, strict=True):
            looks = {
                "windowed": {"color": "#3b6fb6", "alpha": 0.4, "lw": 0},
                "full_support": {"facecolor": "none", "edgecolor": "#5a3a00", "hatch": "////", "lw": 0.6},
            }
            for support, look in looks.items():
                spectrum = self.bounds[regime][support].spectrum
                low, high = np.full_like(steps, -spectrum.low), limit / steps - spectrum.high
                axes.fill_between(steps, low, high, where=high >= low, label=_SUPPORTS[support], **look)
            axes.axvline(dt, color="black", lw=0.8, ls=":")
            if decay is not None:
                axes.plot([dt], [decay], "kx")
            axes.set_xscale("log")
            axes.set_yscale("symlog", linthresh=max(1e-3 * limit / dt, 1e-300))
            axes.set_title(_NAMES[regime], fontsize=10)
            axes.set_xlabel("step dt")
        figure.axes[0].set_ylabel("weight decay alpha")
        figure.axes[1].legend(title="stable", frameon=False, fontsize=8, title_fontsize=8)
        figure.suptitle(self.words, fontsize=9)
        return figure


def cnn_stability(settings: CnnStabilitySettings) -> CnnStability:
    """Return the bounds of all three regimes."""
    problem = cnn_problem(settings)
    bounds = regime_stability(
        problem,
        dt=settings.dt,
        weight_decay=settings.weight_decay,
        scheme=time_scheme(settings),
        gauss_newton=settings.gauss_newton,
    )
    simulated = _simulated(problem, settings) if settings.check else None
    return CnnStability(settings=settings, bounds=bounds, simulated=simulated)


def _simulated(problem: CnnProblem, settings: CnnStabilitySettings) -> SimulatedBounds:
    J = linearise_regime(problem, "transitioning", gauss_newton=settings.gauss_newton)
    ends = extreme_eigenpairs(J, (1, *problem.kernel_shape), like=problem.images_BCHW, tolerance=1e-6)
    reach = 2 * max(abs(float(ends.low_M[0])), abs(float(ends.high_M[0]))) + 8 / settings.dt
    low, high = ends.low_vector_MCnm[0], ends.high_vector_MCnm[0]
    return simulated_bounds(J, low, high, dt=settings.dt, scheme=time_scheme(settings), reach=reach)


def _ends(one: RegimeStability | SimulatedBounds) -> tuple[str, str]:
    return number(one.alpha_min, 6), number(one.alpha_max, 6)


def _plain(one: RegimeStability) -> dict[str, Any]:
    return {
        "alpha_min": one.alpha_min,
        "alpha_max": one.alpha_max,
        "max_stable_dt": one.max_stable_dt,
        "stable": one.stable,
        "eigenvalue_min": one.spectrum.low,
        "eigenvalue_max": one.spectrum.high,
        "residual": one.spectrum.residual,
        "converged": one.spectrum.converged,
    }
