"""One simulation of the non-linear flow, with its twin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lastbit.core.plain import plain
from lastbit.pde.cnn import FlowStatus, Simulation, simulate
from lastbit.report.formatting import number
from lastbit.studies.pde.figures import STATUS_COLOURS, new_figure, save
from lastbit.studies.pde.setting import CnnSetting, Progress, cnn_setting

__all__ = ["FlowStudy", "pde_simulate"]

_SAID = {
    FlowStatus.CONVERGED: "converges",
    FlowStatus.RESTRAINED: "is restrained: bounded, but it never settles",
    FlowStatus.DIVERGED: "blows up",
}


@dataclass(frozen=True, eq=False)
class FlowStudy:
    """What one member of the flow did."""

    setting: CnnSetting
    lr: float
    weight_decay: float
    dtype: str
    twin: int | None
    simulation: Simulation

    @property
    def status(self) -> FlowStatus:
        """How it ended."""
        return self.simulation.status_M[0]

    @property
    def threshold(self) -> float:
        """`L / lr`: the sharpness above which the scheme is linearly unstable."""
        return self.setting.time_scheme().step_limit() / self.lr

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        steps = int(self.simulation.steps_M[0])
        said = f"At lr = {self.lr:g} and weight decay {self.weight_decay:g} the flow {_SAID[self.status]}"
        said += f" ({steps:,} steps)" if self.status is not FlowStatus.CONVERGED else f" (within {steps:,} steps)"
        if self.twin is not None and self.status is not FlowStatus.DIVERGED:
            twin = self.simulation.twin_difference_TM[:, 0]
            landed = (twin > 0).nonzero()[:, 0]
            if len(landed):
                first, at = float(twin[landed[0]]), int(self.simulation.step_T[landed[0]])
                said += f"; a twin with k = {self.twin} differs by {first:.1e} at step {at}"
                said += f" and by {float(twin[-1]):.1e} at the end"
            else:
                said += f"; a twin with k = {self.twin} never differs"
        return said + "."

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows, at most 11 of them."""
        run = self.simulation
        headers = ["step", "loss", "|K|"]
        columns = [run.loss_TM[:, 0], run.kernel_norm_TM[:, 0]]
        if bool(torch.isfinite(run.sharpness_TM).any()):
            headers += ["sharpness", "limit / lr"]
            columns += [run.sharpness_TM[:, 0], torch.full_like(run.sharpness_TM[:, 0], self.threshold)]
        if self.twin is not None:
            headers.append("twin difference")
            columns.append(run.twin_difference_TM[:, 0])
        known = torch.isfinite(run.loss_TM[:, 0]).nonzero()[:, 0]
        chosen = known[torch.linspace(0, len(known) - 1, min(11, len(known))).round().long()]
        rows = [[str(int(run.step_T[i])), *(number(float(c[i])) for c in columns)] for i in chosen.tolist()]
        return headers, rows

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; None stands for what is not finite or was not asked for."""
        run = self.simulation
        limit = self.setting.time_scheme().step_limit()
        return {
            "problem": "cnn",
            "sentence": self.sentence,
            **self.setting.model_dump(),
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "dtype": self.dtype,
            "twin": self.twin,
            "status": str(self.status),
            "steps": int(run.steps_M[0]),
            "step": run.step_T.tolist(),
            "loss": plain(run.loss_TM[:, 0].tolist()),
            "data_loss": plain(run.data_loss_TM[:, 0].tolist()),
            "kernel_norm": plain(run.kernel_norm_TM[:, 0].tolist()),
            "twin_difference": plain(run.twin_difference_TM[:, 0].tolist()),
            "sharpness": plain(run.sharpness_TM[:, 0].tolist()),
            "sharpness_threshold": self.threshold,
            "share_activated": plain(run.shares_TM3[:, 0, 0].tolist()),
            "share_transitioning": plain(run.shares_TM3[:, 0, 1].tolist()),
            "share_not_activated": plain(run.shares_TM3[:, 0, 2].tolist()),
            "theory_high": limit / self.weight_decay if self.weight_decay > 0 else None,
        }

    def plot(self, path: str | Path) -> None:
        """Draw loss, sharpness against its threshold, and the twin difference, over steps.

        Raises:
            LastbitError: an ending that is no figure's, or a file that cannot be written.
        """
        run = self.simulation
        steps = run.step_T.tolist()
        figure = new_figure(9.6, 3.0)
        loss, sharp, twin = figure.subplots(1, 3)
        colour = STATUS_COLOURS[str(self.status)]
        loss.plot(steps, run.loss_TM[:, 0].tolist(), color=colour, lw=1)
        loss.set_yscale("log")
        loss.set_title("loss, weight decay included", fontsize=9)
        sharp.plot(steps, run.sharpness_TM[:, 0].tolist(), color=colour, lw=1)
        sharp.axhline(self.threshold, color="black", lw=0.9, ls="--")
        sharp.annotate(
            f"limit / lr = {self.threshold:.3g}",
            (0.98, self.threshold),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            bbox={"fc": "white", "ec": "none", "pad": 1},
        )
        sharp.set_title("sharpness", fontsize=9)
        difference = run.twin_difference_TM[:, 0]
        if bool((difference > 0).any()):
            shown = difference.masked_fill(difference <= 0, float("nan"))
            twin.plot(steps, shown.tolist(), color=colour, lw=1)
            twin.set_yscale("log")
        else:
            twin.text(0.5, 0.5, "no difference", ha="center", transform=twin.transAxes)
        twin.set_title("mean relative difference to the twin", fontsize=9)
        for axes in (loss, sharp, twin):
            axes.set_xlabel("step")
        title = f"lr {self.lr:g}, weight decay {self.weight_decay:g}: {self.status}"
        figure.suptitle(f"{title} ({self.setting.words})", fontsize=8)
        save(figure, path)


def pde_simulate(
    *,
    lr: float,
    weight_decay: float,
    steps: int = 1000,
    twin: int | None = None,
    dtype: str = "float64",
    record_every: int | None = None,
    sharpness: bool = True,
    progress: Progress | None = None,
    **settings: Any,
) -> FlowStudy:
    """Run the non-linear flow of the one-layer CNN.

    Args:
        lr: learning rate, the step.
        weight_decay: alpha.
        steps: of the scheme.
        twin: odd factor k of a twin.
        dtype: `float64`, `float32` or `bfloat16`.
        record_every: steps between records; a hundredth of the steps when None.
        sharpness: record it.
        progress: called with (steps done, steps).
        **settings: fields of `CnnSetting`.

    Raises:
        LastbitError: a setting that cannot be, in one line.

    Example:
        >>> print(pde_simulate(lr=0.01, weight_decay=20, steps=200, image_size=32, kernel=8).status)
        converged
    """
    setting = cnn_setting(**settings)
    problem = setting.problem()
    run = simulate(
        problem,
        lr=lr,
        weight_decay=weight_decay,
        steps=steps,
        kernel=setting.start(problem),
        twin=twin,
        dtype=dtype,
        scheme=setting.time_scheme(),
        record_every=max(1, steps // 100) if record_every is None else record_every,
        shares=True,
        sharpness=sharpness,
        progress=progress,
    )
    return FlowStudy(setting, lr, weight_decay, dtype, twin, run)
