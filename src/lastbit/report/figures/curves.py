"""Training curves, one line per run, and the difference between twins over the steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.lines import Line, add_lines, positive
from lastbit.report.figures.style import axis, base_layout, log_or_linear

__all__ = ["training_curves", "twin_gaps"]


def training_curves(metric: Sequence[Line], loss: Sequence[Line], metric_title: str) -> go.Figure:
    """Return the test metric above and the training loss below, over optimizer steps.

    The loss has a logarithmic axis where it is positive and spans more than 1.5 decades.
    """
    figure = go.Figure(layout=base_layout())
    for lines, panel in ((metric, "y"), (loss, "y2")):
        add_lines(figure, lines, "step %{x}<br>%{y:.5~g}", width=1.3, yaxis=panel, opacity=0.75)
    values = np.concatenate([line.y for line in loss]) if loss else np.empty(0)
    figure.update_layout(
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
    figure = go.Figure(layout=base_layout())
    hover, crowd = "step %{x}<br>%{y:.2~e}", 0.75 if len(twins) + len(between) <= 12 else 0.4
    add_lines(figure, twins, hover, width=1, shown=positive, connectgaps=True, opacity=crowd)
    add_lines(figure, between, hover, width=1.6, shown=positive, connectgaps=True, opacity=1.0)
    points = {"mode": "lines+markers", "marker": {"size": 4}, "opacity": 0.85, "yaxis": "y2"}
    add_lines(figure, per_epoch, hover, width=1.3, shown=positive, connectgaps=True, **points)
    both = bool(per_epoch) and bool(twins or between)
    log = {"type": "log", "dtick": 2}
    figure.update_layout(
        xaxis=axis("optimizer step", anchor="y2" if per_epoch else "y"),
        yaxis=axis("|Δ training loss|", domain=[0.44, 1] if both else [0, 1], **log),
        yaxis2=axis("SD of test loss", domain=[0, 0.36] if both else [0, 1], **log),
    )
    return figure
