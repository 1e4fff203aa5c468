"""What a figure of a report draws, in matplotlib: lines, markers, bars, heat and the words of plotly's little HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lastbit.core.terminal import visible

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes

__all__ = ["DASHES", "POINT", "PointsOf", "add_trace", "colour_of", "words_of"]

POINT = 0.72
"""Points of a pixel: the figures are drawn at 100 pixels an inch."""

DASHES = {"dash": "--", "dot": ":", "solid": "-", None: "-"}

_CELLS = 4000
"""The most cells of a map that become shapes; of more they become one image inside the file."""

_SYMBOLS: Mapping[str, tuple[str, bool]] = {
    "circle": ("o", True),
    "circle-open": ("o", False),
    "circle-dot": ("o", False),
    "diamond": ("D", True),
    "triangle-down": ("v", True),
    "x-thin": ("x", True),
    "line-ns": ("|", True),
    "line-ew-open": ("_", True),
}
"""The marker of each symbol, and whether it is filled."""

_STROKES = ("x", "|", "_")
"""Markers that are lines alone, in the colour of their outline."""

_RAISED = str.maketrans("-+0123456789", "⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹")


def words_of(text: str | None) -> str:
    r"""Return a label as plotly shows it: its line breaks and powers, other tags left out, entities as characters.

    Example:
        >>> words_of("<b>10<sup>-3</sup></b><br>a &lt; b")
        '10⁻³\na < b'
    """
    raised = re.sub(r"<sup>(.*?)</sup>", lambda found: found[1].translate(_RAISED), text or "")
    return visible(unescape(re.sub(r"</?b>", "", raised.replace("<br>", "\n"))), keep="\n")


def colour_of(text: str) -> Any:
    """Return a colour of plotly's as one of matplotlib's.

    Example:
        >>> colour_of("rgba(255, 0, 0, 0.5)"), colour_of("#123456")
        ((1.0, 0.0, 0.0, 0.5), '#123456')
    """
    if not text.startswith("rgb"):
        return text
    red, green, blue, *alpha = (float(part) for part in text.partition("(")[2].rstrip(")").split(","))
    return (red / 255, green / 255, blue / 255, *alpha)


class PointsOf:
    """Where the values of an axis lie: numbers where they are, names one after the other as they come."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.whole = True
        """Whether every number was one."""

    def __call__(self, values: Any) -> NDArray[np.float64]:
        """Return the places of values; None, where nothing is drawn, is NaN."""
        found = list(values)
        if not any(isinstance(value, str) for value in found):
            numbers = np.array(found, dtype=np.float64)
            self.whole = self.whole and bool((numbers[np.isfinite(numbers)] % 1 == 0).all())
            return numbers
        self.names += [name for name in dict.fromkeys(found) if name not in self.names]
        return np.array([self.names.index(name) for name in found], dtype=np.float64)


def add_trace(trace: go.Scatter | go.Bar | go.Heatmap, axes: Axes, x_of: PointsOf, y_of: PointsOf, left: Any) -> Any:
    """Draw one trace.

    Args:
        trace: of plotly.
        axes: to draw on.
        x_of: the places of its x.
        y_of: those of its y.
        left: where its bars begin, of bars that are stacked.

    Returns:
        The map, of a heat map; None otherwise.
    """
    if trace.type == "heatmap":
        return _heat(trace, axes, x_of, y_of)
    if trace.type == "bar":
        x, y = x_of(trace.x), y_of(trace.y)
        axes.barh(y, x, height=trace.width or 0.8, left=left, color=colour_of(trace.marker.color), linewidth=0)
        _whiskers(trace, axes, x, y)
        return None
    y = y_of(trace.y)
    x = x_of(trace.x) if trace.x is not None else trace.x0 + (trace.dx or 1) * np.arange(len(y), dtype=np.float64)
    alpha = 1.0 if trace.opacity is None else trace.opacity
    mode = (trace.mode or "lines").split("+")
    if trace.fill == "toself":
        axes.fill(x, y, color=colour_of(trace.fillcolor), alpha=alpha, linewidth=0)
    elif "lines" in mode:
        _line(trace, axes, x, y, alpha)
    if "markers" in mode and trace.marker.opacity != 0:
        _whiskers(trace, axes, x, y)
        _markers(trace, axes, x, y, alpha)
    for at, on, text in zip(x, y, trace.text or (), strict=False) if "text" in mode else ():
        axes.text(at, on, words_of(text), ha="center", va="center", parse_math=False)
    return None


