"""Where along the network the difference started, and which tensors carried its growth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import LAST_BIT, NEUTRAL, SEED, axis, base_layout, literal, spaced_ticks

__all__ = ["TensorRow", "origin_figure"]


@dataclass(frozen=True, kw_only=True)
class TensorRow:
    """One tensor, from the input of the network to its output."""

    name: str
    at_first: float
    """Relative L2 difference at the first recorded step at which any tensor differs."""
    at_end: float
    growth_share: float | None


def origin_figure(rows: Sequence[TensorRow]) -> go.Figure:
    """Return two panels that share the tensors, first on top: the difference at start and end, and growth shares.

    Left, on a logarithmic axis, a line from the relative difference where the twins first parted to that at the end;
    right, the tensor's share of all growth within the episodes (it can be negative).
    """
    grey = {"type": "line", "line": {"color": NEUTRAL, "width": 2}}
    paths = [
        grey | {"x0": row.at_first, "x1": row.at_end, "y0": place, "y1": place}
        for place, row in enumerate(rows)
        if row.at_first > 0 and row.at_end > 0
    ]
    figure = go.Figure(layout=base_layout(barmode="overlay", shapes=paths))
    shared = {"y": list(range(len(rows))), "customdata": [literal(r.name) for r in rows]}
    for values, colour, label in (
        ([r.at_first for r in rows], SEED, "where the twins first part"),
        ([r.at_end for r in rows], LAST_BIT, "at the end"),
    ):
        figure.add_scatter(
            x=[value if value > 0 and np.isfinite(value) else None for value in values],
            mode="markers",
            marker={"color": colour, "size": 8},
            **shared,
            hovertemplate=f"<b>%{{customdata}}</b><br>{label}: relative L2 %{{x:.2~e}}<extra></extra>",
        )
    figure.add_bar(
        x=[100 * r.growth_share if r.growth_share is not None else None for r in rows],
        orientation="h",
        xaxis="x2",
        marker={"color": LAST_BIT, "line": {"width": 0}},
        width=0.6,
        hovertemplate="<b>%{customdata}</b><br>%{x:.3~g}% of all growth<extra></extra>",
        **shared,
    )
    ticks = spaced_ticks([r.name for r in rows], 48) | {"showgrid": True}
    figure.update_layout(
        xaxis=axis("relative L2 difference", type="log", domain=[0, 0.62], dtick=1),
        xaxis2=axis("share of growth", domain=[0.68, 1], ticksuffix="%", zeroline=True, anchor="y"),
        yaxis=axis(range=[len(rows) - 0.4, -0.6], **ticks),
    )
    return figure
