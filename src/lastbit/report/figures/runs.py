"""Two runs of one program: how far they were equal, and the way from where they first differ to what is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL, arrange, axis, blank, literal, plain

__all__ = ["EQUAL", "OTHER", "SUSPECT", "Box", "Track", "chain", "timelines"]

EQUAL, OTHER, SUSPECT = REAL, LAST_BIT, NEUTRAL
"""Colours of steps that are equal, of the first that is not, and of operations that differ without consequence."""

_BAR = 0.16
"""Half the height of a bar."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """A process in one of the runs."""

    label: str
    equal: int
    """Steps after which it and its twin were equal."""
    ends: int
    """Its last step that was seen."""
    differs: bool
    said: str
    """How it ends, for the hover."""
    suspects: Sequence[int] = ()


def timelines(tracks: Sequence[Track]) -> go.Figure:
    """Return a bar of equal steps for each process of each run, and a mark where two processes first differ."""
    figure = blank()
    most = max([1, *(track.ends for track in tracks)])
    for place, track in enumerate(tracks):
        y = len(tracks) - 1 - place
        hover = f"<b>{literal(track.label)}</b><br>{literal(track.said)}<extra></extra>"
        figure.add_scatter(
            x=[0, 0, track.equal, track.equal, 0],
            y=[y - _BAR, y + _BAR, y + _BAR, y - _BAR, y - _BAR],
            fill="toself",
            mode="lines",
            line={"width": 0, "color": EQUAL},
            fillcolor=EQUAL,
            opacity=0.75,
            hoverinfo="skip",
            legendgroup="equal",
        )
        # A point in the middle answers the pointer; a filled shape of plotly's does so at its edges alone.
        figure.add_scatter(
            x=[track.equal / 2], y=[y], mode="markers", marker={"size": 18, "opacity": 0}, hovertemplate=hover
        )
        if track.differs:
            figure.add_scatter(
                x=[track.ends],
                y=[y],
                mode="markers",
                marker={"size": 15, "symbol": "diamond", "color": OTHER},
                hovertemplate=hover,
                legendgroup="differs",
            )
        if track.suspects:
            figure.add_scatter(
                x=list(track.suspects),
                y=[y] * len(track.suspects),
                mode="markers",
                marker={"size": 9, "symbol": "circle-open", "color": SUSPECT, "line": {"width": 2}},
                hovertemplate="step %{x}: operations gave other results, weights are equal<extra></extra>",
                legendgroup="suspect",
            )
    names = [plain(track.label) for track in reversed(tracks)]
    arrange(
        figure,
        xaxis=axis("optimizer step", range=[-0.02 * most, 1.05 * most], tickformat=",d", nticks=min(most + 1, 8)),
        yaxis=axis(tickvals=list(range(len(tracks))), ticktext=names, range=[-0.6, len(tracks) - 0.4], showgrid=False),
    )
    return figure


@dataclass(frozen=True, kw_only=True)
class Box:
    """A station on the way: an operation, or what is trained."""

    title: str
    under: str
    """Said below the title."""
    hover: str
    root: bool = False
    """Whether the difference arose here."""


def chain(boxes: Sequence[Box]) -> go.Figure:
    """Return the boxes from top to bottom with arrows between them: where the difference arose first."""
    figure, last = blank(margin={"l": 8, "r": 8, "t": 4, "b": 4}), len(boxes) - 1
    for place, box in enumerate(boxes):
        y = last - place
        colour = OTHER if box.root else NEUTRAL if place < last else "#0072b2"
        figure.add_shape(
            type="rect",
            x0=0,
            x1=1,
            y0=y - 0.32,
            y1=y + 0.32,
            line={"color": colour, "width": 2},
            fillcolor="rgba(0,0,0,0)",
        )
        figure.add_scatter(
            x=[0.5],
            y=[y],
            mode="text",
            text=[f"<b>{plain(box.title)}</b><br>{plain(box.under)}"],
            textfont={"size": 13},
            hovertemplate=f"{literal(box.hover)}<extra></extra>",
        )
        if place < last:
            figure.add_annotation(
                x=0.5, y=y - 0.68, ax=0.5, ay=y - 0.32, xref="x", yref="y", axref="x", ayref="y",
                showarrow=True, arrowhead=2, arrowwidth=1.5, arrowcolor=NEUTRAL, text="",
            )  # fmt: skip
    hidden = {"visible": False, "fixedrange": True}
    arrange(
        figure, xaxis=hidden | {"range": [-0.02, 1.02]}, yaxis=hidden | {"range": [-0.45, last + 0.45]}, dragmode=False
    )
    return figure