def _line(trace: go.Scatter, axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], alpha: float) -> None:
    if trace.connectgaps:
        seen = np.isfinite(y)
        x, y = x[seen], y[seen]
    style: dict[str, Any] = {"drawstyle": "steps-post"} if trace.line.shape == "hv" else {}
    axes.plot(
        x,
        y,
        color=colour_of(trace.line.color),
        linewidth=POINT * (2 if trace.line.width is None else trace.line.width),
        linestyle=DASHES[trace.line.dash],
        alpha=alpha,
        **style,
    )


def _markers(trace: go.Scatter, axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], alpha: float) -> None:
    """Draw the markers, those of one symbol at a time."""
    marker, drawn = trace.marker, np.isfinite(x) & np.isfinite(y)
    symbols = _each(marker.symbol or "circle", len(x))
    sizes = np.array(_each(6 if marker.size is None else marker.size, len(x)), dtype=np.float64)
    widths = np.array(_each(0 if marker.line.width is None else marker.line.width, len(x)), dtype=np.float64)
    # Of a line with markers the line's colour holds where the marker has none.
    colour = colour_of(marker.color or trace.line.color or marker.line.color)
    for symbol in dict.fromkeys(symbols):
        shape, filled = _SYMBOLS[symbol]
        of_it = drawn & np.array([one == symbol for one in symbols])
        look: dict[str, Any] = {"facecolors": colour if filled else "none", "edgecolors": colour}
        if shape in _STROKES:
            look = {"color": colour_of(marker.line.color or marker.color)}
        least = 0.0 if filled and shape not in _STROKES else 1.0
        axes.scatter(
            x[of_it],
            y[of_it],
            s=(POINT * sizes[of_it]) ** 2,
            marker=shape,
            linewidths=POINT * np.maximum(widths[of_it], least),
            alpha=alpha * (1.0 if marker.opacity is None else marker.opacity),
            zorder=3,
            **look,
        )


def _each(value: Any, count: int) -> Sequence[Any]:
    """Return a setting of each of so many markers, of which all may share one."""
    return [value] * count if isinstance(value, str | int | float) else list(value)


def _whiskers(trace: go.Scatter | go.Bar, axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    for name, error in (("xerr", trace.error_x), ("yerr", getattr(trace, "error_y", None))):
        if error is None or error.array is None:
            continue
        ends = np.array([list(error.arrayminus), list(error.array)], dtype=np.float64)
        known = np.isfinite(x) & np.isfinite(y)
        reach: dict[str, Any] = {name: np.clip(ends[:, known], 0.0, None)}
        axes.errorbar(
            x[known],
            y[known],
            **reach,
            fmt="none",
            ecolor=colour_of(error.color or trace.marker.color),
            elinewidth=POINT * (2 if error.thickness is None else error.thickness),
            capsize=POINT * (4 if error.width is None else error.width),
            zorder=2.5,
        )


def _heat(trace: go.Heatmap, axes: Axes, x_of: PointsOf, y_of: PointsOf) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    z = np.array(trace.z, dtype=np.float64)
    x, y = (
        _edges(places(range(z.shape[axis]) if values is None else values))
        for axis, values, places in ((1, trace.x, x_of), (0, trace.y, y_of))
    )
    scale = [(at, colour_of(colour)) for at, colour in trace.colorscale]
    colours = LinearSegmentedColormap.from_list("scale", scale)
    axes.grid(visible=False)
    limits = {"vmin": trace.zmin, "vmax": trace.zmax}
    return axes.pcolormesh(x, y, np.ma.masked_invalid(z), cmap=colours, rasterized=z.size > _CELLS, **limits)


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the cells around some centres end, half-way between them.

    Example:
        >>> _edges(np.array([0.0, 1.0, 3.0])).tolist(), _edges(np.array([4.0])).tolist()
        ([-0.5, 0.5, 2.0, 4.0], [3.5, 4.5])
    """
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middles = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])
