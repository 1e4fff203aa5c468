"""The phase diagram over learning rate and weight decay, with the curves of theory on top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from lastbit.core.config import validated
from lastbit.core.keywords import keywords, takes
from lastbit.pde.cnn.phase import PhaseDiagram, phase_diagram
from lastbit.pde.cnn.status import FlowStatus
from lastbit.report.blocks import Table
from lastbit.report.formatting import MISSING, count, number, percent, plural, within
from lastbit.studies.pde.cnn_problem import CnnResult, flow_arguments, too_few_steps
from lastbit.studies.pde.measured import PhaseGrid
from lastbit.studies.pde.result import STATUS_COLOURS, Progress, table_of
from lastbit.studies.pde.settings import PhaseSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PhaseStudy", "pde_phase"]

_LEFT_REST, _BLOWN_UP = (FlowStatus.RESTRAINED, FlowStatus.DIVERGED), (FlowStatus.DIVERGED,)


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseStudy(CnnResult):
    """How every pair of learning rate and weight decay ended."""

    kind: ClassVar[str] = "pde phase"
    forms: ClassVar[tuple[type, ...]] = (PhaseSettings, PhaseGrid)
    settings: PhaseSettings
    diagram: PhaseDiagram

    @property
    def counts(self) -> dict[str, int]:
        """Members by status."""
        flat = self.diagram.status_AE.flatten().tolist()
        return {str(status): flat.count(index) for index, status in enumerate(FlowStatus)}

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        told = [f"{count(members)} {status}" for status, members in self.counts.items()]
        open_ones = self.counts[FlowStatus.UNDECIDED]
        told[-1:] = [f"{told[-1]}: {too_few_steps(self.settings)}"] if open_ones else []
        right = self.diagram.agreement()
        which = "the others" if open_ones else "them"
        theory = "" if math.isnan(right) else f"; the two curves of theory place {percent(right)} of {which} right"
        return f"Of {count(self.diagram.status_AE.numel())} members {', '.join(told)}{theory}."

    @property
    def verdict_kind(self) -> str:
        """`mapped`, or `undecided` where more than a tenth of the members are."""
        return "undecided" if 10 * self.counts[FlowStatus.UNDECIDED] > self.diagram.status_AE.numel() else "mapped"

    @property
    def table(self) -> Table:
        """The window at up to nine of the weight decays."""
        one = self.diagram
        chosen = torch.linspace(0, len(one.weight_decay_A) - 1, min(9, len(one.weight_decay_A))).round().long()
        rows = []
        for i in chosen.tolist():
            theory = (number(float(curve[i])) for curve in (one.theory_low_A, one.theory_high_A))
            ends = (self._first(i, *wanted) for wanted in (_LEFT_REST, _BLOWN_UP))
            rows.append([number(float(one.weight_decay_A[i])), *ends, *theory])
        titles = ("weight decay", "lr leaves rest", "lr blows up", "theory: rest", "theory: bound")
        return table_of((), titles, rows)

    def _first(self, row: int, *wanted: FlowStatus) -> str:
        """Return the first learning rate of a row that ended in one of these ways, with "≤" where it may be lower."""
        names, rates = list(FlowStatus), self.diagram.lr_E.tolist()
        status = [names[index] for index in self.diagram.status_AE[row].tolist()]
        first = next((i for i, one in enumerate(status) if one in wanted), None)
        if first is None:
            # Behind the last that is known not to have: whatever is undecided may have.
            known = [i for i, one in enumerate(status) if one is not FlowStatus.UNDECIDED]
            return within(rates[known[-1]], math.inf) if known else MISSING
        censored = first == 0 or status[first - 1] is FlowStatus.UNDECIDED
        return within(0.0, rates[first]) if censored else number(rates[first])

    def measured(self) -> Sequence[Any]:
        """Return the grid; rows of `status` are weight decays."""
        one = self.diagram
        names = list(FlowStatus)
        found = PhaseGrid(
            lr=one.lr_E.tolist(),
            weight_decay=one.weight_decay_A.tolist(),
            status=[[names[i] for i in row] for row in one.status_AE.tolist()],
            loss=one.loss_AE.tolist(),
            twin_difference=one.twin_difference_AE.tolist(),
            theory_low=one.theory_low_A.tolist(),
            theory_high=one.theory_high_A.tolist(),
            agreement=one.agreement(),
            counts=self.counts,
        )
        return (found,)

    def draw_on(self, figure: Figure) -> None:
        """Draw the statuses as a map, and the twin difference beside it where there are twins."""
        from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm
        from matplotlib.patches import Patch

        one = self.diagram
        twins = bool(torch.isfinite(one.twin_difference_AE).any())
        figure.set_size_inches(9.6 if twins else 5.4, 4.2)
        axes = figure.subplots(1, 2 if twins else 1, squeeze=False)[0]
        lr, decay = one.lr_E.numpy(), one.weight_decay_A.numpy()
        colours = ListedColormap([STATUS_COLOURS[str(status)] for status in FlowStatus])
        norm = BoundaryNorm([index - 0.5 for index in range(len(FlowStatus) + 1)], len(FlowStatus))
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
        if twins:
            axes[1].legend(fontsize=7, loc="lower left", framealpha=0.9)
        axes[0].set_ylabel("weight decay")
        axes[0].legend(handles=handles, fontsize=7, loc="lower left", framealpha=0.9)
        figure.suptitle(f"{self.words}, {plural(one.steps, 'step')}", fontsize=8)


@takes(keywords(PhaseSettings))
def pde_phase(*, progress: Progress | None = None, **settings: Any) -> PhaseStudy:
    """Simulate a logarithmic grid of learning rates and weight decays, and say how each pair ends.

    Args:
        **settings: fields of `PhaseSettings`.
        progress: called with (steps done, steps).

    Raises:
        LastbitError: a setting that cannot be, in one line.

    Example:
        >>> found = pde_phase(points=6, image_size=24, kernel=4)
        >>> sum(found.counts.values())
        36
    """
    given = validated(PhaseSettings, settings, flag="--")
    rates, decays = (
        torch.logspace(math.log10(low), math.log10(high), given.points, dtype=torch.float64)
        for low, high in (given.lr_range, given.weight_decay_range)
    )
    settled = flow_arguments(given, "steps", "twin", "dtype")
    diagram = phase_diagram(lrs=rates, weight_decays=decays, progress=progress, **settled)
    return PhaseStudy(settings=given, diagram=diagram)
