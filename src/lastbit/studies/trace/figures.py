"""The figures of a trace's report, each in its section with legend, caption and words for who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lastbit.dynamics.localise import FirstDifference
from lastbit.report.blocks import Block, FigureBlock, LegendEntry, Mark, Prose, Section
from lastbit.report.figures.curves import TWIN_COLOURS, difference_curves, scaled_time_curves, visible_effect
from lastbit.report.figures.lines import Line
from lastbit.report.figures.maps import MAX_COLUMNS, difference_map, origin_figure, spaced
from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL, SEED
from lastbit.report.formatting import capitalised, step
from lastbit.studies.frame.page import points_of_each
from lastbit.studies.trace.result import TraceResult
from lastbit.studies.trace.tensors import growth_share_intervals
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = [
    "POINTS",
    "difference_section",
    "effect_section",
    "filter_section",
    "first_seen",
    "map_section",
    "origin_section",
    "sweep_section",
]

POINTS = 1200
"""The most points of a line."""

_LINES = 24
"""The most twins drawn one by one."""


def _spans(found: TwinsFound) -> list[tuple[float, float]]:
    return [(e.start, e.end) for e in found.episodes]


def _edges(found: TwinsFound) -> list[float]:
    return [float(edge) for span in _spans(found)[:12] for edge in span]


def _twin_curves(arrays: Mapping[str, np.ndarray], steps: np.ndarray, values_KS: np.ndarray, points: int) -> list[Line]:
    """Return one curve per perturbed twin, thinned."""
    kept = spaced(steps, points)
    labels = arrays["label"] if "label" in arrays else arrays["twin"]
    return [
        Line(
            label=str(labels[index]),
            group=f"twin {index}",
            x=steps[kept],
            y=values_KS[index][kept],
            colour=TWIN_COLOURS[(index - 1) % len(TWIN_COLOURS)],
        )
        for index in range(1, min(values_KS.shape[0], _LINES + 1))
    ]


_MARKS: dict[str | None, Mark] = {"dash": "dashed", "dot": "dotted"}


def _legend(curves: Sequence[Line], spans: Sequence[tuple[float, float]] = ()) -> list[LegendEntry]:
    """Return what the lines are called, and the bands of growth episodes where there are any."""
    lines = [LegendEntry(curve.label, curve.colour, curve.group, _MARKS.get(curve.dash, "line")) for curve in curves]
    return [*lines, LegendEntry("growth episode", NEUTRAL, mark="band")] if spans else lines


def _map_legend(edges: Sequence[float]) -> list[LegendEntry]:
    return [LegendEntry("end of a growth episode", NEUTRAL, mark="dotted")] if edges else []


def difference_section(found: TwinsFound, arrays: Mapping[str, np.ndarray], points: int) -> Section:
    """Return the difference over steps, with the ulp floor, the bound of rounding and the episodes."""
    steps, norm = arrays["step"], arrays["all_norm"]
    curves = _twin_curves(arrays, steps, arrays["all_relative_l2"], points)
    kept = spaced(steps, points)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = arrays["rounding_bound"] / norm
        floor = float(arrays["single_rounding"][0] / norm[0]) if norm[0] else 0.0
    told = " Behind each line: the 95% interval of its distance." if found.distance_interval else ""
    figure = FigureBlock(
        name="difference",
        figure=difference_curves(curves, steps[kept], bound[kept], floor, _spans(found), found.distance_interval),
        height=430,
        describe="Relative L2 difference of every twin from the base run over the optimizer steps, logarithmic",
        caption="Dotted: the ulp floor, how far apart the rounding of a single step puts two runs. Dashed: what "
        "accumulated rounding explains in training that does not amplify. Grey bands: growth episodes. The exact "
        f"repeat is 0 everywhere and is not drawn.{told}",
        legend=[
            *_legend(curves, _spans(found)),
            LegendEntry("accumulated rounding", NEUTRAL, "bound", "dashed"),
            *([LegendEntry("rounding of one step", NEUTRAL, "floor", "dotted")] if floor > 0 else []),
        ],
    )
    blocks: list[Block] = [figure]
    if found.renormalised:
        blocks.append(Prose(("The twins were renormalised: each fall is where one was brought back to its base.",)))
    return Section("How the last bit grew", blocks)


def effect_section(found: TwinsFound, arrays: Mapping[str, np.ndarray], points: int) -> Section:
    """Return what the training loss and the predictions show of the difference."""
    gaps = _twin_curves(arrays, arrays["step"], np.abs(arrays["loss_gap"]), points)
    churn = []
    if np.isfinite(arrays["churn"]).any():
        churn = _twin_curves(arrays, arrays["probe_step"], 100 * arrays["churn"], points)
    figure = FigureBlock(
        name="effect",
        figure=visible_effect(gaps, churn, _spans(found)),
        height=430 if churn else 280,
        describe="Gap between the training losses of twins and base, and share of predictions that differ, over steps",
        caption="Above: how far the loss on the same mini-batch is from the base's. Below: the share of the first test "
        "samples that a twin predicts differently.",
        legend=_legend(gaps, _spans(found)),
    )
    return Section("What it does to loss and predictions", [figure])


def map_section(found: TwinsFound, arrays: Mapping[str, np.ndarray], points: int) -> Section:
    """Return the tensor by step map."""
    names = [str(name) for name in arrays["tensor"]]
    order = "run from the network's input (top) to its output"
    if found.separate:
        order = "stand as the optimizer holds them, named optimizer.group.place"
    figure = FigureBlock(
        name="map",
        figure=difference_map(
            arrays["step"], _geometric(arrays["relative_l2"][1:]), names, edges=_edges(found), columns=_columns(points)
        ),
        height=min(960, 190 + max(16, min(26, 900 // max(1, len(names)))) * len(names)),
        describe="Map of the relative L2 difference by tensor and optimizer step",
        caption=f"Geometric mean over the twins of each tensor's L2 difference relative to its own norm. Tensors "
        f"{order}.",
        legend=_map_legend(_edges(found)),
    )
    return Section("Which tensors, and when", [figure])


def _columns(points: int) -> int:
    """Return how many columns a map has beside lines of so many points."""
    return MAX_COLUMNS * points // POINTS


def _geometric(values_KST: np.ndarray) -> np.ndarray:
    """Return the geometric mean over twins (S, T) of what is positive, 0 where nothing is."""
    positive = np.isfinite(values_KST) & (values_KST > 0)
    logs = np.log(np.where(positive, values_KST, 1.0)).sum(axis=0) / np.maximum(positive.sum(axis=0), 1)
    return np.where(positive.any(axis=0), np.exp(logs), 0.0)


def filter_section(
    found: TwinsFound, arrays: Mapping[str, np.ndarray], layer: str | None, points: int
) -> list[Section]:
    """Return the filter by step map of the chosen convolution, or of the one that amplified most."""
    convolutions = [str(name) for name in arrays["convolution"]]
    ranked = [name for name in found.most_amplifying if name in convolutions] or convolutions
    chosen = layer if layer in convolutions else ranked[0] if ranked else None
    if chosen is None:
        return []
    mine = arrays["filter_tensor"] == chosen
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = arrays["filter_l2"][:, mine] / arrays["filter_norm"][:, mine]
    names = [f"filter {index}" for index in arrays["filter_index"][mine]]
    figure = FigureBlock(
        name="filters",
        figure=difference_map(arrays["step"], relative, names, edges=_edges(found), columns=_columns(points)),
        height=min(820, 190 + max(6, min(22, 620 // max(1, len(names)))) * len(names)),
        describe=f"Map of the relative L2 difference by filter of {chosen} and optimizer step",
        caption="Each filter's L2 difference relative to its own norm, geometric mean over the twins.",
        legend=_map_legend(_edges(found)),
    )
    why = "the layer asked for" if layer == chosen else "the convolution that took the largest part in the growth"
    return [Section(f"Filters of {chosen}", [figure], capitalised(f"{why}."))]


def origin_section(found: TwinsFound, arrays: Mapping[str, np.ndarray]) -> list[Section]:
    """Return where along the network the difference started and what carried its growth."""
    first = found.first_difference
    if first is None:
        return []
    at = int(np.flatnonzero(arrays["step"] == first.step)[0])
    relative = _geometric(arrays["relative_l2"][1:])
    names = [row.tensor for row in found.tensors]
    shares = [row.growth_share for row in found.tensors]
    intervals = growth_share_intervals(arrays, found.episodes)
    whisker = [] if intervals is None else [LegendEntry("its 95% interval over the twins", NEUTRAL, mark="whisker")]
    figure = FigureBlock(
        name="origin",
        figure=origin_figure(names, relative[at].tolist(), relative[-1].tolist(), shares, intervals),
        height=min(1020, 130 + max(15, min(26, 900 // max(1, len(names)))) * len(names)),
        describe="For each tensor the difference at the first step and at the end, and its share of the growth",
        legend=[
            LegendEntry(f"at {step(first.step)}, where the twins first differ", SEED, "first", "point"),
            LegendEntry("at the end", LAST_BIT, "end", "point"),
            LegendEntry("share of the growth", REAL, "growth"),
            *whisker,
        ],
        caption="Right: each tensor's part of the logarithmic growth of the whole difference within the episodes; the "
        "parts add up to 100%.",
    )
    lead = f"First difference: {first_seen(found, first)}."
    return [Section("Where along the network it started", [figure], lead)]


def first_seen(found: TwinsFound, first: FirstDifference) -> str:
    """Return where the twins first part, and how well that is known where not every step was recorded."""
    before = found.last_equal_step
    told = f" (equal at {step(before)}, nothing recorded between)" if before is not None else " (the first record)"
    exact = first.step - 1 == (found.from_step if before is None else before)
    return f"{step(first.step)}, largest in {first.tensor}{'' if exact else told}"


def sweep_section(result: TraceResult, members: Mapping[str, Mapping[str, np.ndarray]]) -> list[Section]:
    """Return the differences of every member of a sweep over scaled time."""
    if len(members) < 2:
        return []
    rows = {member.name: member for member in result.members}
    rates = sorted({row.lr or 0.0 for row in rows.values()}, reverse=True)
    formats = sorted({row.dtype for row in rows.values()})
    # Over scaled time only where there are rates to scale by.
    scaled = len(rates) > 1
    places: list[Any] = [*members] if result.separate else rates if scaled else formats
    dashes = ("solid", "dot", "dash")
    styles = ", ".join(f"{style} {name}" for style, name in zip(("solid", "dotted", "dashed"), formats, strict=False))
    told = f"Lines: {styles}. " if len(formats) > 1 else ""
    curves = []
    for name, arrays in members.items():
        row = rows[name]
        rate = row.lr or 0.0
        place = places.index(name if result.separate else rate if scaled else row.dtype)
        kept = spaced(arrays["step"], points_of_each(len(members), POINTS))
        time = arrays["step"][kept] * (rate if scaled else 1)
        curves.append(
            Line(
                label=name,
                group=name,
                x=time,
                y=_geometric(arrays["all_relative_l2"][1:])[kept],
                colour=TWIN_COLOURS[place % len(TWIN_COLOURS)],
                dash=dashes[formats.index(row.dtype) % 3] if scaled and len(formats) > 1 else "solid",
            )
        )
    remark = "A wider format starts lower; an instability takes it to the same level."
    if result.separate:
        remark = "Each line is an optimizer of a seed, over its own steps."
    elif scaled:
        remark = (
            f"{told}Accumulated rounding would grow with the number of steps, so with smaller rates; growth caused by "
            "too long a step disappears with them."
        )
    figure = FigureBlock(
        name="sweep",
        figure=scaled_time_curves(curves, scaled=scaled),
        height=400,
        describe="Relative L2 difference of twins for every learning rate and format of the sweep",
        legend=_legend(curves),
        caption=f"Geometric mean over the twins. {remark}",
    )
    return [Section("All of them together" if result.separate else "The sweep", [figure])]
