"""Training curves, one line per run, and the difference between twins over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import NEUTRAL, axis, base_layout, literal, log_or_linear, plain

__all__ = ["Curve", "EvenCurve", "training_curves", "twin_gaps"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One quantity of one run over optimizer steps."""

    seed: int
    label: str
    steps: Array
    values: Array


@dataclass(frozen=True, kw_only=True)
class EvenCurve:
    """A series over evenly spaced steps: `first`, `first + width`, …; `seed` None for what belongs to all seeds."""

    seed: int | None
    label: str
    first: float
    width: int
    values: Array


def training_curves(
    metric: Sequence[Curve], loss: Sequence[Curve], metric_title: str, loss_title: str, colours: Mapping[int, str]
) -> go.Figure:
    """Return the test metric above and the training loss below, over optimizer steps, coloured by seed.

    The loss has a logarithmic axis where it is positive and spans more than 1.5 decades.
    """
    figure = go.Figure(layout=base_layout())
    for curves, panel in ((metric, "y"), (loss, "y2")):
        for curve in curves:
            figure.add_scatter(
                x=curve.steps,
                y=_finite(curve.values),
                yaxis=panel,
                mode="lines",
                legendgroup=f"seed {curve.seed}",
                line={"color": colours[curve.seed], "width": 1.3},
                opacity=0.75,
                hovertemplate=f"<b>{literal(curve.label)}</b><br>step %{{x}}<br>%{{y:.5~g}}<extra></extra>",
            )
    values = np.concatenate([curve.values for curve in loss]) if loss else np.empty(0)
    figure.update_layout(
        xaxis=axis("optimizer step", anchor="y2"),
        yaxis=axis(metric_title, domain=[0.54, 1]),
        yaxis2=axis(loss_title, domain=[0, 0.46], **log_or_linear(values)),
    )
    return figure


def twin_gaps(
    per_step: Sequence[EvenCurve],
    per_epoch: Sequence[Curve],
    step_title: str,
    epoch_title: str,
    colours: Mapping[int, str],
) -> go.Figure:
    """Return the differences between twins over optimizer steps on logarithmic axes.

    Above the gap at every step, one line per twin, with the gap between seeds (`seed` None) as a grey line to set it
    beside; below the spread over the perturbations of a seed at the end of each epoch. Zeros, which a logarithmic axis
    cannot show, are left out.
    """
    figure = go.Figure(layout=base_layout())
    crowd = 0.75 if len(per_step) <= 12 else 0.4
    for gap in per_step:
        reference = gap.seed is None
        figure.add_scatter(
            x0=gap.first,
            dx=gap.width,
            y=_positive(gap.values),
            mode="lines",
            connectgaps=True,
            legendgroup="between seeds" if gap.seed is None else f"seed {gap.seed}",
            line={"color": NEUTRAL if gap.seed is None else colours[gap.seed], "width": 1.6 if reference else 1},
            opacity=1.0 if reference else crowd,
            name=plain(gap.label),
            hovertemplate=f"<b>{literal(gap.label)}</b><br>step %{{x}}<br>%{{y:.2~e}}<extra></extra>",
        )
    for curve in per_epoch:
        figure.add_scatter(
            x=curve.steps,
            y=_positive(curve.values),
            yaxis="y2",
            mode="lines+markers",
            connectgaps=True,
            legendgroup=f"seed {curve.seed}",
            marker={"size": 4},
            line={"color": colours[curve.seed], "width": 1.3},
            opacity=0.85,
            hovertemplate=f"<b>{literal(curve.label)}</b><br>step %{{x}}<br>%{{y:.2~e}}<extra></extra>",
        )
    both = bool(per_epoch) and bool(per_step)
    log = {"type": "log", "dtick": 2, "exponentformat": "power"}
    figure.update_layout(
        xaxis=axis("optimizer step", anchor="y2" if both or per_epoch else "y"),
        yaxis=axis(step_title, domain=[0.44, 1] if both else [0, 1], **log),
        yaxis2=axis(epoch_title, domain=[0, 0.36] if both else [0, 1], **log),
    )
    return figure


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32)


def _positive(values: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(values) & (values > 0), values, np.nan).astype(np.float32)
