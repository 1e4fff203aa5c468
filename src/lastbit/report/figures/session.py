"""A session of candidates as a timeline: their results above those of the baselines, and the error rate left below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL, SAMPLING, SEED, axis, blank, literal, plain

__all__ = ["COLOURS", "BaselineSpan", "CandidateMark", "session_timeline"]

COLOURS = {"keep": REAL, "discard": SAMPLING, "undecided": LAST_BIT, "open": NEUTRAL}
"""Of candidates, by what was decided."""

_SYMBOLS = {"keep": "diamond", "discard": "circle", "undecided": "circle-open", "open": "circle-dot"}


@dataclass(frozen=True, kw_only=True)
class CandidateMark:
    """One candidate: its place in the order, its runs, and what is said of it."""

    place: int
    label: str
    values: Sequence[float]
    shown: float | None
    """Where its mark stands; None where nothing is known of a place for it."""
    lost: bool
    """Whether it has no result, so that its mark is a cross."""
    choice: str
    said: str
    at: str
    alpha_left: float
    """After it, as a share of what was declared."""


@dataclass(frozen=True, kw_only=True)
class BaselineSpan:
    """One baseline: from which place in the order to which it was the present one."""

    label: str
    start: float
    end: float
    mean: float | None
    sigma: float | None
    runs: int


def session_timeline(
    candidates: Sequence[CandidateMark], baselines: Sequence[BaselineSpan], metric: str, unit: str, error_rate: str
) -> go.Figure:
    """Return two panels over the order of candidates: results, and the part of the error rate that is left.

    A baseline is a line with a band of one SD of a run; a candidate its runs as small points and their mean as a mark,
    without any a cross on the baseline.

    Args:
        candidates: in the order of claims.
        baselines: one after the other.
        metric: what is measured.
        unit: of it.
        error_rate: that α is the whole of, in words.
    """
    figure = blank()
    shapes: list[dict[str, Any]] = []
    for span in baselines:
        if span.mean is None:
            continue
        if span.sigma:
            low, high = span.mean - span.sigma, span.mean + span.sigma
            band = {"type": "rect", "x0": span.start, "x1": span.end, "y0": low, "y1": high, "yref": "y"}
            shapes.append(band | {"fillcolor": SEED, "opacity": 0.12, "line_width": 0, "layer": "below"})
        figure.add_scatter(
            x=[span.start, (span.start + span.end) / 2, span.end],
            y=[span.mean] * 3,
            mode="lines",
            legendgroup="baseline",
            line={"color": SEED, "width": 2},
            customdata=[[plain(span.label), span.runs]] * 3,
            hovertemplate="<b>baseline</b> %{customdata[0]}<br>mean of %{customdata[1]} runs %{y:.5~g}"
            f"{literal(unit)}<extra></extra>",
        )
    for choice, colour in COLOURS.items():
        own = [one for one in candidates if one.choice == choice]
        dots = [(one, value) for one in own for value in one.values if len(one.values) > 1]
        _scatter(figure, dots, choice, {"symbol": "circle", "size": 4, "color": colour, "opacity": 0.55}, unit)
        line = {"width": 2, "color": colour}
        for lost in (False, True):
            means = [(one, one.shown) for one in own if one.shown is not None and one.lost is lost]
            symbol, size = ("x-thin", 9) if lost else (_SYMBOLS[choice], 12 if choice == "keep" else 9)
            _scatter(figure, means, choice, {"symbol": symbol, "size": size, "color": colour, "line": line}, unit)
    left = sorted(candidates, key=lambda one: one.place)
    figure.add_scatter(
        x=[0.5, *(one.place for one in left)],
        y=[100.0, *(100 * one.alpha_left for one in left)],
        mode="lines",
        yaxis="y2",
        line={"color": NEUTRAL, "width": 2, "shape": "hv"},
        hovertemplate="after candidate %{x:.0f}<br>%{y:.3~g}% of α left<extra></extra>",
    )
    last = max((one.place for one in candidates), default=1)
    figure.update_layout(
        shapes=shapes,
        xaxis=axis("candidate, in the order of claims", range=[0.4, last + 0.6], tickformat="d", anchor="y2"),
        yaxis=axis(f"{metric} ({unit})" if unit else metric, domain=[0.3, 1]),
        yaxis2=axis(
            f"α left, of {error_rate}",
            domain=[0, 0.2],
            range=[0, 105],
            tickvals=[0, 50, 100],
            ticktext=["0%", "50%", "100%"],
        ),
    )
    return figure


def _scatter(
    figure: go.Figure, points: Sequence[tuple[CandidateMark, float]], group: str, marker: dict[str, Any], unit: str
) -> None:
    if not points:
        return
    value = "no result" if points[0][0].lost else f"%{{y:.5~g}}{literal(unit)}"
    figure.add_scatter(
        x=[one.place for one, _ in points],
        y=[value for _, value in points],
        mode="markers",
        legendgroup=group,
        marker=marker,
        customdata=[
            [one.place, plain(one.label), plain(one.said).replace("\n", "<br>"), plain(one.at)] for one, _ in points
        ],
        hovertemplate="<b>%{customdata[0]}</b> %{customdata[1]}<br>"
        f"{value}<br>%{{customdata[2]}}<br>%{{customdata[3]}}<extra></extra>",
    )
