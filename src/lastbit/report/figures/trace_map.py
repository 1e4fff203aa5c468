"""Maps of the difference: one row per tensor or filter in the order of the network, one column per recorded step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import axis, base_layout, plain

__all__ = ["MAX_COLUMNS", "difference_map", "spaced"]

Array = np.ndarray[Any, Any]

MAX_COLUMNS = 480
"""The most columns: two pixels each on a wide page."""

_LABELS = 48
"""Up to this many rows each has its name beside it."""


def spaced(steps: Array, most: int) -> Array:
    """Return the indices of at most about `most` steps, each at least a `most`-th of the span after the one before.

    The first and the last step are always among them.

    Example:
        >>> spaced(np.array([0, 1, 2, 3, 10, 20, 30]), 4).tolist()
        [0, 4, 5, 6]
    """
    if len(steps) <= most:
        return np.arange(len(steps))
    least = (steps[-1] - steps[0]) / most
    kept = [0]
    for index in range(1, len(steps)):
        if steps[index] - steps[kept[-1]] >= least:
            kept.append(index)
    if kept[-1] != len(steps) - 1:
        kept[-1 if len(kept) > 1 else len(kept) :] = [len(steps) - 1]
    return np.array(kept)


def difference_map(
    steps: Array, relative_SR: Array, names: Sequence[str], *, edges: Sequence[float] = (), unit: str = "relative L2"
) -> go.Figure:
    """Return the map of `log10` of a relative difference, first row on top; zeros are left blank.

    Args:
        steps: (S,) recorded steps.
        relative_SR: (S, R) relative differences, one column per row of the map.
        names: of the rows, in the order of the network.
        edges: steps at which to draw a line, such as the ends of episodes.
        unit: what the numbers are, for the hover.
    """
    kept = spaced(steps, MAX_COLUMNS)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(relative_SR[kept].T)
    # Two decimals are more than a colour can show, and compress well.
    logs = np.where(np.isfinite(logs), np.round(logs, 2), np.nan).astype(np.float32)
    figure = go.Figure(layout=base_layout())
    finite = logs[np.isfinite(logs)]
    low, high = (float(np.floor(finite.min())), float(np.ceil(finite.max()))) if len(finite) else (-8.0, 0.0)
    ticks = np.arange(low, high + 1, max(1, round((high - low) / 6)))
    figure.add_heatmap(
        x=steps[kept],
        y=list(range(len(names))),
        z=logs,
        colorscale="Cividis",
        zmin=low,
        zmax=high if high > low else low + 1,
        hoverongaps=False,
        colorbar={
            "title": {"text": plain(unit), "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
            "tickvals": ticks.tolist(),
            "ticktext": [f"10<sup>{int(t)}</sup>" for t in ticks],
        },
        hovertemplate="<b>%{y}</b><br>step %{x}<br>" + plain(unit) + " 10<sup>%{z:.2f}</sup><extra></extra>",
    )
    for edge in edges:
        figure.add_shape(
            type="line",
            x0=edge,
            x1=edge,
            y0=0,
            y1=1,
            yref="paper",
            line={"color": "#ffffff", "width": 1, "dash": "dot"},
        )
    every = -(-len(names) // _LABELS) or 1
    figure.update_layout(
        xaxis=axis("optimizer step", showgrid=False),
        # Category labels would have to be unique and would hide rows; the hover reads the same texts.
        yaxis=axis(
            autorange="reversed",
            tickvals=list(range(len(names)))[::every],
            showgrid=False,
            ticktext=[plain(name) for name in names][::every],
            labelalias=_aliases(names),
        ),
    )
    return figure


def _aliases(names: Sequence[str]) -> dict[str, str]:
    """Return the name of every row by its number as plotly writes it: the hover shows names, not numbers."""
    return {str(index): plain(name) for index, name in enumerate(names)}
