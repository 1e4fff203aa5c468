"""The phase diagram over learning rate and weight decay, with the curves of theory on top."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.pde.cnn import FlowStatus, PhaseDiagram, phase_diagram
from lastbit.report.formatting import number
from lastbit.studies.pde.figures import STATUS_COLOURS, new_figure, save
from lastbit.studies.pde.setting import CnnSetting, Progress, cnn_setting

__all__ = ["PhaseStudy", "pde_phase"]


@dataclass(frozen=True, eq=False)
class PhaseStudy:
    """How every pair ended."""

    setting: CnnSetting
    diagram: PhaseDiagram

    @property
    def counts(self) -> dict[str, int]:
        """Members by status."""
        flat = self.diagram.status_AE.flatten().tolist()
        return {str(status): flat.count(index) for index, status in enumerate(FlowStatus)}

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        told = ", ".join(f"{count:,} {status}" for status, count in self.counts.items())
        right = self.diagram.agreement()
        verdict = f"; the two curves of theory place {100 * right:.1f}% of them right" if math.isfinite(right) else ""
        return f"Of {self.diagram.status_AE.numel():,} members {told}{verdict}."

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows: the window at up to nine of the weight decays."""
        one = self.diagram
        chosen = torch.linspace(0, len(one.weight_decay_A) - 1, min(9, len(one.weight_decay_A))).round().long()
        rows = []
        for i in chosen.tolist():
            status = one.status_AE[i]
            moved, gone = (status != 0).nonzero()[:, 0], (status == 2).nonzero()[:, 0]
            cells = [float(one.lr_E[index[0]]) if len(index) else math.nan for index in (moved, gone)]
            cells += [float(one.theory_low_A[i]), float(one.theory_high_A[i])]
            rows.append([number(float(one.weight_decay_A[i])), *map(number, cells)])
        headers = ["weight decay", "lr leaves rest", "lr blows up", "theory: rest", "theory: bound"]
        return headers, rows

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; rows of `status` are weight decays."""
        one = self.diagram
        names = [str(status) for status in FlowStatus]
        return {
            "problem": "cnn",
            "sentence": self.sentence,
            **self.setting.model_dump(),
            "steps": one.steps,
            "lr": one.lr_E.tolist(),
            "weight_decay": one.weight_decay_A.tolist(),
            "status": [[names[i] for i in row] for row in one.status_AE.tolist()],
            "loss": plain(one.loss_AE.tolist()),
            "twin_difference": plain(one.twin_difference_AE.tolist()),
            "theory_low": plain(one.theory_low_A.tolist()),
            "theory_high": plain(one.theory_high_A.tolist()),
            "agreement": plain(one.agreement()),
            "counts": self.counts,
        }

    def plot(self, path: str | Path) -> None:
        """Draw the statuses as a map, and the twin difference beside it where there are twins.

        Raises:
            LastbitError: an ending that is no figure's, or a file that cannot be written.
        """
        from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm
        from matplotlib.patches import Patch

        one = self.diagram
        twins = bool(torch.isfinite(one.twin_difference_AE).any())
        figure = new_figure(9.6 if twins else 5.4, 4.2)
        axes = figure.subplots(1, 2 if twins else 1, squeeze=False)[0]
        lr, decay = one.lr_E.numpy(), one.weight_decay_A.numpy()
        colours = ListedColormap([STATUS_COLOURS[str(status)] for status in FlowStatus])
        norm = BoundaryNorm([-0.5, 0.5, 1.5, 2.5], 3)
        axes[0].pcolormesh(lr, decay, one.status_AE.numpy(), cmap=colours, norm=norm, shading="nearest")
        handles = [Patch(color=colour, label=status) for status, colour in STATUS_COLOURS.items()]
        axes[0].set_title("how each member ended", fontsize=9)
        if twins:
            drawn = axes[1].pcolormesh(
                lr,
                decay,
                one.twin_difference_AE.clamp(min=1e-17).numpy(),
                norm=LogNorm(1e-17, 2),
                cmap="magma",
                shading="nearest",
            )
            figure.colorbar(drawn, ax=axes[1], label="mean relative difference to the twin")
            axes[1].set_title("amplification of one last bit (white: diverged)", fontsize=9)
        for panel in axes:
            colour = "black" if panel is axes[0] else "#35c2d6"
            for curve, style, name in (
                (one.theory_low_A, "--", "limit / sharpness at rest"),
                (one.theory_high_A, "-", "limit / alpha"),
            ):
                (line,) = panel.plot(curve.numpy(), decay, style, color=colour, lw=1.4, label=name)
                if panel is axes[0]:
                    handles.append(line)
            panel.set(xscale="log", yscale="log" if decay.min() > 0 else "linear", xlabel="learning rate")
            panel.set(xlim=(lr.min(), lr.max()), ylim=(decay.min(), decay.max()))
        axes[0].set_ylabel("weight decay")
        axes[0].legend(handles=handles, fontsize=7, loc="lower left", framealpha=0.9)
        figure.suptitle(f"{self.setting.words}, {one.steps} steps", fontsize=8)
        save(figure, path)


def pde_phase(
    *,
    lr_range: tuple[float, float] = (0.02, 20.0),
    weight_decay_range: tuple[float, float] = (0.1, 20.0),
    points: int = 32,
    steps: int = 400,
    twin: int | None = None,
    dtype: str = "float64",
    progress: Progress | None = None,
    **settings: Any,
) -> PhaseStudy:
    """Simulate a logarithmic grid of learning rates and weight decays.

    Args:
        lr_range: first and last learning rate.
        weight_decay_range: first and last weight decay.
        points: of each axis.
        steps: of each member.
        twin: odd factor k of the twins.
        dtype: `float64`, `float32` or `bfloat16`.
        progress: called with (steps done, steps).
        **settings: fields of `CnnSetting`; image and window are 64 and 8 unless given.

    Raises:
        LastbitError: a setting that cannot be, in one line.

    Example:
        >>> found = pde_phase(points=6, image_size=24, kernel=4)
        >>> sum(found.counts.values())
        36
    """
    for name, (first, last) in (("lr-range", lr_range), ("weight-decay-range", weight_decay_range)):
        if not (0 < first < last < math.inf):
            raise LastbitError(f"--{name} {first:g} {last:g}: use two positive numbers, the smaller first")
    if points < 2:
        raise LastbitError(f"--points {points}: use 2 or more")
    setting = cnn_setting(**{"image_size": 64, "kernel": 8, **settings})
    problem = setting.problem()
    axis = [
        torch.logspace(math.log10(low), math.log10(high), points, dtype=torch.float64)
        for low, high in (lr_range, weight_decay_range)
    ]
    diagram = phase_diagram(
        problem,
        lrs=axis[0],
        weight_decays=axis[1],
        steps=steps,
        kernel=setting.start(problem),
        twin=twin,
        scheme=setting.time_scheme(),
        dtype=dtype,
        progress=progress,
    )
    return PhaseStudy(setting, diagram)
