"""Which layers are past their limit, and when: a heat map of ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import axis, base_layout, plain

__all__ = ["layer_map"]

Array = np.ndarray[Any, Any]


def layer_map(names: Sequence[str], steps: Array, ratio_LM: Array) -> go.Figure:
    """Return the ratio of each layer moved alone over the steps: blue below the limit, red above, white at it.

    Args:
        names: of the layers, the first on top.
        steps: (M,) at which they were measured.
        ratio_LM: sharpness over limit.
    """
    figure = go.Figure(layout=base_layout())
    figure.add_heatmap(
        x=[str(step) for step in steps],
        y=[plain(name) for name in names],
        z=ratio_LM.astype(np.float32),
        colorscale="RdBu",
        reversescale=True,
        zmin=0,
        zmid=1,
        zmax=max(2.0, min(float(np.nanmax(ratio_LM)), 10.0)) if np.isfinite(ratio_LM).any() else 2.0,
        xgap=0.5,
        ygap=1,
        hovertemplate="<b>%{y}</b><br>step %{x}<br>sharpness / limit %{z:.3~g}<extra></extra>",
        colorbar={"title": {"text": "ratio", "side": "top"}, "thickness": 10, "outlinewidth": 0},
    )
    ticks = [str(step) for step in steps][:: max(1, len(steps) // 8)]
    figure.update_layout(
        xaxis=axis("optimizer step", type="category", tickvals=ticks, showgrid=False),
        yaxis=axis("", type="category", autorange="reversed", showgrid=False),
    )
    return figure
