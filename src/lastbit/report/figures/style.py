"""What the figures share: a colour-blind-safe palette, a quiet layout, escaped text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

__all__ = [
    "LAST_BIT",
    "NEUTRAL",
    "PLAIN_LOG",
    "REAL",
    "SAMPLING",
    "SEED",
    "arrange",
    "axis",
    "blank",
    "in_percent",
    "literal",
    "log_or_linear",
    "plain",
    "seed_colours",
    "shortened",
    "spaced_ticks",
    "upright",
    "viridis",
]

LAST_BIT, SEED, REAL, SAMPLING, NEUTRAL = "#d55e00", "#0072b2", "#009e73", "#8a949e", "#7d8791"
"""Colours with one meaning each; the first three from Okabe and Ito (2008), the greys readable on light and dark."""

_SEEDS = ("#1a7fc4", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a6fc0", "#9a8f1f")
"""Okabe and Ito's palette (the blue a little lighter) without black and yellow, which vanish on a dark or a light page,
and two more."""


def seed_colours(seeds: Sequence[int]) -> dict[int, str]:
    """Return a colour for each seed: distinct ones for up to eight seeds, along viridis beyond."""
    ordered = sorted(set(seeds))
    if len(ordered) <= len(_SEEDS):
        return dict(zip(ordered, _SEEDS, strict=False))
    return dict(zip(ordered, viridis(len(ordered), 0.12, 0.9), strict=True))


def viridis(count: int, low: float, high: float) -> list[str]:
    """Return colours along viridis, of which `low` and `high` are parts between 0 and 1."""
    return list(sample_colorscale("Viridis", list(np.linspace(low, high, max(count, 2)))))[:count]


def plain(text: str) -> str:
    """Return untrusted text as plotly shows it literally: plotly reads tags and entities in labels."""
    return escape(text, quote=False)


def blank(**more: Any) -> go.Figure:
    """Return the figure that every other starts from: transparent, without a template, with little margin.

    `more` are settings of its layout.
    """
    settings: dict[str, Any] = {
        "template": go.layout.Template(),
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13},
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "dragmode": "zoom",
        "modebar": {"bgcolor": "rgba(0,0,0,0)"},
    }
    return go.Figure(layout=settings | more)


def arrange(figure: go.Figure, **settings: Any) -> None:
    """Give a figure's layout axes and other settings, each whole.

    Plotly merges a setting into the one before otherwise, which takes ten times as long.
    """
    figure.update_layout(settings, overwrite=True)


def in_percent(shares: Any) -> np.ndarray[Any, Any]:
    """Return shares in percent, a part of the whole at most 99.99: in a hover of four digits it is never all of it."""
    values = 100 * np.asarray(shares, dtype=np.float64)
    return np.where(values < 100, np.minimum(values, 99.99), values)


def literal(text: str) -> str:
    """Return untrusted text for a hover template, where plotly would read `%{` as the start of a variable."""
    return plain(text).replace("%{", "%\u2060{")


def log_or_linear(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return the settings of an axis for positive values: logarithmic where they span more than 1.5 decades.

    A narrower logarithmic axis has too few round numbers to read. Zeros, negative and non-finite values are left out of
    the question; where nothing positive is left, or something negative is there, the axis is linear.
    """
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if len(positive) and not (finite < 0).any() and positive.max() > 10**1.5 * positive.min():
        decades = float(np.log10(positive.max() / positive.min()))
        return {"type": "log", "dtick": max(1, round(decades / 5))}
    return {"rangemode": "tozero"} if len(positive) and not (finite < 0).any() else {}


PLAIN_LOG: dict[str, Any] = {"type": "log", "dtick": "D2", "tickformat": ",.3~r"}
"""Settings of a logarithmic axis over few decades: 0.1, 0.2, 0.5, 1."""


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Return the settings of an axis: a thin grid, margins that grow with the labels; its title may have lines."""
    settings: dict[str, Any] = {
        "title": {"text": plain(title).replace("\n", "<br>"), "standoff": 8, "font": {"size": 13}},
        "tickfont": {"size": 12},
        "automargin": True,
        "zeroline": False,
        "gridwidth": 1,
        "ticks": "",
        "exponentformat": "power",
    }
    return settings | more


def upright(start: float, end: float, **more: Any) -> dict[str, Any]:
    """Return a shape from the bottom to the top of a figure: a band, or a line where it ends where it starts."""
    return {"type": "rect", "x0": start, "x1": end, "y0": 0, "y1": 1, "yref": "paper"} | more


def shortened(label: str, most: int = 28) -> str:
    """Return a label that leaves a narrow figure room: of a long one the first words by their first letter.

    Numbers stay, which tell layers apart, and what stands before a colon. What is still too long loses its middle.

    Example:
        >>> shortened("fc1.weight"), shortened("encoder.layers.0.self_attention.in_proj_weight")
        ('fc1.weight', 'e.l.0.s.in_proj_weight')
        >>> shortened("gradient: encoder.layers.0.weight")
        'gradient: e.layers.0.weight'
    """
    role, colon, name = label.rpartition(": ")
    if colon:
        return f"{role}{colon}{shortened(name, max(8, most - len(role) - len(colon)))}"
    parts = label.split(".")
    for place, part in enumerate(parts[:-1]):
        if len(".".join(parts)) <= most:
            break
        parts[place] = part if part.isdigit() else part[:1]
    text = ".".join(parts)
    return text if len(text) <= most else f"{text[: most // 3]}…{text[most // 3 + 1 - most :]}"


def spaced_ticks(labels: Sequence[Any], most: int, places: Sequence[Any] | None = None) -> dict[str, Any]:
    """Return the ticks of an axis without a grid: every label, or every second, third, … of more than `most`.

    Long labels are shortened; the hover has the whole.
    """
    every = -(-len(labels) // most) or 1
    values = range(len(labels)) if places is None else places
    texts = [plain(shortened(str(label))) for label in labels][::every]
    return {"tickvals": list(values)[::every], "ticktext": texts, "showgrid": False}
