"""The command that simulates, and its answer for the non-linear flow of the CNN, with its twin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from lastbit.core.config import Config, validated
from lastbit.core.errors import LastbitError, choose
from lastbit.core.keywords import keywords, takes
from lastbit.pde.cnn.activation import REGIMES
from lastbit.pde.cnn.simulation import Simulation
from lastbit.pde.cnn.status import FlowStatus
from lastbit.pde.cnn.time_loop import simulate
from lastbit.report.blocks import Table
from lastbit.report.formatting import count, number, plural
from lastbit.studies.pde.cnn_problem import CnnResult, flow_arguments, too_few_steps
from lastbit.studies.pde.linear_simulate import LinearSimulation, linear_simulate
from lastbit.studies.pde.measured import FlowRecords
from lastbit.studies.pde.result import STATUS_COLOURS, Progress, table_of
from lastbit.studies.pde.settings import FLOWS, LinearSimulateSettings, SimulateSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FlowStudy", "pde_simulate"]

_SAID = {
    FlowStatus.CONVERGED: "converges",
    FlowStatus.RESTRAINED: "is restrained: bounded, but it never settles",
    FlowStatus.DIVERGED: "blows up",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowStudy(CnnResult):
    """What one member of the flow did."""

    kind: ClassVar[str] = "pde simulate"
    figure_size: ClassVar[tuple[float, float]] = (9.6, 3.0)
    forms: ClassVar[tuple[type, ...]] = (SimulateSettings, FlowRecords)
    settings: SimulateSettings
    simulation: Simulation

    @property
    def status(self) -> FlowStatus:
        """How it ended."""
        return self.simulation.status_M[0]

    @property
    def threshold(self) -> float:
        """`L / lr`: the sharpness above which the scheme is linearly unstable."""
        return self.limit / self.settings.lr

    @property
    def theory_high(self) -> float | None:
        """`L / alpha`, from which on the flow blows up; infinite without weight decay, None where it is negative."""
        decay = self.settings.weight_decay
        return None if decay < 0 else math.inf if decay == 0 else self.limit / decay

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        one, steps = self.settings, plural(int(self.simulation.steps_M[0]), "step")
        said = f"At lr = {number(one.lr, 6)} and weight decay {number(one.weight_decay, 6)} "
        if self.status is FlowStatus.UNDECIDED:
            said += f"there are {too_few_steps(one)}"
        else:
            within = "within " if self.status is FlowStatus.CONVERGED else ""
            said += f"the flow {_SAID[self.status]} ({within}{steps})"
        if one.twin is not None and self.status is not FlowStatus.DIVERGED:
            twin = self.simulation.twin_difference_TM[:, 0]
            landed = (twin > 0).nonzero()[:, 0]
            if len(landed):
                first, at = number(float(twin[landed[0]]), 2), int(self.simulation.step_T[landed[0]])
                said += f"; a twin with k = {one.twin} differs by {first} at step {at}"
                said += f" and by {number(float(twin[-1]), 2)} at the end"
            else:
                said += f"; a twin with k = {one.twin} differs in none of {plural(len(twin), 'record')}"
        return said + "."

    @property
    def verdict_kind(self) -> str:
        """`converged`, `restrained`, `diverged`, or `undecided` after too few steps."""
        return str(self.status)

    @property
    def table(self) -> Table:
        """At most 11 of the records."""
        run = self.simulation
        titles = ["step", "loss", "|K|"]
        columns = [run.loss_TM[:, 0], run.kernel_norm_TM[:, 0]]
        if bool(torch.isfinite(run.sharpness_TM).any()):
            titles += ["sharpness", "limit / lr"]
            columns += [run.sharpness_TM[:, 0], torch.full_like(run.sharpness_TM[:, 0], self.threshold)]
        if self.settings.twin is not None:
            titles.append("twin difference")
            columns.append(run.twin_difference_TM[:, 0])
        known = torch.isfinite(run.loss_TM[:, 0]).nonzero()[:, 0]
        chosen = known[torch.linspace(0, len(known) - 1, min(11, len(known))).round().long()]
        rows = ([count(int(run.step_T[i])), *(number(float(c[i])) for c in columns)] for i in chosen.tolist())
        return table_of((), titles, rows)

    def measured(self) -> Sequence[Any]:
        """Return the records; None stands for what is not a number or was not asked for."""
        run = self.simulation
        shares = {f"share_{regime}": run.shares_TM3[:, 0, i].tolist() for i, regime in enumerate(REGIMES)}
        found = FlowRecords(
            status=self.status,
            steps=int(run.steps_M[0]),
            step=run.step_T.tolist(),
            loss=run.loss_TM[:, 0].tolist(),
            data_loss=run.data_loss_TM[:, 0].tolist(),
            kernel_norm=run.kernel_norm_TM[:, 0].tolist(),
            twin_difference=run.twin_difference_TM[:, 0].tolist(),
            sharpness=run.sharpness_TM[:, 0].tolist(),
            sharpness_threshold=self.threshold,
            theory_high=self.theory_high,
            **shares,
        )
        return (found,)

    def draw_on(self, figure: Figure) -> None:
        """Draw loss, sharpness against its threshold, and the twin difference, over steps."""
        run = self.simulation
        steps = run.step_T.tolist()
        loss, sharp, twin = figure.subplots(1, 3)
        colour = STATUS_COLOURS[str(self.status)]
        loss.plot(steps, run.loss_TM[:, 0].tolist(), color=colour, lw=1, label="loss")
        loss.set_yscale("log")
        loss.set_title("loss, weight decay included", fontsize=9)
        sharp.plot(steps, run.sharpness_TM[:, 0].tolist(), color=colour, lw=1, label="sharpness")
        sharp.axhline(self.threshold, color="black", lw=0.9, ls="--", label=f"limit / lr = {number(self.threshold, 3)}")
        sharp.set_title("sharpness", fontsize=9)
        difference = run.twin_difference_TM[:, 0]
        if bool((difference > 0).any()):
            shown = difference.masked_fill(difference <= 0, float("nan"))
            twin.plot(steps, shown.tolist(), color=colour, lw=1, label=f"twin, k = {self.settings.twin}")
            twin.legend(frameon=False, fontsize=7)
            twin.set_yscale("log")
        else:
            twin.text(0.5, 0.5, "no difference", ha="center", transform=twin.transAxes)
        for axes in (loss, sharp):
            axes.legend(frameon=False, fontsize=7)
        twin.set_title("mean relative difference to the twin", fontsize=9)
        for axes in (loss, sharp, twin):
            axes.set_xlabel("step")
        at = f"lr {number(self.settings.lr, 6)}, weight decay {number(self.settings.weight_decay, 6)}"
        figure.suptitle(f"{at}: {self.status} ({self.words})", fontsize=8)


@takes(keywords(SimulateSettings, LinearSimulateSettings))
def pde_simulate(
    problem: str = "cnn", *, progress: Progress | None = None, **settings: Any
) -> FlowStudy | LinearSimulation:
    """Run the non-linear flow of the one-layer CNN, or a classical problem, and say how it ends.

    Args:
        problem: `"cnn"`, or a classical problem of `lastbit.pde.linear`; it takes its own settings alone.
        **settings: fields of `SimulateSettings` or `LinearSimulateSettings`.
        progress: called with (steps done, steps) for the CNN; the classical problems are quick.

    Raises:
        LastbitError: a problem or setting that cannot be, in one line.

    Example:
        >>> print(pde_simulate(lr=0.01, weight_decay=20, steps=200, image_size=32, kernel=8).status)
        converged
        >>> [pde_simulate("heat", dt=dt).verdict_kind for dt in (0.45, 0.55)]
        ['stable', 'diverged']
    """
    choose(problem, FLOWS, "problem to simulate")
    config: type[Config] = SimulateSettings if problem == "cnn" else LinearSimulateSettings
    others = {one.name for one in keywords(SimulateSettings, LinearSimulateSettings)}
    if wrong := [name for name in settings if name in others and name not in config.model_fields]:
        step = {"lr": "write --dt", "dt": "write --lr"}.get(wrong[0], "leave it out")
        raise LastbitError(f"--{wrong[0].replace('_', '-')} says nothing about {problem}: {step}")
    given = validated(config, settings, flag="--")
    if isinstance(given, LinearSimulateSettings):
        return linear_simulate(problem, given)
    assert isinstance(given, SimulateSettings)
    run = simulate(
        record_every=max(1, given.steps // 100) if given.record_every is None else given.record_every,
        shares=True,
        progress=progress,
        **flow_arguments(given, "lr", "weight_decay", "steps", "twin", "dtype", "sharpness"),
    )
    return FlowStudy(settings=given, simulation=run)
