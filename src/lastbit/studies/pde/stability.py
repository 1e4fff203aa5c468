"""Which steps and weight decays are stable: of a classical problem by von Neumann's analysis, of the CNN by regime.

Deep networks have a file of their own, `deep.py`; `pde_stability` answers for all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError, choose
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
from lastbit.report.formatting import bound
from lastbit.studies.pde.deep import DeepStability, pde_deep
from lastbit.studies.pde.figures import new_figure, save
from lastbit.studies.pde.setting import CnnSetting, Progress, cnn_setting

if TYPE_CHECKING:
    from lastbit.pde.linear import Analysis

__all__ = ["CnnStability", "LinearStability", "pde_stability"]

_NAMES = {"activated": "activated", "transitioning": "transitioning", "not_activated": "not activated"}
_SUPPORTS = {"full_support": "full support", "windowed": "windowed"}


@dataclass(frozen=True, eq=False)
class CnnStability:
    """Stable weight decays of the three linear regimes at one step."""

    setting: CnnSetting
    dt: float
    weight_decay: float | None
    bounds: dict[str, dict[str, RegimeStability]]
    simulated: SimulatedBounds | None

    @property
    def answer(self) -> RegimeStability:
        """The transitioning regime with the window: where simulations of the linear flow turn."""
        return self.bounds["transitioning"]["windowed"]

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        one, step = self.answer, bound(self.answer.max_stable_dt, 6)
        where = f"at dt = {self.dt:g}, where the network transitions (windowed)"
        if self.weight_decay is not None:
            if one.stable:
                return f"Weight decay {self.weight_decay:g} is stable {where}, for steps up to {step}."
            if self.weight_decay < one.alpha_min:
                return (
                    f"Weight decay {self.weight_decay:g} is unstable {where}: below {one.alpha_min:.6g} a mode grows "
                    "at any step."
                )
            return (
                f"Weight decay {self.weight_decay:g} is unstable {where}: above {one.alpha_max:.6g} the step is too "
                f"long; up to {step} is stable."
            )
        if one.alpha_max < one.alpha_min:
            return (
                f"No weight decay is stable {where}: some is for steps up to {step} only "
                f"(lower end {one.alpha_min:.6g}, upper end {one.alpha_max:.6g})."
            )
        return f"Weight decays from {one.alpha_min:.6g} to {one.alpha_max:.6g} are stable {where}."

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows."""
        rows = [
            [
                _NAMES[regime],
                _SUPPORTS[support],
                f"{one.alpha_min:.6g}",
                f"{one.alpha_max:.6g}",
                bound(one.max_stable_dt, 6),
            ]
            for regime, by_support in self.bounds.items()
            for support, one in by_support.items()
        ]
        if self.simulated is not None:
            found = self.simulated
            rows.append(["transitioning", "simulated", f"{found.alpha_min:.6g}", f"{found.alpha_max:.6g}", ""])
        return ["regime", "support", "alpha min", "alpha max", "max stable dt"], rows

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; the top level is the transitioning regime, windowed."""
        by_regime = {regime: {s: one.to_json() for s, one in both.items()} for regime, both in self.bounds.items()}
        found = self.simulated
        return {
            "problem": "cnn",
            "sentence": self.sentence,
            **self.setting.model_dump(),
            "dt": self.dt,
            "weight_decay": self.weight_decay,
            **{key: self.answer.to_json()[key] for key in ("alpha_min", "alpha_max", "max_stable_dt", "stable")},
            **by_regime["transitioning"],
            "regimes": by_regime,
            "simulated": None if found is None else {"alpha_min": found.alpha_min, "alpha_max": found.alpha_max},
        }

    def plot(self, path: str | Path) -> None:
        """Draw the stable weight decays against the step, per regime, windowed and with full support.

        Raises:
            LastbitError: an ending that is no figure's, or a file that cannot be written.
        """
        import numpy as np

        limit = self.setting.time_scheme().step_limit()
        figure = new_figure(9.6, 3.4)
        steps = self.dt * np.logspace(-1.5, 1.5, 241)
        for axes, regime in zip(figure.subplots(1, 3, sharey=True), REGIMES, strict=True):
            looks = {
                "windowed": {"color": "#3b6fb6", "alpha": 0.4, "lw": 0},
                "full_support": {"facecolor": "none", "edgecolor": "#5a3a00", "hatch": "////", "lw": 0.6},
            }
            for support, look in looks.items():
                spectrum = self.bounds[regime][support].spectrum
                low, high = np.full_like(steps, -spectrum.low), limit / steps - spectrum.high
                axes.fill_between(steps, low, high, where=high >= low, label=_SUPPORTS[support], **look)
            axes.axvline(self.dt, color="black", lw=0.8, ls=":")
            if self.weight_decay is not None:
                axes.plot([self.dt], [self.weight_decay], "kx")
            axes.set_xscale("log")
            axes.set_yscale("symlog", linthresh=max(1e-3 * limit / self.dt, 1e-300))
            axes.set_title(_NAMES[regime], fontsize=10)
            axes.set_xlabel("step dt")
        figure.axes[0].set_ylabel("weight decay alpha")
        figure.axes[1].legend(title="stable", frameon=False, fontsize=8, title_fontsize=8)
        figure.suptitle(self.setting.words, fontsize=9)
        save(figure, path)


@dataclass(frozen=True, eq=False)
class LinearStability:
    """The stability of a classical problem under a scheme."""

    analysis: Analysis

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        return self.analysis.sentence

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows."""
        facts = self.analysis.to_json()
        shown = ("equation", "scheme", "dx", "max_stable_dt", "closed_form_formula", "critical_frequency", "note")
        rows = [[key.replace("_", " "), _text(facts[key])] for key in shown if facts[key] is not None]
        return ["", self.analysis.problem], rows

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return self.analysis.to_json()

    def plot(self, path: str | Path) -> None:
        """Draw amplification factor and stability region.

        Raises:
            LastbitError: an ending that is no figure's.
        """
        self.analysis.plot(path)


