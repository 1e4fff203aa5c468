"""Where along the network the difference started, and which tensors carried its growth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import LAST_BIT, NEUTRAL, SEED, axis, base_layout, literal, spaced_ticks

__all__ = ["origin_figure"]


def origin_figure(
    names: Sequence[str], at_first: Sequence[float], at_end: Sequence[float], growth_shares: Sequence[float | None]
) -> go.Figure:
    """Return two panels that share the tensors, first on top: the difference at start and end, and growth shares.

    Left, on a logarithmic axis, a line from the relative difference where the twins first parted to that at the end;
    right, the tensor's share of all growth within the episodes (it can be negative).

    Args:
        names: of the tensors, from the input of the network to its output.
        at_first: relative L2 difference of each at the first recorded step at which any tensor differs.
        at_end: the same at the last step.
        growth_shares: None where nothing grew.
    """
    grey = {"type": "line", "line": {"color": NEUTRAL, "width": 2}}
    paths = [
        grey | {"x0": start, "x1": end, "y0": place, "y1": place}
        for place, (start, end) in enumerate(zip(at_first, at_end, strict=True))
        if start > 0 and end > 0
    ]
    figure = go.Figure(layout=base_layout(barmode="overlay", shapes=paths))
    shared = {"y": list(range(len(names))), "customdata": [literal(name) for name in names]}
    for values, colour, label in (
        (at_first, SEED, "where the twins first part"),
        (at_end, LAST_BIT, "at the end"),
    ):
        figure.add_scatter(
            x=[value if value > 0 and np.isfinite(value) else None for value in values],
            mode="markers",
            marker={"color": colour, "size": 8},
            **shared,
            hovertemplate=f"<b>%{{customdata}}</b><br>{label}: relative L2 %{{x:.2~e}}<extra></extra>",
        )
    figure.add_bar(
        x=[100 * share if share is not None else None for share in growth_shares],
        orientation="h",
        xaxis="x2",
        marker={"color": LAST_BIT, "line": {"width": 0}},
        width=0.6,
        hovertemplate="<b>%{customdata}</b><br>%{x:.3~g}% of all growth<extra></extra>",
        **shared,
    )
    ticks = spaced_ticks(names, 48) | {"showgrid": True}
    figure.update_layout(
        xaxis=axis("relative L2 difference", type="log", domain=[0, 0.62], dtick=1),
        xaxis2=axis("share of growth", domain=[0.68, 1], ticksuffix="%", zeroline=True, anchor="y"),
        yaxis=axis(range=[len(names) - 0.4, -0.6], **ticks),
    )
    return figure
