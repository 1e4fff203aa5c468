"""The map of a check of sameness: how many units of rounding each tensor differs by at each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.maps import MAX_COLUMNS
from lastbit.report.figures.style import arrange, axis, blank, plain, spaced_ticks
from lastbit.report.formatting import count

__all__ = ["most_of_each", "unit_map"]

_LOW, _HIGH = -1.0, 5.0
"""Powers of ten that have a colour of their own: a tenth of a unit is far below, and beyond 10^5 all is far above."""

_COLOURS = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")
"""From far below the limit, over white at it, to far above; readable to the colour-blind."""


def unit_map(steps: np.ndarray, units_SR: np.ndarray, names: Sequence[str], limit: float) -> go.Figure:
    """Return the map of `log10` of units of rounding, first row on top: blue below the limit, red above, white at it.

    Where every bit agrees, or nothing was compared, it is left blank. Of more steps than there are columns, a column
    shows the most of those that it stands for, so that a step that is far off is never left out.

    Args:
        steps: (S,) those that were compared.
        units_SR: (S, R) units of rounding, one column per row of the map.
        names: of the rows.
        limit: in units of rounding.
    """
    at, most = most_of_each(steps, units_SR, MAX_COLUMNS)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(most.T)
    logs = np.where(np.isneginf(logs), np.nan, np.clip(np.round(logs, 2), _LOW, _HIGH)).astype(np.float32)
    middle = float((np.log10(limit) - _LOW) / (_HIGH - _LOW))
    ticks = [_LOW, 0.0, float(np.log10(limit)), 3.0, _HIGH]
    figure = blank()
    figure.add_heatmap(
        x=at,
        y=list(range(len(names))),
        z=logs,
        colorscale=list(zip([0, middle / 2, middle, (1 + middle) / 2, 1], _COLOURS, strict=True)),
        zmin=_LOW,
        zmax=_HIGH,
        hoverongaps=False,
        colorbar={
            "title": {"text": "units of rounding", "side": "top"},
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "xpad": 0,
            "y": 1,
            "yanchor": "bottom",
            "ypad": 8,
            "tickangle": 0,
            "thickness": 10,
            "lenmode": "fraction",
            "len": 1,
            "outlinewidth": 0,
            "tickvals": ticks,
            "ticktext": ["0.1", "1", count(limit), "1,000", "100,000"],
        },
        hovertemplate="<b>%{y}</b><br>step %{x}<br>10<sup>%{z:.2f}</sup> units of rounding<extra></extra>",
    )
    # Category labels would have to be unique and would hide rows; the hover reads the same texts.
    aliases = {str(index): plain(name) for index, name in enumerate(names)}
    arrange(
        figure,
        margin_b=44,
        xaxis=axis("optimizer step", showgrid=False),
        yaxis=axis(autorange="reversed", labelalias=aliases, **spaced_ticks(names, 48)),
    )
    return figure


def most_of_each(steps: np.ndarray, units_SR: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first step and the largest values of each of at most `columns` runs of steps.

    Example:
        >>> at, most = most_of_each(np.arange(1, 6), np.array([[1.0], [9.0], [2.0], [np.nan], [3.0]]), 3)
        >>> at.tolist(), most.tolist()
        ([1, 3, 5], [[9.0], [2.0], [3.0]])
    """
    width = -(-len(steps) // columns) or 1
    starts = np.arange(0, len(steps), width)
    return steps[starts], np.fmax.reduceat(units_SR, starts, axis=0) if len(starts) else units_SR
