"""The figures of an edge-of-stability report, each in its section with legend, caption and words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf

import numpy as np

from lastbit.report.blocks import FigureBlock, LegendEntry, Section
from lastbit.report.figures import eos_edge
from lastbit.report.figures.eos_edge import Spectrum
from lastbit.report.figures.eos_sweep import Settled, SizeCurve, settled, size_colour, size_curves, size_mark
from lastbit.report.figures.lines import Line
from lastbit.report.figures.maps import layer_map
from lastbit.report.figures.style import LAST_BIT, REAL, SEED, viridis
from lastbit.report.formatting import number
from lastbit.studies.eos.cell_result import EosCell
from lastbit.studies.eos.size_trend import QUANTITIES, SizeTrend, quantity_of
from lastbit.studies.eos.tables import trend_table
from lastbit.studies.frame.page import points_of_each

__all__ = [
    "POINTS",
    "edge_section",
    "layer_section",
    "size_section",
    "spectrum_figure",
    "spectrum_section",
    "sweep_section",
]

POINTS = 1000
"""The most points of a line."""


def _thin(count: int, points: int) -> np.ndarray:
    """Return the positions of at most `points` of `count` points.

    They stand an odd stride apart: an even one would show one half of an oscillation of period two.
    """
    stride = max(1, -(-count // points))
    return np.arange(0, count, stride + (stride % 2 == 0))


def edge_section(cell: EosCell, arrays: Mapping[str, np.ndarray], points: int) -> Section:
    """Return loss, sharpness with its limit, and the twins' difference."""
    kept = _thin(len(arrays["step"]), points)
    twins: list[Line] = []
    if "distance" in arrays:
        at = _thin(len(arrays["distance_step"]), points)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = arrays["distance"][1:, at] / arrays["norm"][at]
        twins = [
            Line(label=f"twin {n + 1}", group=f"twin {n}", colour=colour, x=arrays["distance_step"][at], y=row)
            for n, (colour, row) in enumerate(zip(eos_edge.TWIN_COLOURS, relative, strict=False))
        ]
    flow = (arrays["flow_step"], arrays["flow_loss"], arrays["flow_sharpness"]) if "flow_step" in arrays else None
    batch = arrays.get("batch_sharpness")
    title = (
        "preconditioned sharpness" if cell.settings.get("optimizer") in ("adam", "adamw", "rmsprop") else "sharpness"
    )
    steps, loss, sharpness, limit = (arrays[name][kept] for name in ("step", "loss", "sharpness", "limit"))
    figure = eos_edge.edge_curves(steps, loss, sharpness, limit, twins, flow=flow, batch=batch, sharpness_title=title)
    legend = [LegendEntry("training", SEED, "training", "line"), LegendEntry("limit", LAST_BIT, "limit", "dashed")]
    legend += [LegendEntry("gradient flow", REAL, "flow", "line")] if flow else []
    legend += [LegendEntry("batch sharpness, 95% interval", REAL, "batch", "diamond")] if batch is not None else []
    legend += [LegendEntry(twin.label, twin.colour, twin.group, "line") for twin in twins]
    caption = (
        "Loss and sharpness on the same examples at the same steps; weight decay is left out of both and lowers the "
        "limit instead. "
    )
    if twins:
        caption += "Below, the L2 distance of each twin from the run, relative to its weights; the exact repeat is 0. "
    if flow:
        caption += "The gradient flow is gradient descent with vanishing steps, at the same scaled time. "
    if batch is not None:
        caption += "Batch sharpness, E[gᵀHg/|g|²], is the curvature that mini-batches meet along their own gradients. "
    block = FigureBlock(
        name="edge",
        figure=figure,
        height=720 if twins else 520,
        describe="Loss, sharpness with the stability limit, and the difference of twins over the optimizer steps",
        caption=caption.strip(),
        legend=legend,
    )
    return Section("Sharpness against its limit", [block])


def spectrum_section(cell: EosCell, arrays: Mapping[str, np.ndarray]) -> Section:
    """Return the spectral density at the chosen steps."""
    looks = zip(*(arrays[f"spectrum_{name}"] for name in ("step", "nodes", "weights")), strict=True)
    found = [Spectrum(label=f"step {step}", nodes=nodes, weights=weights) for step, nodes, weights in looks]
    return spectrum_figure(found, cell.limit)


def spectrum_figure(
    found: Sequence[Spectrum], limit: float | None, *, text: Sequence[str] = (), brief: bool = False
) -> Section:
    """Return the section that draws spectra against the limit; `text` stands for it where nothing is drawn."""
    near, where = False, "No eigenvalue is too large at a learning rate of 0;"
    if limit is not None and limit < inf:
        near = eos_edge.within_reach(found, limit)
        where = f"The latest limit, {number(limit)}, lies far beyond the range drawn;"
    if near:
        where = "Dashed: the latest limit, beyond which a direction is unstable;"
    drawn = zip(found, viridis(len(found), 0.1, 0.8), strict=True)
    legend = [LegendEntry(s.label, colour, f"spectrum {n}", "line") for n, (s, colour) in enumerate(drawn)]
    block = FigureBlock(
        name="spectrum",
        figure=eos_edge.spectra(found, limit if near else None),
        height=340,
        describe="Spectral density of the Hessian in the optimizer's coordinates, with the stability limit",
        text=text,
        caption="Distribution of the Hessian's eigenvalues in the optimizer's coordinates, weight decay left out, by "
        "stochastic Lanczos quadrature, smoothed by 0.5% of the range drawn. "
        f"{where} eigenvalues below 0 belong to directions that grow unless weight decay holds them.",
        legend=[*legend, LegendEntry("limit", LAST_BIT, mark="dashed")] if near else legend,
    )
    return Section("The spectrum", [block], brief=brief)


