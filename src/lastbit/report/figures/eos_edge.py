"""Loss, sharpness against its limit and the twins' difference over the same steps; the spectrum at a few of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.lines import Line, add_lines, positive
from lastbit.report.figures.style import LAST_BIT, PLAIN_LOG, REAL, SEED, arrange, axis, blank, log_or_linear, viridis
from lastbit.report.formatting import RATIO

__all__ = ["TWIN_COLOURS", "Spectrum", "edge_curves", "rate_curves", "ratio_curves", "spectra", "within_reach"]

_FLOOR = 1e-7
"""Densities below it are the tails of the kernel, not eigenvalues."""

TWIN_COLOURS = ("#cc79a7", "#e69f00", "#8a6fc0", "#56b4e9")
"""One for each twin that is drawn."""


def edge_curves(
    steps: np.ndarray,
    loss: np.ndarray,
    sharpness: np.ndarray,
    limit: np.ndarray,
    twins: Sequence[Line],
    *,
    flow: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    batch: np.ndarray | None = None,
    sharpness_title: str = "sharpness",
) -> go.Figure:
    """Return three panels over the same steps: loss, sharpness with the limit, and the twins' difference.

    Args:
        steps: (S,) measured steps.
        loss: (S,) on the probe.
        sharpness: (S,).
        limit: (S,), drawn as it moves with the schedule and the weight decay.
        twins: the relative L2 difference of each perturbed twin; zeros are not drawn.
        flow: steps, loss and sharpness of the gradient flow.
        batch: (B, 4) step, batch sharpness and the ends of its interval.
        sharpness_title: what the middle axis says.
    """
    figure = blank()
    losses = [Line(label="loss", group="training", colour=SEED, x=steps, y=loss)]
    sharp = [
        Line(label="sharpness", group="training", colour=SEED, x=steps, y=sharpness),
        Line(label="limit", group="limit", colour=LAST_BIT, x=steps, y=limit, dash="dash"),
    ]
    top = 1.15 * _reach(sharpness, limit)
    if flow is not None:
        losses.append(Line(label="loss of the flow", group="flow", colour=REAL, x=flow[0], y=flow[1]))
        sharp.append(Line(label="sharpness of the flow", group="flow", colour=REAL, x=flow[0], y=flow[2]))
        top = max(top, 1.05 * float(np.nanmax(flow[2])))
    add_lines(figure, losses, yaxis="y")
    add_lines(figure, sharp, "step %{x}<br>%{y:.5~g}", yaxis="y2")
    add_lines(figure, twins, "step %{x}<br>%{y:.2~e}", yaxis="y3", shown=positive)
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
            marker={"size": 6, "color": REAL, "symbol": "diamond"},
            hovertemplate="<b>batch sharpness</b><br>step %{x}<br>%{y:.4~g}<extra></extra>",
        )
    domains = ([0.72, 1], [0.36, 0.66], [0, 0.3]) if twins else ([0.56, 1], [0, 0.5], [0, 0])
    arrange(
        figure,
        xaxis=axis("optimizer step", anchor="y3" if twins else "y2", range=[0, float(steps[-1]) * 1.005]),
        yaxis=axis("loss", domain=domains[0], **log_or_linear(loss)),
        yaxis2=axis(sharpness_title, domain=domains[1], range=[0, top]),
    )
    if twins:
        arrange(figure, yaxis3=axis("relative difference", domain=domains[2], type="log", dtick=2))
    return figure


def _reach(sharpness: np.ndarray, limit: np.ndarray) -> float:
    """Return how far up to look: both curves, but not all of a limit that a warm-up or a decay takes far away."""
    sharp = float(np.max(sharpness[np.isfinite(sharpness)], initial=0.0))
    finite = limit[np.isfinite(limit)]
    if not len(finite):
        return sharp
    return max(sharp, min(float(finite.max()), 1.3 * max(sharp, float(finite.min()))))


def ratio_curves(lines: Sequence[Line]) -> go.Figure:
    """Return learning rate over largest stable one of several trainings, with the line at 1."""
    figure = blank()
    add_lines(figure, [_level(lines, 1.0, "the limit", "limit")], "step %{x}<br>1")
    add_lines(figure, lines)
    top = max((float(np.nanmax(line.y)) for line in lines if np.isfinite(line.y).any()), default=1.0)
    arrange(
        figure,
        xaxis=axis("optimizer step", range=[0, 1.005 * _last(lines)]),
        # A training that blew up would press all others flat.
        yaxis=axis(RATIO, range=[0, min(max(1.1 * top, 1.2), 2.0)]),
    )
    return figure


def rate_curves(lines: Sequence[Line], rates: Sequence[float]) -> go.Figure:
    """Return the stable learning rate of several trainings over the steps, with the rates in use as dashed lines."""
    figure = blank()
    add_lines(figure, lines)
    add_lines(figure, [_level(lines, rate, "the rate in use", "rate") for rate in rates])
    arrange(
        figure,
        xaxis=axis("optimizer step", range=[0, 1.005 * _last(lines)]),
        yaxis=axis("stable learning rate", **PLAIN_LOG),
    )
    return figure


def _last(lines: Sequence[Line]) -> float:
    return max((float(line.x[-1]) for line in lines if line.x is not None and len(line.x)), default=1.0)


def _level(lines: Sequence[Line], value: float, label: str, group: str) -> Line:
    ends, level = np.array([0.0, _last(lines)]), np.array([value, value])
    return Line(label=label, group=group, colour=LAST_BIT, x=ends, y=level, dash="dash")


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Quadrature nodes and weights of one spectrum, `(V, M)` each, and what to call it."""

    label: str
    nodes: np.ndarray
    weights: np.ndarray


def within_reach(found: Sequence[Spectrum], limit: float) -> bool:
    """Say whether the limit can be drawn beside the spectra: within twice their range above them."""
    low, high = (float(pick([pick(s.nodes) for s in found])) for pick in (np.min, np.max))
    return limit <= high + 2 * (high - low)


def spectra(found: Sequence[Spectrum], limit: float | None) -> go.Figure:
    """Return the densities, smoothed by a Gaussian of 0.5% of the common range, on a logarithmic axis.

    Args:
        found: in the order of time.
        limit: where the vertical line stands; None for no line.
    """
    figure = blank()
    everything = np.concatenate([s.nodes.reshape(-1) for s in found] + ([np.array([limit])] if limit else []))
    low, high = float(everything.min()), float(everything.max())
    width = max(0.005 * (high - low), 1e-12)
    at = np.linspace(low - 6 * width, high + 6 * width, 600)
    for number, (spectrum, colour) in enumerate(zip(found, viridis(len(found), 0.1, 0.8), strict=True)):
        kernel = np.exp(-0.5 * ((at[:, None, None] - spectrum.nodes) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        density = (kernel * spectrum.weights).sum(axis=2).mean(axis=1)
        seen = np.where(density > _FLOOR, density, np.nan)
        # Half the digits place a point on a screen well enough.
        x = at.astype(np.float32)
        line = Line(label=spectrum.label, group=f"spectrum {number}", colour=colour, x=x, y=seen)
        add_lines(figure, [line], "eigenvalue %{x:.4~g}<br>%{y:.2~e}")
    if limit is not None:
        figure.add_vline(x=limit, line={"color": LAST_BIT, "width": 1.5, "dash": "dash"})
    arrange(figure, xaxis=axis("eigenvalue"), yaxis=axis("density", type="log", dtick=1))
    return figure
