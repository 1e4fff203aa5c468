"""A figure of a report in matplotlib: the same data, axes, marks and legend, for a file, a notebook, a publication.

Reports hold plotly figures, which a browser draws. This reads what such a figure is made of and draws it again, so that
every figure of every report has this form too without being written twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lastbit.core.terminal import visible
from lastbit.report.blocks import FigureBlock, LegendEntry
from lastbit.report.figures.printed import SETTINGS
from lastbit.report.figures.still_marks import DASHES, POINT, PointsOf, add_trace, colour_of, words_of
from lastbit.report.formatting import count, number

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["still"]

_WIDTH = 900
"""Of a figure that takes the width of the page, in pixels, of which an inch has 100."""

_ROW = 24
"""Pixels of a row of the legend, and of the title."""

_LETTERS = 100
"""The most letters of a line of the title; the legend is set smaller."""


def still(block: FigureBlock, title: str = "") -> Figure:
    """Return a figure of a report as a matplotlib figure, which belongs to no window.

    Args:
        block: with its plotly figure.
        title: above it; what of it is no letter is shown and never obeyed, as every text of the figure.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    across = block.max_width or _WIDTH
    letters = across * _LETTERS // _WIDTH
    entitled = wrap(visible(title), letters)
    longest = max((len(entry.label) for entry in block.legend), default=0)
    columns = max(1, min(len(block.legend), (letters + 40) // (longest + 8)))
    rows = -(-len(block.legend) // columns) + len(entitled)
    with rc_context({**SETTINGS, "axes.spines.top": False, "axes.spines.right": False}):
        drawn = Figure(figsize=(across / 100, (block.height + _ROW * rows + 30) / 100), layout="constrained")
        if entitled:
            drawn.suptitle("\n".join(entitled), fontsize=10.5, parse_math=False)
        _panels(block.figure, drawn)
        if block.legend:
            held = drawn.legend(
                [_handle(entry) for entry in block.legend],
                [visible(entry.label) for entry in block.legend],
                loc="outside lower left",
                ncols=columns,
                fontsize=8,
                frameon=False,
                borderpad=0.1,
            )
            for text in held.get_texts():
                text.set_parse_math(False)
    return drawn


def _panels(figure: Any, drawn: Figure) -> None:
    """Draw every pair of axes that holds something, where the page has it."""
    layout = figure.layout
    pairs = list(dict.fromkeys((trace.xaxis or "x", trace.yaxis or "y") for trace in figure.data)) or [("x", "y")]
    columns = sorted({_domain(layout, x) for x, _ in pairs})
    lines = sorted({_domain(layout, y) for _, y in pairs}, reverse=True)
    grid = drawn.add_gridspec(
        len(lines),
        len(columns),
        width_ratios=[high - low for low, high in columns],
        height_ratios=[high - low for low, high in lines],
    )
    panels: dict[tuple[str, str], Axes] = {}
    places = {name: PointsOf() for pair in pairs for name in pair}
    for x, y in pairs:
        share_x, share_y = (
            next((panels[one] for one in panels if one[way] == name), None) for way, name in enumerate((x, y))
        )
        row, column = lines.index(_domain(layout, y)), columns.index(_domain(layout, x))
        panels[x, y] = drawn.add_subplot(grid[row, column], sharex=share_x, sharey=share_y)
    stacked: dict[tuple[Any, ...], float] = {}
    for trace in figure.data:
        pair = trace.xaxis or "x", trace.yaxis or "y"
        starts = [stacked.get((*pair, at), 0.0) for at in trace.y] if _stacks(figure, trace) else []
        heat = add_trace(trace, panels[pair], places[pair[0]], places[pair[1]], starts or 0.0)
        if heat is not None:
            _colour_bar(trace.colorbar, heat, panels[pair], drawn)
        if _stacks(figure, trace):
            stacked |= {(*pair, at): start + more for at, start, more in zip(trace.y, starts, trace.x, strict=True)}
    for (x, y), axes in panels.items():
        told = _setting(layout, x), _setting(layout, y)
        at_bottom = (told[0].anchor or "y") in (y, "free") or len(lines) == 1
        at_left = (told[1].anchor or "x") in (x, "free") or len(columns) == 1
        _shapes(layout, axes, x, y)
        _axis(axes, "x", told[0], places[x], labelled=at_bottom)
        _axis(axes, "y", told[1], places[y], labelled=at_left)
        for note in layout.annotations:
            if (note.xref or "x", note.yref or "y") == (x, y):
                _note(note, axes)


def _stacks(figure: Any, trace: Any) -> bool:
    return bool(trace.type == "bar" and figure.layout.barmode == "stack")


def _setting(layout: Any, name: str) -> Any:
    """Return the settings of an axis by the name that traces have for it: `x2`."""
    return layout[f"{name[0]}axis{name[1:]}"]


def _domain(layout: Any, name: str) -> tuple[float, float]:
    low, high = _setting(layout, name).domain or (0, 1)
    return float(low), float(high)


def _axis(axes: Axes, way: Literal["x", "y"], told: Any, places: PointsOf, *, labelled: bool) -> None:
    """Give an axis its scale, range, ticks and title; of one that panels share, some show no labels."""
    from matplotlib import ticker

    axis, names = axes.xaxis if way == "x" else axes.yaxis, places.names
    set_limits, get_limits = (axes.set_xlim, axes.get_xlim) if way == "x" else (axes.set_ylim, axes.get_ylim)
    # Where nothing is above zero there is no logarithm to take.
    log = told.type == "log" and bool(np.isfinite(axis.get_minpos()))
    if told.visible is False:
        axes.set_axis_off()
    if log:
        (axes.set_xscale if way == "x" else axes.set_yscale)("log", nonpositive="mask")
    if told.range is not None:
        set_limits(*(10**end if log else end for end in told.range))
    elif names:
        set_limits(-0.5, len(names) - 0.5)
    elif told.rangemode == "tozero" and not log:
        set_limits(*((0.0, get_limits()[1]) if get_limits()[1] > 0 else (get_limits()[0], 0.0)))
    if told.autorange == "reversed":
        set_limits(*sorted(get_limits(), reverse=True))
    if told.scaleanchor is not None:
        axes.set_aspect("equal")
    if told.tickvals is not None:
        at = [names.index(value) if value in names else value for value in told.tickvals]
        axis.set_ticks(at, labels=[words_of(str(text)) for text in told.ticktext or told.tickvals])
        axis.set_minor_locator(ticker.NullLocator())
    elif names:
        axis.set_ticks(range(len(names)), labels=[_folded(words_of(name), len(names)) for name in names])
    elif log and told.dtick == "D2":
        axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))
        axis.set_minor_formatter(ticker.NullFormatter())
    elif told.type != "log":
        _counted(axis, told, whole="d" in (told.tickformat or "") or (way == "x" and places.whole))
    for text in axis.get_ticklabels():
        text.set_parse_math(bool(log and told.tickvals is None))
    if told.showgrid is False:
        axes.grid(visible=False, axis=way)
    if told.showticklabels is False or not labelled:
        hidden: dict[str, Any] = {"labelbottom" if way == "x" else "labelleft": False}
        axes.tick_params(axis=way, length=0, **hidden)
    if told.showticklabels is False:
        axes.spines["bottom" if way == "x" else "left"].set_visible(False)
    if labelled:
        axis.set_label_text(words_of(told.title.text), parse_math=False)


def _folded(name: str, count: int) -> str:
    """Return a name below one of several marks in lines that leave the others room."""
    return "\n".join(wrap(name, max(8, 90 // count))) or name


def _counted(axis: Any, told: Any, *, whole: bool) -> None:
    """Give a linear axis ticks as far apart, and in the form, that are asked for."""
    from matplotlib import ticker

    if told.dtick is not None:
        axis.set_major_locator(ticker.MultipleLocator(told.dtick))
    elif told.nticks or whole:
        axis.set_major_locator(ticker.MaxNLocator(told.nticks or "auto", integer=whole))
    suffix, worded = told.ticksuffix or "", count if whole else number
    if suffix or whole:
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: worded(value) + suffix))


def _colour_bar(told: Any, heat: Any, axes: Axes, drawn: Figure) -> None:
    from matplotlib import ticker

    bar = drawn.colorbar(heat, ax=axes, location="top", aspect=60, pad=0.01)
    bar.outline.set_visible(False)
    bar.set_label(words_of(told.title.text), parse_math=False)
    if told.tickvals is not None:
        inside = [
            (at, words_of(text))
            for at, text in zip(told.tickvals, told.ticktext, strict=True)
            if heat.norm.vmin <= at <= heat.norm.vmax
        ]
        bar.set_ticks([at for at, _ in inside], labels=[text for _, text in inside])
    elif told.ticksuffix:
        bar.formatter = ticker.FuncFormatter(lambda value, _: number(value) + told.ticksuffix)


def _shapes(layout: Any, axes: Axes, x: str, y: str) -> None:
    """Draw the bands, boxes and lines of a panel; one from the bottom to the top of the figure crosses every panel."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle
    from matplotlib.transforms import blended_transform_factory

    for shape in layout.shapes:
        ref_x, ref_y = shape.xref or "x", shape.yref or "y"
        if ref_x.removesuffix(" domain") not in (x, "paper") or ref_y.removesuffix(" domain") not in (y, "paper"):
            continue
        free_x, free_y = ("paper" in ref or "domain" in ref for ref in (ref_x, ref_y))
        where = blended_transform_factory(
            axes.transAxes if free_x else axes.transData, axes.transAxes if free_y else axes.transData
        )
        width = POINT * (2 if shape.line.width is None else shape.line.width)
        look: dict[str, Any] = {"transform": where, "zorder": 0.5 if shape.layer == "below" else 1.8}
        if shape.opacity is not None:
            look["alpha"] = shape.opacity
        if shape.type == "line" or shape.x0 == shape.x1:
            style = {"color": colour_of(shape.line.color), "linewidth": width, "linestyle": DASHES[shape.line.dash]}
            axes.add_line(Line2D([shape.x0, shape.x1], [shape.y0, shape.y1], **style, **look))
            continue
        axes.add_patch(
            Rectangle(
                (shape.x0, shape.y0),
                shape.x1 - shape.x0,
                shape.y1 - shape.y0,
                facecolor=colour_of(shape.fillcolor or "none"),
                edgecolor=colour_of(shape.line.color) if width and shape.line.color else "none",
                linewidth=width,
                **look,
            )
        )


def _note(note: Any, axes: Axes) -> None:
    if note.showarrow is False:
        side = {"left": "left", "right": "right"}.get(note.xanchor, "center")
        up = {"bottom": "bottom", "top": "top"}.get(note.yanchor, "center")
        axes.text(note.x, note.y, words_of(note.text), ha=side, va=up, fontsize=8.5, parse_math=False)
        return
    arrow = {"arrowstyle": "->", "color": colour_of(note.arrowcolor), "linewidth": POINT * note.arrowwidth}
    axes.annotate("", xy=(note.x, note.y), xytext=(note.ax, note.ay), arrowprops=arrow)


_LINES: Mapping[str, Mapping[str, Any]] = {
    "line": {"linestyle": "-"},
    "dashed": {"linestyle": "--"},
    "dotted": {"linestyle": ":"},
    "point": {"linestyle": "none", "marker": "o"},
    "ring": {"linestyle": "none", "marker": "o", "markerfacecolor": "none"},
    "diamond": {"linestyle": "none", "marker": "D"},
    "cross": {"linestyle": "none", "marker": "x"},
    "triangle": {"linestyle": "none", "marker": "v"},
    "dash": {"linestyle": "none", "marker": "_", "markeredgewidth": 2},
    "whisker": {"linestyle": "-", "marker": "|", "markersize": 6},
}


def _handle(entry: LegendEntry) -> Artist:
    """Return the mark of an entry of the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    colour = colour_of(entry.colour)
    if entry.mark in ("fill", "band"):
        return Patch(facecolor=colour, alpha=0.25 if entry.mark == "band" else 1.0, linewidth=0)
    return Line2D([], [], **{"color": colour, "linewidth": 1.4, "markersize": 5, **_LINES[entry.mark]})
