"""Lines over steps: one quantity of one run each, coloured and grouped as the legend says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import literal

__all__ = ["Line", "add_lines", "finite", "positive"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One quantity over `x`, or over evenly spaced steps from `x0` on, `dx` apart."""

    label: str
    group: str
    colour: str
    y: np.ndarray
    x: np.ndarray | None = None
    x0: float | None = None
    dx: float | None = None
    dash: str | None = None


def finite(values: np.ndarray) -> np.ndarray:
    """Return the values, NaN where they are not finite."""
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32)


def positive(values: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Return the values, NaN where a logarithmic axis cannot show them."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(np.isfinite(values) & (values > 0), values, np.nan).astype(dtype)


def add_lines(
    figure: go.Figure,
    lines: Iterable[Line],
    hover: str = "step %{x}<br>%{y:.4~g}",
    *,
    width: float = 1.4,
    shown: Callable[[np.ndarray], np.ndarray] = finite,
    **more: Any,
) -> None:
    """Draw lines.

    Args:
        figure: to draw them in.
        lines: what is drawn; gaps where it is NaN.
        hover: what is said of a point, below the label.
        width: of each line, in pixels.
        shown: what is drawn of the values.
        more: settings of plotly's trace, such as the panel (`yaxis`).
    """
    for line in lines:
        figure.add_scatter(
            x=line.x,
            x0=line.x0,
            dx=line.dx,
            y=shown(line.y),
            legendgroup=line.group,
            line={"color": line.colour, "width": width, "dash": line.dash},
            hovertemplate=f"<b>{literal(line.label)}</b><br>{hover}<extra></extra>",
            **({"mode": "lines"} | more),
        )
