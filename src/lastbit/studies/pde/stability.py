"""Which steps and weight decays are stable: the command, and its answer for a classical problem by von Neumann."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lastbit.core.config import Config, validated
from lastbit.core.errors import LastbitError, choose
from lastbit.core.keywords import keywords, takes
from lastbit.pde.linear.amplification import judge_step
from lastbit.pde.linear.region import draw_stability_region
from lastbit.report.blocks import Table
from lastbit.report.formatting import amplification, bound, capitalised, number
from lastbit.studies.pde.cnn_stability import CnnStability, cnn_stability
from lastbit.studies.pde.deep_stability import DeepStability, deep_stability
from lastbit.studies.pde.linear_problem import LinearResult, analysed
from lastbit.studies.pde.measured import LinearLimit
from lastbit.studies.pde.result import Progress, table_of
from lastbit.studies.pde.settings import (
    PROBLEMS,
    CnnStabilitySettings,
    DeepStabilitySettings,
    LinearStabilitySettings,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LinearStability", "pde_stability"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearStability(LinearResult):
    """The stability of a classical problem under a scheme."""

    kind: ClassVar[str] = "pde stability"
    forms: ClassVar[tuple[type, ...]] = (LinearStabilitySettings, LinearLimit)
    settings: LinearStabilitySettings

    @property
    def verdict(self) -> str:
        """The answer in one sentence: yes or no where a step was asked about."""
        one, judged = self.analysis, self.judgement
        if judged is not None:
            answer, is_stable = ("Yes", "is stable") if judged.stable else ("No", "is not stable")
            return f"{answer}: dt = {number(judged.dt, 10)} {is_stable} for {self.words}: {self.step_words}."
        if self.verdict_kind != "conditional":
            return f"{capitalised(self.words)}: {one.note}."
        relation = "≤" if one.attained else "<"
        return f"{capitalised(self.words)} is stable for dt {relation} {number(one.max_stable_dt, 10)}; {one.note}."

    @property
    def verdict_kind(self) -> str:
        """Of a step that was asked about `stable` or `unstable`.

        Else `conditional` where steps are stable up to a limit, `stable` where all are, `unstable` where none is.
        """
        if self.judgement is not None:
            return "stable" if self.judgement.stable else "unstable"
        return {0.0: "unstable", math.inf: "stable"}.get(self.analysis.max_stable_dt, "conditional")

    @property
    def table(self) -> Table:
        """The problem, the scheme, the limit and where it comes from."""
        one = self.analysis
        waves = one.critical_frequency
        judged = self.judgement
        asked = (
            [("dt", number(judged.dt, 10)), ("amplification per step", amplification(judged.amplification))]
            if judged
            else []
        )
        rows = [
            ("equation", one.equation),
            ("scheme", one.scheme),
            ("dx", number(one.dx, 10)),
            *self.parameters,
            *asked,
            ("max stable dt", bound(one.max_stable_dt, 10)),
            ("closed form formula", one.closed_form_formula),
            ("critical frequency", None if waves is None else ", ".join(number(value, 10) for value in waves)),
            ("note", one.note),
        ]
        return table_of(("", one.problem), (), ((name, text) for name, text in rows if text is not None))

    def measured(self) -> Sequence[Any]:
        """Return the analysis, and `stable_for_every_step`."""
        one, judged = self.analysis, self.judgement
        found = LinearLimit(
            equation=one.equation,
            parameters=one.parameters,
            max_stable_dt=one.max_stable_dt,
            attained=one.attained,
            critical_frequency=one.critical_frequency,
            closed_form=one.closed_form,
            closed_form_formula=one.closed_form_formula,
            note=one.note,
            stable_for_every_step=math.isinf(one.max_stable_dt),
            stable=None if judged is None else judged.stable,
            amplification_per_step=None if judged is None else judged.amplification,
            amplified_frequency=None if judged is None else judged.frequency,
        )
        return (found,)

    def draw_on(self, figure: Figure) -> None:
        """Draw `|g|` along the diagonal of frequencies for steps around the limit, and the stability region."""
        one = self.analysis
        omega = np.linspace(0, math.pi / one.dx, 257)
        waves = omega if one.dim == 1 else np.repeat(omega[:, None], one.dim, axis=1)
        limit = one.max_stable_dt
        if limit == 0 or math.isinf(limit):
            scale = float(np.abs(one.von_neumann.symbol(waves)).max())
            reference = 1 / (scale if one.von_neumann.equation.time_order == 1 else math.sqrt(scale))
            steps = [0.1 * reference, reference, 10 * reference] if math.isinf(limit) else [0.1 * reference, reference]
        else:
            reference, steps = limit, [0.9 * limit, limit, 1.1 * limit]
        left, right = figure.subplots(1, 2)
        shades = ("#2b6cb0", "#4a5568", "#c2410c")
        for dt, colour, style in zip(steps, shades, (":", "-", "--"), strict=False):
            factor = one.von_neumann.amplification_factor(waves, dt)
            left.plot(omega * one.dx, factor, style, color=colour, label=f"dt = {number(dt)}")
        left.axhline(1, color="0.6", linewidth=0.8, label="neither grows nor decays")
        left.set(xlabel="ω dx (every axis)" if one.dim > 1 else "ω dx", ylabel="|g|, amplification per step")
        left.set_xticks([0, math.pi / 2, math.pi], ["0", "π/2", "π"])
        left.legend(frameon=False, fontsize=7)
        draw_stability_region(right, one.von_neumann.scheme, one.von_neumann.scaled_symbol(waves, reference))
        right.legend(fontsize=7, loc="upper right", framealpha=0.9)
        right.set_title(f"stability region, ω at dt = {number(reference)}", fontsize=9)
        left.set_title(f"{one.problem}, {one.scheme}, {one.dim}-D, dx = {number(one.dx, 6)}", fontsize=9)


@takes(keywords(CnnStabilitySettings, DeepStabilitySettings, LinearStabilitySettings))
def pde_stability(
    problem: str = "cnn", *, progress: Progress | None = None, **settings: Any
) -> CnnStability | DeepStability | LinearStability:
    """Say which steps, and for networks which weight decays, are stable.

    Args:
        problem: `"cnn"`, `"deep"`, or a classical problem of `lastbit.pde.linear`; it takes its own settings alone.
        **settings: fields of `CnnStabilitySettings`, `DeepStabilitySettings` or `LinearStabilitySettings`.
        progress: called with (spectra done, spectra) for a deep network; the other problems are quick.

    Raises:
        LastbitError: a problem or setting that cannot be, in one line.

    Example:
        >>> pde_stability("heat", dx=0.5).analysis.max_stable_dt
        0.125
        >>> found = pde_stability("cnn", dt=1e-3, image_size=32, kernel=4, pooling="sum")
        >>> round(found.answer.alpha_min), round(found.answer.alpha_max)
        (3364, 2000)
    """
    choose(problem, PROBLEMS, "problem")
    kinds: dict[str, type[Config]] = {"cnn": CnnStabilitySettings, "deep": DeepStabilitySettings}
    config = kinds.get(problem, LinearStabilitySettings)
    others = {one.name for one in keywords(*kinds.values(), LinearStabilitySettings)}
    if wrong := [name for name in settings if name in others and name not in config.model_fields]:
        raise LastbitError(f"--{wrong[0].replace('_', '-')} says nothing about {problem}: leave it out")
    given = validated(config, settings, flag="--")
    if isinstance(given, CnnStabilitySettings):
        return cnn_stability(given)
    if isinstance(given, DeepStabilitySettings):
        return deep_stability(given, progress)
    assert isinstance(given, LinearStabilitySettings)
    analysis = analysed(problem, given)
    judgement = None if given.dt is None else judge_step(analysis.von_neumann, given.dt)
    return LinearStability(settings=given, problem=problem, analysis=analysis, judgement=judgement)
