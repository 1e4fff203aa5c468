"""Which runs predict alike: the matrix of disagreements, ordered by seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import axis, base_layout, plain

__all__ = ["churn_heat_map"]


_NAMED = 60
"""Up to this many runs, the hover names the pair."""


def churn_heat_map(churn_RR: np.ndarray[Any, Any], seeds: Sequence[int], names: Sequence[str]) -> go.Figure:
    """Return the heat map of pairwise churn with lines between seeds; a run beside itself is left blank.

    Args:
        churn_RR: shares of test examples on which two runs predict differently, 0 to 1.
        seeds: the seed of each run, equal seeds side by side.
        names: what each run is called in the hover.
    """
    count = len(seeds)
    starts = [i for i in range(count) if i == 0 or seeds[i] != seeds[i - 1]]
    edges = [*starts, count]
    labels = [plain(name) for name in names]
    # A name for every cell of a large matrix would weigh more than the matrix.
    hover = np.array([[f"{a}<br>{b}" for b in labels] for a in labels], dtype=object) if count <= _NAMED else None
    figure = go.Figure(layout=base_layout())
    small = count <= _NAMED
    figure.add_heatmap(
        z=np.where(np.eye(count, dtype=bool), np.nan, 100 * churn_RR).astype(np.float32),
        colorscale="Cividis",
        zmin=0,
        zmax=100 * float(churn_RR.max(initial=0.0)) or 1.0,
        xgap=0.5 if small else 0,
        ygap=0.5 if small else 0,
        customdata=hover,
        hovertemplate=("%{customdata}<br>" if small else "") + "churn %{z:.3~g}%<extra></extra>",
        colorbar={"title": {"text": "churn", "side": "top"}, "ticksuffix": "%", "thickness": 10, "outlinewidth": 0},
    )
    for edge in starts[1:]:
        for line in (
            {"x0": edge - 0.5, "x1": edge - 0.5, "y0": -0.5, "y1": count - 0.5},
            {"y0": edge - 0.5, "y1": edge - 0.5, "x0": -0.5, "x1": count - 0.5},
        ):
            figure.add_shape(type="line", line={"color": "#ffffff", "width": 1.5 if len(starts) <= 30 else 0.5}, **line)
    every = -(-len(starts) // 20)
    middles = [(edges[i] + edges[i + 1] - 1) / 2 for i in range(len(starts))][::every]
    ticks = {"tickvals": middles, "ticktext": [str(seeds[start]) for start in starts][::every], "showgrid": False}
    figure.update_layout(
        xaxis=axis("seed", constrain="domain", range=[-0.5, count - 0.5], **ticks),
        yaxis=axis("seed", scaleanchor="x", constrain="domain", range=[count - 0.5, -0.5], **ticks),
    )
    return figure
