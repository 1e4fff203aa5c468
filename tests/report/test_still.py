"""A figure in matplotlib shows what the report's figure holds: compared with plotly's own arrays, trace by trace."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_rgb
from small_traces import write_trace

import lastbit as lb
from lastbit.report.blocks import FigureBlock, LegendEntry
from lastbit.report.figures.arms import ArmStrip, DifferenceBar, arm_strips, difference_bars
from lastbit.report.figures.curves import difference_curves
from lastbit.report.figures.lines import Line
from lastbit.report.figures.maps import layer_map
from lastbit.report.figures.printed import written
from lastbit.report.figures.runs import Box, Track, chain, timelines
from lastbit.report.figures.session import BaselineSpan, CandidateMark, session_timeline
from lastbit.report.figures.still import still
from lastbit.report.figures.strips import result_strip
from lastbit.report.figures.style import axis, blank, upright
from lastbit.report.figures.units import unit_map
from lastbit.report.figures.variance import VarianceSplit, variance_bars

STORED = Path(__file__).parents[1] / "data" / "studies-format-1"
HOSTILE = "$\\frac{a}{b}$ <script>&lt;b&gt; %{x} \x1b[31m"


def block(figure, **more):
    return FigureBlock(**{"name": "f", "figure": figure, "height": 300, "describe": "a figure", **more})


def numbers(values):
    """Values of plotly as numbers; names, which stand one after the other, as their places."""
    found = list(values)
    if any(isinstance(value, str) for value in found):
        return None
    return np.array(found, dtype=float)


def same(drawn, wanted):
    return np.shape(drawn) == np.shape(wanted) and np.allclose(drawn, wanted, equal_nan=True, rtol=1e-6)


def check(one):
    """Every trace of a figure is there with its numbers; returns how many were held against each other."""
    drawn, held = still(one), 0
    lines = [line for axes in drawn.axes for line in axes.lines]
    clouds = [c.get_offsets() for a in drawn.axes for c in a.collections if isinstance(c, PathCollection)]
    maps = [c.get_array() for a in drawn.axes for c in a.collections if isinstance(c, QuadMesh)]
    bars = [bar for axes in drawn.axes for bar in axes.patches]
    for trace in one.figure.data:
        if trace.type == "heatmap":
            assert any(same(np.ma.filled(m, np.nan).ravel(), np.array(trace.z, float).ravel()) for m in maps)
        elif trace.type == "bar":
            widths = np.nan_to_num(numbers(trace.x))
            assert all(any(np.isclose(bar.get_width(), width) for bar in bars) for width in widths)
        elif trace.fill == "toself" or trace.mode == "text":
            continue
        else:
            y = numbers(trace.y)
            x = trace.x0 + trace.dx * np.arange(len(y)) if trace.x is None else numbers(trace.x)
            if "lines" in (trace.mode or "lines"):
                seen = np.isfinite(y) if trace.connectgaps else np.ones(len(y), bool)
                assert any(same(line.get_xdata(), x[seen]) and same(line.get_ydata(), y[seen]) for line in lines)
            if "markers" in (trace.mode or "") and trace.marker.opacity != 0 and np.isfinite(y).any():
                points = np.ma.concatenate(clouds)
                for place, value in enumerate(y):
                    at = None if x is None else x[place]
                    if np.isfinite(value) and (at is None or np.isfinite(at)):
                        assert (np.isclose(points[:, 1], value) & (at is None or np.isclose(points[:, 0], at))).any()
        held += 1
    said = {text.get_text() for legend in drawn.legends for text in legend.get_texts()}
    assert said == {entry.label for entry in one.legend}
    return held


def opened(kind, tmp_path):
    if kind == "trace-here":
        return lb.open_study(write_trace(tmp_path / "T", names=("conv.weight", "head.weight")))
    shutil.copytree(STORED / kind, tmp_path / kind)
    return lb.open_study(tmp_path / kind)


@pytest.mark.parametrize("kind", ["audit", "trace-here", pytest.param("eos", marks=pytest.mark.slow)])
def test_every_figure_of_a_study_is_drawn_with_its_numbers(kind, tmp_path):
    study = opened(kind, tmp_path)
    assert study.figures
    assert sum(check(one) for _, one in study.page.figures.values()) >= len(study.figures)


def others():
    arm = {"seeds": ["0", "1"], "mean": 97.0, "low": 96.0, "high": 98.5}
    arms = [ArmStrip(label="A", values=[96.5, 97.5], **arm), ArmStrip(label="B", values=[98.0, 99.0], **arm)]
    bars = [DifferenceBar(label="B − A", difference=1.5, low=0.5, high=2.5, tone="real")]
    tracks = [Track(label=f"run {n}", equal=4, ends=5, differs=True, said="x", suspects=(2,)) for n in (1, 2)]
    mark = {"label": "c", "said": "s", "at": "now", "alpha_left": 0.9, "shown": 97.0}
    session = [
        CandidateMark(place=1, values=[96.0, 98.0], lost=False, choice="keep", **mark),
        CandidateMark(place=2, values=[], lost=True, choice="undecided", **mark),
    ]
    span = BaselineSpan(label="b", start=0.5, end=2.5, mean=96.0, sigma=0.5, runs=3)
    split = VarianceSplit(title="of accuracy", parts={"a": "#d55e00", "b": "#0072b2"}, share=0.3, low=0.1, high=0.6)
    units = np.array([[0.0, 3.0], [40.0, 1e6]])
    return {
        "arms": arm_strips(arms, "accuracy", "%"),
        "differences": difference_bars(bars, "points", 1.0),
        "timelines": timelines(tracks),
        "chain": chain([Box(title="aten.mm", under="a.py:3", hover="", root=True), Box(title="w", under="", hover="")]),
        "session": session_timeline(session, [span], "accuracy", "%", "5%"),
        "variance": variance_bars([split]),
        "units": unit_map(np.array([1, 2]), units, ["a", "b"], 32.0),
    }


@pytest.mark.parametrize("name", others())
def test_figures_of_the_other_kinds_are_drawn_with_their_numbers(name):
    assert check(block(others()[name])) > 0 or name == "chain"


def test_axes_have_the_scale_the_range_the_ticks_and_the_titles_of_the_report(tmp_path):
    figure = blank()
    figure.add_scatter(x=[1, 2, 3], y=[1e-7, 1e-3, 1], mode="lines", line={"color": "#000000"})
    figure.add_scatter(x=[1, 3], y=[5, 9], mode="lines", yaxis="y2", line={"color": "#000000", "dash": "dash"})
    figure.update_layout(
        xaxis=axis("step", range=[0, 4], anchor="y2", tickvals=[1, 3], ticktext=["one", "three"]),
        yaxis=axis("10<sup>", type="log", domain=[0.5, 1]),
        yaxis2=axis("share\nof it", domain=[0, 0.4], ticksuffix="%", dtick=2),
    )
    upper, lower = still(block(figure)).axes
    assert (upper.get_yscale(), lower.get_yscale()) == ("log", "linear")
    assert upper.get_position().y0 >= lower.get_position().y1
    assert lower.get_xlim() == upper.get_xlim() == (0, 4)
    assert [text.get_text() for text in lower.get_xticklabels()] == ["one", "three"]
    assert (upper.get_xlabel(), lower.get_xlabel(), lower.get_ylabel()) == ("", "step", "share\nof it")
    assert lower.yaxis.get_major_formatter()(6.0) == "6%"
    assert lower.lines[0].get_linestyle() == "--"


def test_a_band_over_the_whole_height_crosses_every_panel_and_a_line_widens_the_axis():
    figure = blank(shapes=[upright(2, 8, fillcolor="#ff0000")])
    for panel in ("y", "y2"):
        figure.add_scatter(x=[1, 3], y=[1, 2], yaxis=panel, mode="lines", line={"color": "#000000"})
    figure.update_layout(yaxis=axis(domain=[0.6, 1]), yaxis2=axis(domain=[0, 0.4]), xaxis=axis(anchor="y2"))
    for axes in still(block(figure)).axes:
        assert [(band.get_x(), band.get_width()) for band in axes.patches] == [(2, 6)]
        assert axes.get_xlim()[1] >= 8


@pytest.mark.parametrize("top", [0.5, 2.0, 7.5])
def test_a_layer_at_its_limit_is_white_however_far_others_are_past_it(top):
    figure = layer_map(["a", "b"], np.array([1]), np.array([[1.0], [top]]))
    [mesh] = still(block(figure)).axes[0].collections
    assert np.allclose(mesh.cmap(mesh.norm(1.0))[:3], to_rgb("#f7f7f7"), atol=0.02)
    far = mesh.cmap(mesh.norm(top))[:3]
    assert far[0] > far[2] if top > 1 else far[2] > far[0]


def test_what_holds_nothing_is_drawn_empty():
    nothing = result_strip([], "accuracy", "%", {})
    assert still(block(nothing)).axes[0].get_xlabel() == "seed"
    lines = [Line(label="twin", group="twin", colour="#000000", x=np.arange(3), y=np.zeros(3))]
    steps = np.arange(3)
    drawn = still(block(difference_curves(lines, steps, np.zeros(3), 0.0, [])))
    assert written(drawn, "png", 20)[:4] == b"\x89PNG"


def test_texts_are_shown_and_never_obeyed():
    figure = unit_map(np.array([1]), np.array([[3.0]]), [HOSTILE], 32.0)
    drawn = still(block(figure, legend=[LegendEntry(HOSTILE, "rgb(1, 2, 3)", mark="ring")]), HOSTILE)
    shown = HOSTILE.replace("\x1b", "\\x1b")
    [text] = drawn.legends[0].get_texts()
    assert (text.get_text(), text.get_parse_math()) == (shown, False)
    assert drawn.get_suptitle() == shown
    [tick] = drawn.axes[0].get_yticklabels()
    assert "$" in tick.get_text()
    assert tick.get_parse_math() is False
    assert written(drawn, "png", 20)[:4] == b"\x89PNG"


def test_the_same_figure_has_the_same_bytes():
    one, two = (written(still(block(others()["arms"]), "漢"), "svg") for _ in range(2))
    assert one == two
    assert ElementTree.fromstring(one).tag.endswith("svg")
