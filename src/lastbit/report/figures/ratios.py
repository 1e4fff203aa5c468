"""Ratios below each other on a logarithmic axis, each with its interval, and a line at 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from lastbit.report.figures.style import LAST_BIT, NEUTRAL, PLAIN_LOG, REAL, axis, blank, plain, upright

__all__ = ["RatioBar", "ratio_bars"]

_LEAST = 1e-3
"""Ratios below are drawn there: their decades say nothing more."""

_TONES = {"calms": REAL, "raises": LAST_BIT, "open": NEUTRAL}


@dataclass(frozen=True, kw_only=True)
class RatioBar:
    """A ratio with its interval; `tone` is `calms`, `raises` or `open`."""

    label: str
    ratio: float
    low: float | None
    high: float | None
    tone: str


def ratio_bars(bars: Sequence[RatioBar], title: str) -> go.Figure:
    """Return a row for each ratio, the first at the top: a mark with its interval, and a line at 1."""
    figure = blank()
    places = list(range(len(bars)))[::-1]
    for place, bar in zip(places, bars, strict=True):
        colour, ratio = _TONES[bar.tone], max(bar.ratio, _LEAST)
        error = None
        if bar.low is not None and bar.high is not None:
            ends = {"array": [max(bar.high, _LEAST) - ratio], "arrayminus": [ratio - max(bar.low, _LEAST)]}
            error = {"type": "data", "symmetric": False, "color": colour, "width": 6, "thickness": 2.5, **ends}
        figure.add_scatter(
            x=[ratio],
            y=[place],
            mode="markers",
            legendgroup=bar.tone,
            marker={"symbol": "diamond", "size": 11, "color": colour},
            error_x=error,
            customdata=[[plain(bar.label), bar.ratio]],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]:.3~g}<extra></extra>",
        )
    rows: dict[str, Any] = {"tickvals": places, "ticktext": [plain(bar.label) for bar in bars], "showgrid": False}
    figure.update_layout(
        shapes=[upright(1.0, 1.0, line={"color": NEUTRAL, "width": 1.5, "dash": "dot"})],
        xaxis=axis(title, **_scale(bars)),
        yaxis=axis(range=[-0.6, len(bars) - 0.4], **rows),
    )
    return figure


def _scale(bars: Sequence[RatioBar]) -> dict[str, Any]:
    """Return the settings of the axis: round numbers where it is short, powers of ten where it is long."""
    values = [value for bar in bars for value in (bar.low, bar.ratio, bar.high) if value is not None]
    return (
        PLAIN_LOG if min(values, default=1.0) > 0.05 and max(values, default=1.0) < 20 else {"type": "log", "dtick": 1}
    )
