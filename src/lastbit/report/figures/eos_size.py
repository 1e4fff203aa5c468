"""What growing a network does: stable learning rates and the step at which the limit is reached, by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from lastbit.report.figures.style import LAST_BIT, NEUTRAL, PLAIN_LOG, REAL, SEED, axis, base_layout, plain

__all__ = ["SizeCurve", "size_colour", "size_curves"]

_MARKS = {
    "stable_lr_first": (SEED, "circle-open"),
    "stable_lr_lowest": (LAST_BIT, "triangle-down"),
    "stable_lr_tail": (REAL, "circle"),
    "entered_at_step": (NEUTRAL, "diamond"),
}
"""Colour and symbol of each quantity; the last has a panel of its own."""


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


def size_curves(curves: Sequence[SizeCurve]) -> go.Figure:
    """Return a column for each size: above the stable learning rates, below the step of entry, all axes logarithmic."""
    figure = go.Figure(layout=base_layout())
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
        figure.update_layout(
            {
                f"xaxis{numbers[0]}": axis("", domain=domain, anchor=f"y{numbers[0]}", **ticks),
                f"xaxis{numbers[1]}": axis(name, domain=domain, anchor=f"y{numbers[1]}", **ticks),
                f"yaxis{numbers[0]}": axis(titles[0], domain=[0.46, 1], anchor=f"x{numbers[0]}", **PLAIN_LOG),
                f"yaxis{numbers[1]}": axis(titles[1], domain=[0, 0.36], anchor=f"x{numbers[1]}", **PLAIN_LOG),
            }
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
