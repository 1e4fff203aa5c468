"""Training curves, one line per run, and how far twins come from their base over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.lines import Line, add_lines, positive
from lastbit.report.figures.style import NEUTRAL, arrange, axis, blank, in_percent, log_or_linear, upright

__all__ = [
    "TWIN_COLOURS",
    "difference_curves",
    "kick_curves",
    "scaled_time_curves",
    "training_curves",
    "twin_gaps",
    "visible_effect",
]

Episodes = Sequence[tuple[float, float]]
"""The first and the last step of each growth episode."""

TWIN_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a6fc0", "#9a8f1f")
"""Okabe and Ito's palette (2008) without black and yellow, and two more; taken in turn."""

_positive = partial(positive, dtype=np.float64)


def training_curves(metric: Sequence[Line], loss: Sequence[Line], metric_title: str) -> go.Figure:
    """Return the test metric above and the training loss below, over optimizer steps.

    The loss has a logarithmic axis where it is positive and spans more than 1.5 decades.
    """
    figure = blank()
    for lines, panel in ((metric, "y"), (loss, "y2")):
        add_lines(figure, lines, "step %{x}<br>%{y:.5~g}", width=1.3, yaxis=panel, opacity=0.75)
    values = np.concatenate([line.y for line in loss]) if loss else np.empty(0)
    arrange(
        figure,
        xaxis=axis("optimizer step", anchor="y2"),
        yaxis=axis(metric_title, domain=[0.54, 1]),
        yaxis2=axis("training loss", domain=[0, 0.46], **log_or_linear(values)),
    )
    return figure


def twin_gaps(twins: Sequence[Line], between: Sequence[Line], per_epoch: Sequence[Line]) -> go.Figure:
    """Return the differences between twins over optimizer steps on logarithmic axes.

    Above the gap in training loss at every step, one line per twin, with the gap between seeds to set it beside; below
    the spread of the test loss over the perturbations of a seed at the end of each epoch. Zeros, which a logarithmic
    axis cannot show, are left out.
    """
    figure = blank()
    hover, crowd = "step %{x}<br>%{y:.2~e}", 0.75 if len(twins) + len(between) <= 12 else 0.4
    add_lines(figure, twins, hover, width=1, shown=positive, connectgaps=True, opacity=crowd)
    add_lines(figure, between, hover, width=1.6, shown=positive, connectgaps=True, opacity=1.0)
    points = {"mode": "lines+markers", "marker": {"size": 4}, "opacity": 0.85, "yaxis": "y2"}
    add_lines(figure, per_epoch, hover, width=1.3, shown=positive, connectgaps=True, **points)
    both = bool(per_epoch) and bool(twins or between)
    log = {"type": "log", "dtick": 2}
    arrange(
        figure,
        xaxis=axis("optimizer step", anchor="y2" if per_epoch else "y"),
        yaxis=axis("|Δ training loss|", domain=[0.44, 1] if both else [0, 1], **log),
        yaxis2=axis("SD of test loss", domain=[0, 0.36] if both else [0, 1], **log),
    )
    return figure


def difference_curves(
    lines: Sequence[Line],
    steps: np.ndarray,
    bound: np.ndarray,
    floor: float,
    episodes: Episodes,
    interval: tuple[float, float] | None = None,
) -> go.Figure:
    """Return the relative L2 difference of every twin on a logarithmic axis.

    Args:
        lines: one for each twin; zeros are left out.
        steps: (S,) of `bound`.
        bound: (S,) what accumulated rounding explains, relative to the base's norm.
        floor: the rounding of a single step, relative to the base's norm: the ulp floor.
        episodes: are shaded.
        interval: the factors that take a difference to the ends of its interval, drawn as a band; None: it is exact.
    """
    figure = _shaded(episodes)
    for line in lines if interval is not None else ():
        _band(figure, line, interval or (1.0, 1.0))
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
    _add(figure, lines, "step %{x}<br>relative L2 %{y:.2~e}")
    arrange(figure, xaxis=axis("optimizer step"), yaxis=axis("relative L2 difference", type="log", dtick=1))
    return figure


def kick_curves(lines: Sequence[Line]) -> go.Figure:
    """Return how far kicked twins come from their base over the size of the kick, on a logarithmic axis.

    Where growth is linear the lines of all sizes are one.
    """
    figure = _shaded(())
    _add(figure, lines, "step %{x}<br>%{y:.2~e} times the kick")
    arrange(figure, xaxis=axis("optimizer step"), yaxis=axis("difference / size of the kick", type="log", dtick=1))
    return figure


def visible_effect(gaps: Sequence[Line], churn: Sequence[Line], episodes: Episodes) -> go.Figure:
    """Return the gap between training losses above, on a logarithmic axis, and the churn below, in percent.

    Args:
        gaps: absolute differences of the mini-batch loss, twin minus base; zeros are left out.
        churn: shares of a probe that are predicted otherwise than by the base; may be empty.
        episodes: are shaded.
    """
    figure = _shaded(episodes)
    _add(figure, gaps, "step %{x}<br>loss gap %{y:.2~e}")
    shares = [replace(line, y=in_percent(line.y / 100)) for line in churn]
    _add(figure, shares, "step %{x}<br>churn %{y:.4~g}%", yaxis="y2")
    arrange(
        figure,
        xaxis=axis("optimizer step", anchor="y2" if churn else "y"),
        yaxis=axis("|loss gap|", domain=[0.46, 1] if churn else [0, 1], type="log", dtick=2),
    )
    if churn:
        arrange(figure, yaxis2=axis("churn", domain=[0, 0.36], rangemode="tozero", ticksuffix="%"))
    return figure


def scaled_time_curves(lines: Sequence[Line], *, scaled: bool) -> go.Figure:
    """Return the difference of every member of a sweep, over `lr x steps` or over steps, on a logarithmic axis."""
    figure = _shaded(())
    _add(figure, lines, ("lr × steps %{x:.4~g}" if scaled else "step %{x}") + "<br>relative L2 %{y:.2~e}")
    title = "scaled time: learning rate × steps" if scaled else "optimizer step"
    arrange(figure, xaxis=axis(title), yaxis=axis("relative L2 difference", type="log", dtick=2))
    return figure


def _band(figure: go.Figure, line: Line, interval: tuple[float, float]) -> None:
    """Draw the interval of a line's values, there and back again."""
    assert line.x is not None, "its steps are not even"
    seen = np.isfinite(line.y) & (line.y > 0)
    x, y = line.x[seen], line.y[seen]
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([interval[0] * y, interval[1] * y[::-1]]),
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=line.colour,
        opacity=0.3,
        legendgroup=line.group,
        hoverinfo="skip",
    )


def _add(figure: go.Figure, lines: Sequence[Line], hover: str, yaxis: str = "y") -> None:
    add_lines(figure, lines, hover, width=1.6, shown=_positive, opacity=0.9, yaxis=yaxis)


def _shaded(episodes: Episodes) -> go.Figure:
    shade = {"fillcolor": "rgba(125, 135, 145, 0.16)", "line": {"width": 0}, "layer": "below"}
    return blank(shapes=[upright(start, end, **shade) for start, end in episodes])
