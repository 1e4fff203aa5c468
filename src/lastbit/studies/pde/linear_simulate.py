"""A classical problem stepped on a grid: whether it blows up, how fast, and what theory says of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lastbit.pde.linear.amplification import StepJudgement, judge_step
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.simulation import Simulation, simulate
from lastbit.report.blocks import Table
from lastbit.report.formatting import amplification, bound, capitalised, count, number, plural, wave
from lastbit.studies.pde.linear_problem import LinearResult, analysed
from lastbit.studies.pde.measured import LinearSteps
from lastbit.studies.pde.result import table_of
from lastbit.studies.pde.settings import LinearSimulateSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LinearSimulation", "linear_simulate"]

_SHADES = ("#9aa5b1", "#2b6cb0", "#c2410c")


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearSimulation(LinearResult):
    """What a classical problem did on a periodic grid, with the judgement of its step on that grid's own waves."""

    kind: ClassVar[str] = "pde simulate"
    figure_size: ClassVar[tuple[float, float]] = (10.2, 3.9)
    forms: ClassVar[tuple[type, ...]] = (LinearSimulateSettings, LinearSteps)
    settings: LinearSimulateSettings
    judgement: StepJudgement
    simulation: Simulation

    @property
    def verdict_kind(self) -> str:
        """`diverged`, `stable`, or `undecided` where a wave grows too slowly for the steps to show it."""
        if self.simulation.blew_up:
            return "diverged"
        return "stable" if self.judgement.stable else "undecided"

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        at = f"{capitalised(self.words)} at dt = {number(self.settings.dt, 10)}"
        if self.verdict_kind == "undecided":
            return (
                f"{at} is not stable, but there are too few steps to see it grow ({self._enough}): {self.step_words}."
            )
        said = "blows up" if self.verdict_kind == "diverged" else "stays bounded"
        return f"{at} {said} ({self._course}): {self.step_words}."

    @property
    def _course(self) -> str:
        """How the amplitude went."""
        run = self.simulation
        if run.status.value == "diverged":
            return f"not finite after {plural(run.ended_at or 0, 'step')}"
        first, last = (number(float(run.amplitudes[index])) for index in (0, -1))
        return f"max |u| goes from {first} to {last} in {plural(self.settings.steps, 'step')}"

    @property
    def _enough(self) -> str:
        """How many steps would show the growth: the wave's share of the start has to be outgrown tenfold, twice."""
        rate, needed = math.log(self.judgement.amplification), math.log(100 * math.prod(self.settings.shape))
        steps = max(4 * self.settings.steps, math.ceil(needed / rate) if rate > 1e-9 else 100 * self.settings.steps)
        most = type(self.settings).model_fields["steps"].metadata[1].le
        have = count(self.settings.steps)
        return f"{have}; write --steps {steps}" if steps <= most else f"{have}; {count(most)} would show nothing"

    @property
    def table(self) -> Table:
        """The amplitude at up to 11 steps, the last finite one among them."""
        known = np.flatnonzero(self.simulation.finite)
        chosen = known[np.linspace(0, len(known) - 1, min(11, len(known))).round().astype(int)]
        rows = ([count(int(step)), number(float(self.simulation.amplitudes[step]))] for step in chosen)
        return table_of((), ("step", "max |u|"), rows)

    @property
    def tables(self) -> list[Table]:
        """The amplitudes, and what was stepped."""
        one, judged, given = self.analysis, self.judgement, self.settings
        rows = [
            ("equation", one.equation),
            ("scheme", one.scheme),
            *self.parameters,
            ("dx", number(one.dx, 10)),
            ("grid", f"{' x '.join(map(str, given.shape))} points, periodic, from a {given.start}"),
            ("dt", number(given.dt, 10)),
            ("max stable dt", bound(one.max_stable_dt, 10)),
            ("max stable dt of this grid", bound(judged.max_stable_dt, 10)),
            (f"amplification per step, {wave(judged.frequency, one.dx)}", amplification(judged.amplification)),
        ]
        if self.simulation.blew_up:
            rows.append(("amplification per step, simulated", amplification(self.simulation.growth)))
        return [self.table, table_of(("", one.problem), (), rows)]

    def measured(self) -> Sequence[Any]:
        """Return the amplitudes and the limits; None stands for what is not a number."""
        run, judged = self.simulation, self.judgement
        found = LinearSteps(
            equation=self.analysis.equation,
            parameters=self.analysis.parameters,
            points=self.settings.shape[0],
            stable=judged.stable,
            max_stable_dt=self.analysis.max_stable_dt,
            max_stable_dt_of_grid=judged.max_stable_dt,
            amplification_per_step=judged.amplification,
            amplified_frequency=judged.frequency,
            simulated_amplification_per_step=run.growth if run.blew_up else None,
            ended_at=run.ended_at,
            amplitudes=run.amplitudes.tolist(),
        )
        return (found,)

    def draw_on(self, figure: Figure) -> None:
        """Draw the field at three times, its amplitude over the steps, and the amplification of every wave."""
        field, amplitude, factor = figure.subplots(1, 3)
        run, one, dt = self.simulation, self.analysis, self.settings.dt
        kept = [step for step in sorted(run.fields) if run.finite[step]]
        shown = dict.fromkeys((kept[0], kept[len(kept) // 2], kept[-1]))
        line_at: tuple[Any, ...] = (slice(None), *(n // 2 for n in self.settings.shape[1:]))
        place = np.arange(self.settings.shape[0]) * one.dx
        for step, colour in zip(shown, _SHADES, strict=False):
            line, largest = run.fields[step][line_at], float(run.amplitudes[step]) or 1.0
            label = f"step {count(step)}, max {number(largest, 3)}"
            field.plot(place, line / largest, color=colour, lw=1.2, label=label)
        field.set(xlabel="x", title="u / max |u|" if one.dim == 1 else "u / max |u|, along the first axis")
        steps = np.flatnonzero(run.finite)
        amplitude.semilogy(steps, run.amplitudes[steps], color=_SHADES[1], lw=1.4, label="max |u|, simulated")
        if run.blew_up and len(steps) > 1:
            behind = (steps - steps[-1]) * math.log(self.judgement.amplification)
            slope = run.amplitudes[steps[-1]] * np.exp(behind)
            seen = slope > float(run.amplitudes[steps].min()) / 10
            grown = f"times {amplification(self.judgement.amplification)} per step, theory"
            amplitude.semilogy(steps[seen], slope[seen], "--", color=_SHADES[2], lw=1, label=grown)
        amplitude.set(xlabel="step", title="amplitude")
        omega = np.linspace(0, math.pi / one.dx, 257)
        waves = omega if one.dim == 1 else np.repeat(omega[:, None], one.dim, axis=1)
        found = one.von_neumann.amplification_factor(waves, dt)
        factor.plot(omega * one.dx, found, color=_SHADES[1], lw=1.4, label=f"dt = {number(dt)}")
        factor.axhline(1, color=_SHADES[0], lw=1, ls="--", label="neither grows nor decays")
        factor.set_xticks([0, math.pi / 2, math.pi], ["0", "π/2", "π"])
        factor.set(xlabel="ω dx" if one.dim == 1 else "ω dx (every axis)", title="|g|, amplification per step")
        for axes in (field, amplitude, factor):
            axes.title.set_fontsize(9)
            axes.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2))
        figure.suptitle(f"{self.words}, dt = {number(dt, 6)}: {self.verdict_kind}", fontsize=9)


def linear_simulate(problem: str, settings: LinearSimulateSettings) -> LinearSimulation:
    """Step a classical problem on a periodic grid."""
    analysis = analysed(problem, settings)
    grid = Grid(shape=settings.shape, spacing=(settings.dx,) * settings.dim)
    start = np.zeros(grid.shape)
    start[tuple(n // 2 for n in grid.shape)] = 1.0
    if settings.start == "noise":
        start = np.random.default_rng(settings.seed).standard_normal(grid.shape)
    equation, scheme, steps = analysis.von_neumann.equation, analysis.von_neumann.scheme, settings.steps
    kept = np.linspace(0, steps, 21).round().astype(int).tolist()
    run = simulate(equation, scheme, grid, start, settings.dt, steps, keep=kept)
    judged = judge_step(analysis.von_neumann, settings.dt, grid)
    return LinearSimulation(problem=problem, settings=settings, analysis=analysis, judgement=judged, simulation=run)
