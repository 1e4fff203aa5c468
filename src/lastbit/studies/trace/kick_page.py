"""Why the last bit grows: what the page of a trace says of its kicked twins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lastbit.report.blocks import Block, Column, Columns, Facts, FigureBlock, LegendEntry, Section, table_of
from lastbit.report.figures.curves import kick_curves
from lastbit.report.figures.lines import Line
from lastbit.report.figures.maps import spaced
from lastbit.report.figures.style import viridis
from lastbit.report.formatting import MISSING, capitalised, count, number, percent, plural, reason, show
from lastbit.stats import Estimate
from lastbit.studies.trace.kicked_found import MechanismFound, Switch
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["kick_section", "mechanism_section"]

_EVERY_OTHER = 2
"""Of the sizes of the kicks those that are drawn."""


def mechanism_section(found: TwinsFound) -> list[Section]:
    """Return why the last bit grows; nothing where no twin was kicked."""
    if (told := found.mechanism) is None:
        return []
    share, threshold = show(told.linear_share, "%"), show(told.threshold, digits=2)
    rows = [
        ("Mechanism", _of(told)),
        ("Linear share of the growth", str(share) if share.measured else f"not measured: {reason(told.linear_share)}"),
        ("Smallest kick that switches", str(threshold) if threshold.measured else reason(told.threshold)),
        ("Switched in", f"{count(told.switched)} of {plural(told.seeds, 'seed')}"),
        ("Growth of the smallest kicks", _rate(told.rate)),
        *([("Of a tangent along the same runs", _rate(told.tangent_rate))] if found.tangent else []),
        ("Learning rate over the largest stable", _ratio(told)),
        ("Control", "passed: a twin that is not kicked stays equal" if told.control else "FAILED: a repeat differs"),
    ]
    blocks: list[Block] = [Facts(rows)]
    if told.switches:
        blocks.append(table_of(told.switches, _SWITCHES, caption=_CAPTION))
    return [Section("Why it grows", blocks, _LEAD, brief=True)]


_LEAD = (
    "Twins in float64 of several seeds, kicked at the branch by 1e-14 to 1e-3 of the weights. Linear growth "
    "multiplies every kick by the same; where a kick lies a factor 10 above what smaller ones tell, units switched."
)
_CAPTION = (
    "The smallest kick of each seed that met a switch. The gradient jumps in the layers up to the one whose units "
    "switched, and in none beyond it."
)
_SWITCHES: Columns[Switch] = {
    Column("seed", True): lambda one: count(one.seed),
    Column("kick", True): lambda one: number(one.size, 2),
    Column("from step", True): lambda one: count(one.start),
    Column("to step", True): lambda one: count(one.end),
    Column("tensors", True): lambda one: count(len(one.tensors)),
    Column("the last of them"): lambda one: one.last or MISSING,
}


def kick_section(found: TwinsFound, arrays: Mapping[str, np.ndarray], points: int) -> list[Section]:
    """Return the picture: the difference over the size of the kick, for every other size, of the first seed."""
    if found.mechanism is None:
        return []
    steps, sizes = arrays["kick_step"], arrays["kick_size"]
    kept, drawn = spaced(steps, points), [*enumerate(sizes.tolist())][::_EVERY_OTHER]
    lines = [
        Line(
            label=f"kick {number(size, 2)}",
            group=f"kick {number(size, 2)}",
            x=steps[kept],
            y=arrays["kick_relative"][0, index][kept] / size,
            colour=colour,
        )
        for (index, size), colour in zip(drawn, viridis(len(drawn), 0.1, 0.85), strict=True)
    ]
    figure = FigureBlock(
        name="kicks",
        figure=kick_curves(lines),
        height=430,
        describe="Difference of kicked twins from their base over the size of the kick, over the optimizer steps, "
        "logarithmic; lines that are one are linear growth",
        caption=f"{capitalised(_of(found.mechanism))}. The first seed, every other size. Lines that lie on each "
        "other: growth does not depend on the size. A line that leaves the others upwards met a switch; one that stays "
        "below them is of order one already.",
        legend=[LegendEntry(line.label, line.colour, line.group, "line") for line in lines],
    )
    return [Section("Kicks of every size", [figure])]


def _rate(rate: Estimate) -> str:
    return f"{show(rate)} nats per step" if rate.estimate is not None else f"not measured: {reason(rate)}"


def _ratio(told: MechanismFound) -> str:
    """Return how near the edge of stability it trains, beyond which curvature alone makes a difference grow."""
    if told.ratio.estimate is None:
        return f"not measured: {reason(told.ratio)}"
    return f"{show(told.ratio)} in the mean along the training, above 1 at {percent(told.above_limit)} of the looks"


def _of(told: MechanismFound) -> str:
    return f"{told.kind}: {told.reason}"
