"""Loss, sharpness against its limit, and the twins' difference, over the same steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import (
    LAST_BIT,
    NEUTRAL,
    PLAIN_LOG,
    REAL,
    SEED,
    axis,
    base_layout,
    literal,
    log_or_linear,
)

__all__ = ["FLOW", "LIMIT", "RatioCurve", "edge_curves", "rate_curves", "ratio_curves"]

Array = np.ndarray[Any, Any]

LIMIT, FLOW = LAST_BIT, REAL
"""The colours of the limit and of the gradient flow."""

_TWINS = ("#cc79a7", "#e69f00", "#8a6fc0", "#56b4e9")


@dataclass(frozen=True, kw_only=True)
class RatioCurve:
    """Sharpness over limit of one training of a sweep, and its stable learning rate."""

    label: str
    group: str
    colour: str
    steps: Array
    ratio: Array
    stable_lr: Array


def edge_curves(
    steps: Array,
    loss: Array,
    sharpness: Array,
    limit: Array,
    twins: Sequence[tuple[str, Array, Array]],
    *,
    flow: tuple[Array, Array, Array] | None = None,
    batch: Array | None = None,
    sharpness_title: str = "sharpness",
) -> go.Figure:
    """Return three panels over the same steps: loss, sharpness with the limit, and the twins' difference.

    Args:
        steps: (S,) measured steps.
        loss: (S,) on the probe.
        sharpness: (S,).
        limit: (S,), drawn as it moves with the schedule and the weight decay.
        twins: label, steps and relative L2 difference of each perturbed twin; zeros are not drawn.
        flow: steps, loss and sharpness of the gradient flow.
        batch: (B, 4) step, batch sharpness and the ends of its interval.
        sharpness_title: what the middle axis says.
    """
    figure = go.Figure(layout=base_layout())
    _line(figure, steps, loss, "y", SEED, "loss", "training", "%{y:.4~g}")
    _line(figure, steps, sharpness, "y2", SEED, "sharpness", "training", "%{y:.5~g}")
    _line(figure, steps, limit, "y2", LIMIT, "limit", "limit", "%{y:.5~g}", dash="dash")
    if flow is not None:
        _line(figure, flow[0], flow[1], "y", FLOW, "loss of the flow", "flow", "%{y:.4~g}")
        _line(figure, flow[0], flow[2], "y2", FLOW, "sharpness of the flow", "flow", "%{y:.5~g}")
    if batch is not None:
        at, value, low, high = batch.T
        reach = {"type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low}
        figure.add_scatter(
            x=at,
            y=value,
            yaxis="y2",
            mode="markers",
            legendgroup="batch",
            error_y=reach | {"width": 0},
            marker={"size": 6, "color": FLOW, "symbol": "diamond"},
            hovertemplate="<b>batch sharpness</b><br>step %{x}<br>%{y:.4~g}<extra></extra>",
        )
    for number, (label, at, values) in enumerate(twins):
        shown = np.where(values > 0, values, np.nan)
        _line(figure, at, shown, "y3", _TWINS[number % len(_TWINS)], label, f"twin {number}", "%{y:.2~e}")
    top = 1.15 * _reach(sharpness, limit)
    domains = ([0.72, 1], [0.36, 0.66], [0, 0.3]) if twins else ([0.56, 1], [0, 0.5], [0, 0])
    figure.update_layout(
        xaxis=axis("optimizer step", anchor="y3" if twins else "y2", range=[0, float(steps[-1]) * 1.005]),
        yaxis=axis("loss", domain=domains[0], **log_or_linear(loss)),
        yaxis2=axis(sharpness_title, domain=domains[1], range=[0, top]),
    )
    if flow is not None:
        figure.update_layout(yaxis2={"range": [0, max(top, 1.05 * float(np.nanmax(flow[2])))]})
    if twins:
        figure.update_layout(
            yaxis3=axis("relative difference", domain=domains[2], type="log", dtick=2, exponentformat="power")
        )
    return figure


def _reach(sharpness: Array, limit: Array) -> float:
    """Return how far up to look: both curves, but not all of a limit that a warm-up or a decay takes far away."""
    sharp = float(np.max(sharpness[np.isfinite(sharpness)], initial=0.0))
    finite = limit[np.isfinite(limit)]
    if not len(finite):
        return sharp
    return max(sharp, min(float(finite.max()), 1.3 * max(sharp, float(finite.min()))))


def twin_colour(number: int) -> str:
    """Return the colour of a twin, counted from 0."""
    return _TWINS[number % len(_TWINS)]


def ratio_curves(curves: Sequence[RatioCurve]) -> go.Figure:
    """Return sharpness over limit of several trainings, with the limit as the line at 1."""
    figure = go.Figure(layout=base_layout())
    last = max((float(curve.steps[-1]) for curve in curves if len(curve.steps)), default=1.0)
    _line(figure, np.array([0.0, last]), np.array([1.0, 1.0]), "y", LIMIT, "the limit", "limit", "1", dash="dash")
    for curve in curves:
        _line(figure, curve.steps, curve.ratio, "y", curve.colour, curve.label, curve.group, "%{y:.4~g}")
    top = max((float(np.nanmax(c.ratio)) for c in curves if np.isfinite(c.ratio).any()), default=1.0)
    figure.update_layout(
        xaxis=axis("optimizer step", range=[0, 1.005 * last]),
        # A training that blew up would press all others flat.
        yaxis=axis("sharpness / limit", range=[0, min(max(1.1 * top, 1.2), 2.0)]),
    )
    return figure


def rate_curves(curves: Sequence[RatioCurve], rates: Sequence[float]) -> go.Figure:
    """Return the stable learning rate of several trainings over the steps, with the rates in use as dashed lines."""
    figure = go.Figure(layout=base_layout())
    last = max((float(curve.steps[-1]) for curve in curves if len(curve.steps)), default=1.0)
    for curve in curves:
        _line(figure, curve.steps, curve.stable_lr, "y", curve.colour, curve.label, curve.group, "%{y:.4~g}")
    for rate in rates:
        ends = np.array([0.0, last]), np.array([rate, rate])
        _line(figure, *ends, "y", LIMIT, "the rate in use", "rate", "%{y:.4~g}", dash="dash")
    figure.update_layout(
        xaxis=axis("optimizer step", range=[0, 1.005 * last]), yaxis=axis("stable learning rate", **PLAIN_LOG)
    )
    return figure


def _line(
    figure: go.Figure,
    x: Array,
    y: Array,
    panel: str,
    colour: str,
    label: str,
    group: str,
    shown: str,
    dash: str = "solid",
) -> None:
    figure.add_scatter(
        x=x,
        y=np.where(np.isfinite(y), y, np.nan).astype(np.float32),
        yaxis=panel,
        mode="lines",
        legendgroup=group,
        line={"color": colour or NEUTRAL, "width": 1.4, "dash": dash},
        hovertemplate=f"<b>{literal(label)}</b><br>step %{{x}}<br>{shown}<extra></extra>",
    )
