"""Figures as a publication prints them: panels of lines, points and heat, described as data and drawn once.

The form of a figure is plain data, so what a claim draws can be tested without a renderer; the bytes of its PNG and SVG
depend on the data alone.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL, SAMPLING, SEED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SETTINGS", "Drawing", "Heat", "Level", "Panel", "Series", "data_url", "draw", "printed", "written"]

_COLOURS = (SEED, LAST_BIT, REAL, "#cc79a7", "#e69f00", "#56b4e9", "#8a6fc0", SAMPLING)
"""Of series that name none: Okabe and Ito (2008), those of one meaning first."""

_STYLES: Mapping[str, Mapping[str, Any]] = {
    "line": {"linestyle": "-"},
    "dashed": {"linestyle": "--"},
    "points": {"linestyle": "none", "marker": "o", "markersize": 3.5},
    "both": {"linestyle": "-", "marker": "o", "markersize": 3.5},
}

SETTINGS: Any = {
    "svg.hashsalt": "lastbit",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.25,
}
"""Of matplotlib, for every figure that is drawn by it."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, cloud of points or row of bars.

    Attributes:
        label: in the legend; "" leaves it out.
        x: numbers, or names for bars.
        y: one for each x; NaN leaves a gap.
        low: lower ends of intervals, one for each x, or none.
        high: upper ends.
        mark: how it is drawn.
        colour: of it; the next of the palette by default.
    """

    label: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    mark: Literal["line", "dashed", "points", "both", "bars"] = "line"
    colour: str = ""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A straight line across a panel: a threshold, a published value."""

    value: float
    label: str
    upright: bool = False
    """Whether it stands at an x rather than lies at a y."""
    colour: str = NEUTRAL


@dataclass(frozen=True, kw_only=True)
class Heat:
    """Numbers over two axes as colours.

    Attributes:
        values: rows of columns; NaN stays blank.
        x: one for each column.
        y: one for each row, the first at the bottom.
        label: of the colour scale.
        log: whether the scale is logarithmic.
    """

    values: Sequence[Sequence[float]]
    x: Sequence[float]
    y: Sequence[float]
    label: str
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes; units stand in the labels."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series] = ()
    levels: Sequence[Level] = ()
    heat: Heat | None = None
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure: panels from left to right, at most three in a row.

    Attributes:
        name: of its files, without their endings.
        panels: of it.
        describe: its content in words, for who cannot see it.
        caption: what stands below it.
    """

    name: str
    panels: Sequence[Panel]
    describe: str
    caption: str = ""


def draw(drawing: Drawing) -> Figure:
    """Return the figure, which belongs to no window."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    across = min(3, len(drawing.panels))
    down = -(-len(drawing.panels) // across)
    with rc_context(SETTINGS):
        figure = Figure(figsize=(1.2 + 3.6 * across, 3.2 * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for panel, on in zip(drawing.panels, axes, strict=False):
            _draw_panel(panel, on, figure)
        for on in axes[len(drawing.panels) :]:
            on.set_axis_off()
    return figure


def data_url(drawing: Drawing) -> str:
    """Return the figure as a `data:` URL of its SVG, which a page holds."""
    return f"data:image/svg+xml;base64,{base64.b64encode(printed(drawing, 'svg')).decode('ascii')}"


def printed(drawing: Drawing, form: str) -> bytes:
    """Return the content of the figure's file.

    Args:
        drawing: the figure.
        form: `png` or `svg`.
    """
    return written(draw(drawing), form)


def written(figure: Figure, form: str, dpi: int = 140) -> bytes:
    """Return the content of a figure's file, the same whenever it is written.

    Args:
        figure: of matplotlib.
        form: `png` or `svg`.
        dpi: pixels per inch.
    """
    from matplotlib import rc_context

    content = io.BytesIO()
    dated: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
    with rc_context(SETTINGS), warnings.catch_warnings():
        # A character that the font does not have is drawn as a box, which says as much.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(content, format=form, dpi=dpi, metadata=dated)
    return content.getvalue()


def _draw_panel(panel: Panel, axes: Axes, figure: Figure) -> None:
    """Draw one panel; text is shown literally, whatever it holds."""
    axes.set_title(panel.title, fontsize=10, parse_math=False)
    axes.set_xlabel(panel.x_label, parse_math=False)
    axes.set_ylabel(panel.y_label, parse_math=False)
    if panel.log_x:
        axes.set_xscale("log")
    if panel.log_y:
        axes.set_yscale("log")
    if panel.heat is not None:
        _draw_heat(panel.heat, axes, figure)
    for place, series in enumerate(panel.series):
        _draw_series(series, series.colour or _COLOURS[place % len(_COLOURS)], axes)
    for level in panel.levels:
        line = axes.axvline if level.upright else axes.axhline
        line(level.value, color=level.colour, linestyle=":", linewidth=1.2, label=level.label or None)
    if [*filter(None, (one.label for one in panel.series)), *filter(None, (one.label for one in panel.levels))]:
        for text in axes.legend(fontsize=7, framealpha=0.7).get_texts():
            text.set_parse_math(False)


def _draw_series(series: Series, colour: str, axes: Axes) -> None:
    label, x, y, low, high = series.label or None, *_arrays(series)
    if series.mark == "bars":
        axes.bar(x, y, color=colour, label=label, alpha=0.85)
    else:
        axes.plot(x, y, color=colour, linewidth=1.2, label=label, **_STYLES[series.mark])
    if not series.low:
        return
    if series.mark in ("line", "dashed"):
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        return
    ends = np.clip([y - low, high - y], 0.0, None)
    axes.errorbar(x, y, yerr=ends, fmt="none", ecolor=colour, elinewidth=1, capsize=2)


def _arrays(series: Series) -> tuple[NDArray[Any], ...]:
    """Return x, y and the ends of the intervals."""
    return tuple(np.asarray(list(values)) for values in (series.x, series.y, series.low, series.high))


def _draw_heat(heat: Heat, axes: Axes, figure: Figure) -> None:
    from matplotlib.colors import LogNorm

    axes.grid(visible=False)
    norm = LogNorm() if heat.log else None
    mesh = axes.pcolormesh(list(heat.x), list(heat.y), heat.values, shading="nearest", cmap="viridis", norm=norm)
    figure.colorbar(mesh, ax=axes).set_label(heat.label, parse_math=False)
