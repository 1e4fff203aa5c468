"""What a sweep shows: where each training settles, and the rates it could bear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from lastbit.report.figures.style import LAST_BIT, REAL, SEED, axis, base_layout, plain
from lastbit.stats import Estimate

__all__ = ["Settled", "settled"]


@dataclass(frozen=True)
class Settled:
    """One training: the ratio it settled at, and the stable rates at the start and at the end."""

    label: str
    ratio: Estimate
    first_lr: float | None
    last_lr: float | None
    lr: float | None


def settled(rows: Sequence[Settled]) -> go.Figure:
    """Return two panels by training: sharpness over limit in the last third, and stable learning rates."""
    figure = go.Figure(layout=base_layout())
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
            hovertemplate="<b>%{x}</b><br>sharpness / limit %{y:.4~g}<extra></extra>",
        )
    figure.add_shape(
        type="line", xref="paper", x0=0, x1=1, y0=1, y1=1, line={"color": LAST_BIT, "width": 1.5, "dash": "dash"}
    )
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
    figure.update_layout(
        xaxis=axis("", type="category", anchor="y2"),
        yaxis=axis("sharpness / limit", domain=[0.54, 1], range=[0, highest]),
        yaxis2=axis("stable learning rate", domain=[0, 0.44], rangemode="tozero"),
    )
    return figure
