"""What a sweep shows: where each training settles, the rates it could bear, and what growing a network does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from lastbit.report.blocks import Mark
from lastbit.report.figures.style import LAST_BIT, NEUTRAL, PLAIN_LOG, REAL, SEED, arrange, axis, blank, plain
from lastbit.report.formatting import RATIO
from lastbit.stats import Estimate

__all__ = ["Settled", "SizeCurve", "settled", "size_colour", "size_curves", "size_mark"]

_MARKS = {
    "stable_lr_first": (SEED, "circle-open"),
    "stable_lr_lowest": (LAST_BIT, "triangle-down"),
    "stable_lr_tail": (REAL, "circle"),
    "entered_at_step": (NEUTRAL, "diamond"),
}
"""Colour and symbol of each quantity; the last has a panel of its own."""


@dataclass(frozen=True)
class Settled:
    """One training: the ratio it settled at, and the stable rates at the start and at the end."""

    label: str
    ratio: Estimate
    first_lr: float | None
    last_lr: float | None
    lr: float | None


def settled(rows: Sequence[Settled]) -> go.Figure:
    """Return two panels by training: the ratio of the last third, where one is measured, and stable learning rates."""
    figure = blank()
    names = [plain(row.label) for row in rows]
    highest = 1.2
    for name, row in zip(names, rows, strict=True):
        if (ratio := row.ratio.estimate) is None:
            continue
        low, high = row.ratio.low or ratio, row.ratio.high or ratio
        reach, highest = {"array": [high - ratio], "arrayminus": [ratio - low]}, max(highest, 1.1 * high)
        figure.add_scatter(
            x=[name],
            y=[ratio],
            mode="markers",
            marker={"size": 9, "color": SEED},
            legendgroup="ratio",
            error_y={"type": "data", "symmetric": False, **reach, "thickness": 1.5},
            hovertemplate="<b>%{x}</b><br>" + RATIO + " %{y:.4~g}<extra></extra>",
        )
    measured = bool(figure.data)
    if measured:
        dashes = {"color": LAST_BIT, "width": 1.5, "dash": "dash"}
        figure.add_shape(type="line", xref="paper", x0=0, x1=1, y0=1, y1=1, line=dashes)
    marks = (
        ("first step", [row.first_lr for row in rows], SEED, "circle-open", "first"),
        ("last step", [row.last_lr for row in rows], SEED, "circle", "last"),
        ("the rate in use", [row.lr for row in rows], REAL, "line-ew-open", "lr"),
    )
    for title, values, colour, symbol, group in marks:
        figure.add_scatter(
            x=names,
            y=values,
            yaxis="y2",
            mode="markers",
            legendgroup=group,
            marker={"symbol": symbol, "size": 12, "color": colour, "line": {"width": 2, "color": colour}},
            hovertemplate=f"<b>%{{x}}</b><br>{title}: %{{y:.4~g}}<extra></extra>",
        )
    arrange(
        figure,
        xaxis=axis("", type="category", anchor="y2"),
        yaxis=axis(RATIO, domain=[0.54, 1], range=[0, highest]),
        yaxis2=axis("stable learning rate", domain=[0, 0.44 if measured else 1], rangemode="tozero"),
    )
    return figure


@dataclass(frozen=True)
class SizeCurve:
    """One quantity over one size: a point for each training, and the geometric mean at each size."""

    axis: str
    quantity: str
    label: str
    at: Sequence[float]
    values: Sequence[float]
    sizes: Sequence[int]
    means: Sequence[float]


def size_colour(quantity: str) -> str:
    """Return the colour in which a quantity is drawn."""
    return _MARKS[quantity][0]


def size_mark(quantity: str) -> Mark:
    """Return the mark with which a quantity is drawn."""
    names: dict[str, Mark] = {"circle-open": "ring", "triangle-down": "triangle", "circle": "point"}
    return names.get(_MARKS[quantity][1], "diamond")


def size_curves(curves: Sequence[SizeCurve]) -> go.Figure:
    """Return a column for each size: above the stable learning rates, below the step of entry, all axes logarithmic."""
    figure = blank()
    axes = list(dict.fromkeys(curve.axis for curve in curves))
    width = 1 / len(axes)
    for column, name in enumerate(axes):
        numbers = ("" if column == 0 else str(2 * column + 1), str(2 * column + 2))
        held = [curve for curve in curves if curve.axis == name]
        for curve in held:
            _draw(figure, curve, numbers[curve.quantity == "entered_at_step"])
        left = column * width + 0.06 * (column > 0)
        sizes = sorted({size for curve in held for size in curve.sizes})
        ticks = {"type": "log", "tickvals": sizes, "ticktext": [str(size) for size in sizes]}
        domain = [left, (column + 1) * width]
        titles = ("stable learning rate", "first step at the limit") if column == 0 else ("", "")
        arrange(
            figure,
            **{
                f"xaxis{numbers[0]}": axis("", domain=domain, anchor=f"y{numbers[0]}", **ticks),
                f"xaxis{numbers[1]}": axis(name, domain=domain, anchor=f"y{numbers[1]}", **ticks),
                f"yaxis{numbers[0]}": axis(titles[0], domain=[0.46, 1], anchor=f"x{numbers[0]}", **PLAIN_LOG),
                f"yaxis{numbers[1]}": axis(titles[1], domain=[0, 0.36], anchor=f"x{numbers[1]}", **PLAIN_LOG),
            },
        )
    return figure


def _draw(figure: go.Figure, curve: SizeCurve, number: str) -> None:
    colour, symbol = _MARKS[curve.quantity]
    panel = {"xaxis": f"x{number}", "yaxis": f"y{number}", "legendgroup": curve.quantity}
    figure.add_scatter(
        x=curve.at,
        y=curve.values,
        mode="markers",
        **panel,
        marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 1.5, "color": colour}},
        hovertemplate=f"<b>{plain(curve.axis)} %{{x}}</b><br>{plain(curve.label)}: %{{y:.4~g}}<extra></extra>",
    )
    figure.add_scatter(
        x=curve.sizes, y=curve.means, mode="lines", **panel, line={"color": colour, "width": 1.4}, hoverinfo="skip"
    )