def pde_stability(
    problem: str = "cnn",
    *,
    dt: float | None = None,
    weight_decay: float | None = None,
    check: bool = False,
    gauss_newton: bool = False,
    dx: float = 1.0,
    dim: int = 1,
    progress: Progress | None = None,
    **settings: Any,
) -> CnnStability | DeepStability | LinearStability:
    """Say which steps, and for networks which weight decays, are stable.

    Args:
        problem: `"cnn"`, `"deep"` (see `pde_deep`), or a built-in problem of `lastbit.pde.linear`.
        dt: step (learning rate) the CNN's weight decays are for, and that a deep network is judged at.
        weight_decay: of the CNN: what `max_stable_dt` is for; of a deep network: its decay, 0 when None.
        check: of the CNN: bisect both ends on simulations of the linear flow too.
        gauss_newton: of the CNN: keep the Gauss-Newton term in the transitioning regime.
        dx: grid spacing of a classical problem.
        dim: number of its dimensions.
        progress: called with (spectra done, spectra) of a deep network; the other problems are quick.
        **settings: fields of `CnnSetting`, of `DeepSetting`, or `scheme` and parameters of the classical problem.

    Raises:
        LastbitError: a problem or setting that cannot be, in one line.

    Example:
        >>> pde_stability("heat", dx=0.5).analysis.max_stable_dt
        0.125
        >>> found = pde_stability("cnn", dt=1e-3, image_size=32, kernel=4, pooling="sum")
        >>> round(found.answer.alpha_min), round(found.answer.alpha_max)
        (3364, 2000)
    """
    if problem == "deep":
        if check or gauss_newton:
            raise LastbitError("check and gauss_newton belong to the one-layer CNN: leave them out for deep")
        decay = {} if weight_decay is None else {"weight_decay": weight_decay}
        return pde_deep(dt=dt, progress=progress, **decay, **settings)
    if problem != "cnn":
        from lastbit.pde.linear import PROBLEMS, analyse

        choose(problem, ["cnn", "deep", *PROBLEMS], "problem")
        return LinearStability(analyse(problem, dx=dx, dim=dim, **settings))
    if dt is None:
        raise LastbitError("the stable weight decays depend on the step: give --dt (the learning rate)")
    setting = cnn_setting(**settings)
    cnn, scheme = setting.problem(), setting.time_scheme()
    bounds = regime_stability(cnn, dt=dt, weight_decay=weight_decay, scheme=scheme, gauss_newton=gauss_newton)
    simulated = _simulate(cnn, setting, dt, gauss_newton) if check else None
    return CnnStability(setting, dt, weight_decay, bounds, simulated)


def _simulate(cnn: CnnProblem, setting: CnnSetting, dt: float, gauss_newton: bool) -> SimulatedBounds:
    J = linearise_regime(cnn, "transitioning", gauss_newton=gauss_newton)
    ends = extreme_eigenpairs(J, (1, *cnn.kernel_shape), like=cnn.images_BCHW, tolerance=1e-6)
    reach = 2 * max(abs(float(ends.low_M[0])), abs(float(ends.high_M[0]))) + 8 / dt
    low, high = ends.low_vector_MCnm[0], ends.high_vector_MCnm[0]
    return simulated_bounds(J, low, high, dt=dt, scheme=setting.time_scheme(), reach=reach)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)
