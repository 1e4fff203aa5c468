"""How far twins come from their base over the steps, and what the loss and the predictions show of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import NEUTRAL, axis, base_layout, literal, plain

__all__ = ["TWIN_COLOURS", "Shaded", "TwinCurve", "difference_curves", "scaled_time_curves", "visible_effect"]

Array = np.ndarray[Any, Any]

TWIN_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a6fc0", "#9a8f1f")
"""Okabe and Ito's palette (2008) without black and yellow, and two more; taken in turn."""

_SHADE = "rgba(125, 135, 145, 0.16)"


@dataclass(frozen=True, kw_only=True)
class TwinCurve:
    """One quantity of one twin over steps (or over scaled time)."""

    label: str
    group: str
    steps: Array
    values: Array
    colour: str
    dash: str = "solid"


@dataclass(frozen=True, kw_only=True)
class Shaded:
    """A stretch of steps to shade."""

    start: float
    end: float


def difference_curves(
    twins: Sequence[TwinCurve], steps: Array, bound: Array, floor: float, episodes: Sequence[Shaded]
) -> go.Figure:
    """Return the relative L2 difference of every twin on a logarithmic axis.

    Args:
        twins: one curve each; zeros are left out.
        steps: (S,) of `bound`.
        bound: (S,) what accumulated rounding explains, relative to the base's norm.
        floor: the rounding of a single step, relative to the base's norm: the ulp floor.
        episodes: the growth episodes, shaded.
    """
    figure = go.Figure(layout=base_layout())
    _shade(figure, episodes)
    figure.add_scatter(
        x=steps,
        y=_positive(bound),
        mode="lines",
        line={"color": NEUTRAL, "width": 1.4, "dash": "dash"},
        legendgroup="bound",
        hovertemplate="accumulated rounding explains up to %{y:.2~e}<br>step %{x}<extra></extra>",
    )
    if floor > 0 and len(steps):
        figure.add_scatter(
            x=[float(steps[0]), float(steps[-1])],
            y=[floor, floor],
            mode="lines",
            legendgroup="floor",
            line={"color": NEUTRAL, "width": 1.2, "dash": "dot"},
            hovertemplate="the rounding of one step: %{y:.2~e}<extra></extra>",
        )
    _lines(figure, twins, "relative L2 %{y:.2~e}")
    figure.update_layout(xaxis=axis("optimizer step"), yaxis=axis("relative L2 difference", **_LOG))
    return figure


_LOG: dict[str, Any] = {"type": "log", "dtick": 1}


def visible_effect(gaps: Sequence[TwinCurve], churn: Sequence[TwinCurve], episodes: Sequence[Shaded]) -> go.Figure:
    """Return the gap between training losses above, on a logarithmic axis, and the churn below, in percent.

    Args:
        gaps: absolute differences of the mini-batch loss, twin minus base; zeros are left out.
        churn: shares of a probe that are predicted otherwise than by the base; may be empty.
        episodes: the growth episodes, shaded.
    """
    figure = go.Figure(layout=base_layout())
    _shade(figure, episodes)
    _lines(figure, gaps, "loss gap %{y:.2~e}")
    _lines(figure, churn, "churn %{y:.3~g}%", "y2")
    both = bool(churn)
    figure.update_layout(
        xaxis=axis("optimizer step", anchor="y2" if both else "y"),
        yaxis=axis("|loss gap|", domain=[0.46, 1] if both else [0, 1], **{**_LOG, "dtick": 2}),
    )
    if both:
        figure.update_layout(yaxis2=axis("churn", domain=[0, 0.36], rangemode="tozero", ticksuffix="%"))
    return figure


def scaled_time_curves(curves: Sequence[TwinCurve], *, scaled: bool) -> go.Figure:
    """Return the difference of every member of a sweep, over `lr x steps` or over steps, on a logarithmic axis."""
    figure = go.Figure(layout=base_layout())
    _lines(figure, curves, "relative L2 %{y:.2~e}", x="lr × steps %{x:.4~g}" if scaled else "step %{x}")
    title = "scaled time: learning rate × steps" if scaled else "optimizer step"
    figure.update_layout(xaxis=axis(title), yaxis=axis("relative L2 difference", **{**_LOG, "dtick": 2}))
    return figure


def _lines(figure: go.Figure, curves: Sequence[TwinCurve], what: str, panel: str = "y", x: str = "step %{x}") -> None:
    for curve in curves:
        figure.add_scatter(
            x=curve.steps,
            y=_positive(curve.values),
            yaxis=panel,
            mode="lines",
            name=plain(curve.label),
            legendgroup=curve.group,
            line={"color": curve.colour, "width": 1.6, "dash": curve.dash},
            opacity=0.9,
            hovertemplate=f"<b>{literal(curve.label)}</b><br>{x}<br>{what}<extra></extra>",
        )


def _shade(figure: go.Figure, episodes: Sequence[Shaded]) -> None:
    for episode in episodes:
        figure.add_shape(
            type="rect",
            x0=episode.start,
            x1=episode.end,
            y0=0,
            y1=1,
            yref="paper",
            fillcolor=_SHADE,
            line={"width": 0},
            layer="below",
        )


def _positive(values: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(np.isfinite(values) & (values > 0), values, np.nan).astype(np.float64)