def layer_section(arrays: Mapping[str, np.ndarray]) -> Section:
    """Return the heat map of the layers' ratios."""
    names = [str(name) for name in arrays["layer"]]
    block = FigureBlock(
        name="layers",
        figure=layer_map(names, arrays["layer_step"], arrays["layer_ratio"].T),
        height=180 + 34 * min(len(names), 30),
        describe="Learning rate over the largest stable one of every layer moved alone, over the optimizer steps",
        caption="Each layer moved alone, the others held: red layers are past their limit by themselves. The whole "
        "network is at least as sharp as its sharpest layer.",
    )
    return Section("Layer by layer", [block])


def sweep_section(cells: Sequence[EosCell]) -> Section:
    """Return what a sweep shows: every ratio over the steps, and where each training settles."""
    curves = _sweep_lines(cells, [cell.ratios for cell in cells])
    legend = [LegendEntry(c.label, c.colour, c.group, "line") for c in {c.group: c for c in curves}.values()]
    lines = FigureBlock(
        name="sweep-ratio",
        figure=eos_edge.ratio_curves(curves),
        height=360,
        describe="Learning rate over the largest stable one for every training of the sweep over its steps",
        caption="Each training against its own limit, the dashed line.",
        legend=[*legend, LegendEntry("limit", LAST_BIT, "limit", "dashed")],
    )
    rates = sorted({lr for cell in cells if (lr := cell.axes.get("lr")) is not None})
    course = FigureBlock(
        name="sweep-rates",
        figure=eos_edge.rate_curves(_sweep_lines(cells, [cell.stable_lrs for cell in cells]), rates),
        height=360,
        describe="Stable learning rate of every training of the sweep over its steps",
        caption="The largest stable learning rate at every measurement. At the edge it meets the rate in use, whatever "
        "the network.",
        legend=[*legend, LegendEntry("the rate in use", LAST_BIT, "rate", "dashed")],
    )
    rows = [
        Settled(kind, cell.ratio_tail, cell.stable_lr.first, cell.stable_lr.tail, cell.axes.get("lr"))
        for cell, kind in zip(cells, _kinds(cells), strict=True)
    ]
    above = [
        LegendEntry("ratio, 95% interval", SEED, "ratio", "whisker"),
        LegendEntry("limit", LAST_BIT, mark="dashed"),
    ]
    if not any(row.ratio.measured for row in rows):
        above = []
    points = FigureBlock(
        name="sweep-settled",
        figure=settled(rows),
        height=460,
        describe="Where each training settles against its limit, and its stable learning rates",
        caption="Above: the mean ratio over the last third with its 95% interval. Below: the largest stable learning "
        "rate, beside the rate in use.",
        legend=[
            *above,
            LegendEntry("stable at the first measurement", SEED, "first", "ring"),
            LegendEntry("stable over the last third", SEED, "last", "point"),
            LegendEntry("the rate in use", REAL, "lr", "dash"),
        ],
    )
    return Section("The sweep", [lines, course, points])


def _kinds(cells: Sequence[EosCell]) -> list[str]:
    """Return what each training is called, its seed left out where more than the seed is varied."""
    bare = [re.sub(r"(, )?seed \d+$", "", cell.label) for cell in cells]
    return bare if len(set(bare)) > 1 else [cell.label for cell in cells]


def _sweep_lines(cells: Sequence[EosCell], values: Sequence[Sequence[float | None]]) -> list[Line]:
    """Return a quantity of each training over its steps."""
    kinds = _kinds(cells)
    distinct = list(dict.fromkeys(kinds))
    colours = viridis(len(distinct), 0.08, 0.86)
    lines = []
    for cell, kind, found in zip(cells, kinds, values, strict=True):
        kept, place = _thin(len(cell.steps), points_of_each(len(cells), POINTS)), distinct.index(kind)
        x, y = np.asarray(cell.steps)[kept], np.array(found, dtype=float)[kept]
        lines.append(Line(label=kind, group=f"kind {place}", colour=colours[place], x=x, y=y))
    return lines


def size_section(cells: Sequence[EosCell], trends: Sequence[SizeTrend]) -> Section:
    """Return stable learning rates and entry against the sizes that are varied, drawn and as exponents."""
    curves = []
    for trend in trends:
        pairs = [(cell.axes[trend.axis], quantity_of(cell, trend.quantity)) for cell in cells]
        at, values = [size for size, v in pairs if v is not None], [v for _, v in pairs if v is not None]
        sizes = trend.sizes if trend.means else ()
        curves.append(SizeCurve(trend.axis, trend.quantity, QUANTITIES[trend.quantity], at, values, sizes, trend.means))
    figure = FigureBlock(
        name="sweep-size",
        figure=size_curves(curves),
        height=560,
        describe="Stable learning rates and the first step at the limit against the size of the network",
        caption="A point for each training; lines join geometric means, over the seeds that have a value at every "
        "size. Above: the stable learning rates. Below: the first measured step at the limit.",
        legend=[LegendEntry(words, size_colour(name), name, size_mark(name)) for name, words in QUANTITIES.items()],
    )
    return Section("What the size of the network does", [figure, trend_table(trends)], _TREND_LEAD, brief=True)


_TREND_LEAD = (
    "Exponents p of quantity ~ size^p, all else equal, with 95% intervals over the seeds. Below 0 larger networks bear "
    "less; a trend is told only where the interval leaves out 0."
)
