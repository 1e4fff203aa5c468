"""The arms of a comparison: their runs as dots with the mean and its interval, and the differences below each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL, SEED, axis, blank, literal, plain, upright

__all__ = ["ArmStrip", "DifferenceBar", "arm_strips", "difference_bars"]

_RUNS = SEED


@dataclass(frozen=True, kw_only=True)
class ArmStrip:
    """One arm: final values of its runs, the mean with its interval."""

    label: str
    values: Sequence[float]
    seeds: Sequence[str]
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class DifferenceBar:
    """The difference of two arms with its interval; `tone` is `real`, `no_difference` or `undecided`."""

    label: str
    difference: float
    low: float | None
    high: float | None
    tone: str


def arm_strips(arms: Sequence[ArmStrip], metric: str, unit: str) -> go.Figure:
    """Return a row for each arm, the first at the top: dots are runs, the whisker is the interval of the mean."""
    figure = blank()
    places = list(range(len(arms)))[::-1]
    for place, arm in zip(places, arms, strict=True):
        # The golden ratio spreads any number of dots evenly, the same way each time.
        offsets = [0.44 * ((0.5 + 0.618034 * i) % 1) - 0.22 for i in range(len(arm.values))]
        figure.add_scatter(
            x=list(arm.values),
            y=[place - 0.12 + offset for offset in offsets],
            mode="markers",
            opacity=0.85,
            legendgroup="runs",
            marker={"symbol": "circle", "size": 8, "color": _RUNS},
            customdata=[[plain(arm.label), plain(seed)] for seed in arm.seeds],
            hovertemplate="<b>%{customdata[0]}</b>, seed %{customdata[1]}<br>"
            f"{literal(metric)} %{{x:.5~g}}{literal(unit)}<extra></extra>",
        )
        if arm.mean is None:
            continue
        bar = None
        if arm.low is not None and arm.high is not None:
            bar = {"array": [arm.high - arm.mean], "arrayminus": [arm.mean - arm.low], "width": 6, "thickness": 2.5}
        figure.add_scatter(
            x=[arm.mean],
            y=[place + 0.28],
            mode="markers",
            legendgroup="mean",
            marker={"symbol": "diamond", "size": 10, "color": NEUTRAL},
            error_x=None if bar is None else {"type": "data", "symmetric": False, "color": NEUTRAL, **bar},
            customdata=[plain(arm.label)],
            hovertemplate=f"<b>%{{customdata}}</b><br>mean {literal(metric)} %{{x:.5~g}}{literal(unit)}<extra></extra>",
        )
    rows: dict[str, Any] = {"tickvals": places, "ticktext": [plain(arm.label) for arm in arms], "showgrid": False}
    figure.update_layout(
        xaxis=axis(f"{metric} ({unit})" if unit else metric), yaxis=axis(range=[-0.6, len(arms) - 0.4], **rows)
    )
    return figure


_TONES = {"real": REAL, "no_difference": SEED, "undecided": NEUTRAL}


def difference_bars(bars: Sequence[DifferenceBar], unit: str, worth: float | None) -> go.Figure:
    """Return a row for each pair: its difference with the interval, a line at none, a band of what is not worth it."""
    figure = blank()
    places = list(range(len(bars)))[::-1]
    for place, bar in zip(places, bars, strict=True):
        colour = _TONES[bar.tone]
        error = None
        if bar.low is not None and bar.high is not None:
            ends = {"array": [bar.high - bar.difference], "arrayminus": [bar.difference - bar.low]}
            error = {"type": "data", "symmetric": False, "color": colour, "width": 6, "thickness": 2.5, **ends}
        figure.add_scatter(
            x=[bar.difference],
            y=[place],
            mode="markers",
            legendgroup=bar.tone,
            marker={"symbol": "diamond", "size": 11, "color": colour},
            error_x=error,
            customdata=[plain(bar.label)],
            hovertemplate=f"<b>%{{customdata}}</b><br>%{{x:.4~g}} {literal(unit)}<extra></extra>",
        )
    shapes = [upright(0.0, 0.0, line={"color": NEUTRAL, "width": 1.5, "dash": "dot"})]
    if worth is not None:
        shapes.append(upright(-worth, worth, fillcolor=LAST_BIT, opacity=0.12, line_width=0, layer="below"))
    reach = [abs(end) for bar in bars for end in (bar.low, bar.high, bar.difference) if end is not None]
    most = 1.1 * max([*reach, worth or 0.0]) or 1.0
    rows: dict[str, Any] = {"tickvals": places, "ticktext": [plain(bar.label) for bar in bars], "showgrid": False}
    figure.update_layout(
        shapes=shapes,
        xaxis=axis(f"difference ({unit})" if unit else "difference", range=[-most, most]),
        yaxis=axis(range=[-0.6, len(bars) - 0.4], **rows),
    )
    return figure
