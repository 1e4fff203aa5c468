"""Spectral densities at a few steps, with the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from lastbit.report.figures.lines import Line, add_lines
from lastbit.report.figures.style import LAST_BIT, axis, base_layout

__all__ = ["Spectrum", "spectra", "spectrum_colours", "within_reach"]

Array = np.ndarray[Any, Any]

_FLOOR = 1e-7
"""Densities below it are the tails of the kernel, not eigenvalues."""


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Quadrature nodes and weights of one spectrum, `(V, M)` each, and what to call it."""

    label: str
    nodes: Array
    weights: Array


def spectrum_colours(count: int) -> list[str]:
    """Return colours from early to late."""
    return list(sample_colorscale("Viridis", list(np.linspace(0.1, 0.8, max(count, 2)))))[:count]


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
    figure = go.Figure(layout=base_layout())
    everything = np.concatenate([s.nodes.reshape(-1) for s in found] + ([np.array([limit])] if limit else []))
    low, high = float(everything.min()), float(everything.max())
    width = max(0.005 * (high - low), 1e-12)
    at = np.linspace(low - 6 * width, high + 6 * width, 600)
    for number, (spectrum, colour) in enumerate(zip(found, spectrum_colours(len(found)), strict=True)):
        kernel = np.exp(-0.5 * ((at[:, None, None] - spectrum.nodes) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        density = (kernel * spectrum.weights).sum(axis=2).mean(axis=1)
        seen = np.where(density > _FLOOR, density, np.nan)
        line = Line(label=spectrum.label, group=f"spectrum {number}", colour=colour, x=at, y=seen)
        add_lines(figure, [line], "eigenvalue %{x:.4~g}<br>%{y:.2~e}")
    if limit is not None:
        figure.add_vline(x=limit, line={"color": LAST_BIT, "width": 1.5, "dash": "dash"})
    figure.update_layout(xaxis=axis("eigenvalue"), yaxis=axis("density", type="log", dtick=1))
    return figure
