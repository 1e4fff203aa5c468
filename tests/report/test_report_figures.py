"""Figures are pure functions of arrays; what they draw is compared with plain arithmetic on the arrays."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lastbit.report.figures.curves import training_curves, twin_gaps, visible_effect
from lastbit.report.figures.lines import Line
from lastbit.report.figures.maps import churn_heat_map, origin_figure
from lastbit.report.figures.strips import Result, WeightDistance, result_strip, weight_distances
from lastbit.report.figures.style import log_or_linear, seed_colours
from lastbit.report.figures.variance import VarianceSplit, variance_bars
from lastbit.store import StudyFolder
from lastbit.studies.audit.gaps import MAX_LINES, curves, read_gaps, rms_bins, spread_within_seeds

COLOURS = {0: "#000000", 1: "#111111", 2: "#222222"}

finite = st.floats(-1e30, 1e30, allow_subnormal=False)


@settings(deadline=None, max_examples=80)
@given(arrays(np.float64, st.integers(1, 200), elements=finite), st.integers(1, 60))
def test_thinning_is_the_root_mean_square_of_each_bin(values, points):
    thin, width = rms_bins(values, points)
    assert len(thin) <= points
    slow = [np.sqrt(np.mean(np.square(values[i : i + width]))) for i in range(0, len(values), width)]
    # Two roundings per square and sum over at most 200 values; squares below 1e-308 vanish in the slow form alone.
    np.testing.assert_allclose(thin, slow, rtol=1e-12, atol=1e-150)


def test_thinning_leaves_short_series_alone_and_steps_over_nan():
    np.testing.assert_array_equal(rms_bins(np.array([-1.0, np.nan, 2.0]), 3)[0], [1.0, np.nan, 2.0])
    thin, width = rms_bins(np.array([3.0, np.nan, np.nan, np.nan, np.inf, 1.0]), 3)
    assert width == 2
    np.testing.assert_array_equal(thin, [3.0, np.nan, np.inf])
    assert rms_bins(np.empty(0), 5) == (pytest.approx(np.empty(0)), 1)


def test_thinning_keeps_differences_whose_squares_underflow():
    thin, _ = rms_bins(np.full(10, 1e-200), 1)
    assert thin[0] == pytest.approx(1e-200, rel=1e-12)


def test_gaps_are_the_differences_of_the_losses_and_weights_on_disk(make_study):
    study = make_study(seeds=3, perturbations=3)
    with StudyFolder.read(study) as folder:
        records = folder.runs()
        stored = {r.run: folder.arrays(r.run) for r in records}
        gaps = read_gaps(folder, records, COLOURS)
    assert len(gaps.twins) == 6
    for gap in gaps.twins:
        run = gap.label.split(",")[0]
        seed = int(gap.group.removeprefix("seed "))
        np.testing.assert_array_equal(gap.y, np.abs(stored[run]["losses"] - stored[f"seed{seed:03d}-p000"]["losses"]))
        assert (gap.x0, gap.dx, gap.colour) == (1.0, 1, COLOURS[seed])
    (between,) = gaps.between
    rows = np.array([stored[f"seed{seed:03d}-p000"]["losses"] for seed in range(3)])
    pairs = [(rows[i] - rows[j]) ** 2 for i in range(3) for j in range(i)]
    np.testing.assert_allclose(between.y, np.sqrt(np.mean(pairs, axis=0)), rtol=1e-10)
    for distance in (d for d in gaps.weights if not d.between_seeds):
        a = stored[distance.label.split(",")[0]]["weights_final"].astype(float)
        b = stored[f"seed{distance.seed:03d}-p000"]["weights_final"].astype(float)
        assert distance.value == pytest.approx(np.mean(2 * abs(a - b) / (abs(a) + abs(b))), rel=1e-12)
    assert sum(d.between_seeds for d in gaps.weights) == 3


def test_the_spread_within_a_seed_is_the_sd_over_its_runs(make_study):
    with StudyFolder.read(make_study(seeds=2, perturbations=4, diverged={(1, 1)})) as folder:
        records = folder.runs()
    spreads = {line.group: line for line in spread_within_seeds(records, "test_loss", COLOURS)}
    for seed in (0, 1):
        rows = [r.metrics["test_loss"] for r in records if r.cell == seed and r.role != "repeat" and r.status == "ok"]
        assert len(rows) == (4 if seed == 0 else 3)
        np.testing.assert_allclose(spreads[f"seed {seed}"].y, np.std(rows, axis=0, ddof=1), rtol=1e-12)


def test_long_series_are_thinned_and_many_runs_left_out_with_their_number(make_study):
    with StudyFolder.read(make_study(seeds=1, perturbations=2, steps_per_epoch=3000)) as folder:
        gaps = read_gaps(folder, folder.runs(), COLOURS)
    (line,) = gaps.twins
    assert len(line.y) <= 2000
    assert line.dx == 5
    with StudyFolder.read(make_study(seeds=1, perturbations=MAX_LINES + 4, steps_per_epoch=2)) as folder:
        records = folder.runs()
        gaps = read_gaps(folder, records, COLOURS)
    assert gaps.left_out == 3
    assert len(gaps.twins) == len(curves(records, "accuracy", COLOURS)) == MAX_LINES


def test_the_strip_draws_every_finite_run_and_marks_the_repeat():
    rows = [
        Result(run=f"r{i}", seed=s, perturbation=p, label="k", control=c, status="ok", value=v)
        for i, (s, p, c, v) in enumerate(
            [(0, 0, False, 1.0), (0, 1, False, 2.0), (0, 0, True, 1.0), (7, 0, False, np.nan), (7, 1, False, 5.0)]
        )
    ]
    figure = result_strip(rows, "accuracy", "%", seed_colours([0, 7]))
    markers = [trace for trace in figure.data if trace.mode == "markers"]
    assert [list(trace.y) for trace in markers] == [[1.0, 2.0, 1.0], [5.0]]
    assert list(markers[0].marker.symbol) == ["diamond", "circle", "circle-open"]
    means = [trace for trace in figure.data if trace.mode == "lines"]
    assert [trace.y[0] for trace in means] == [1.5, 5.0]
    assert list(figure.layout.xaxis.ticktext) == ["0", "7"]


def test_the_bars_add_up_to_the_whole_and_carry_the_interval():
    split = VarianceSplit(title="t", parts={"a": "#000000", "b": "#111111"}, share=0.25, low=0.1, high=0.6)
    figure = variance_bars([split, split])
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert [trace.x[0] for trace in bars] == [25.0, 75.0] * 2
    assert [trace.y[0] for trace in bars] == [1, 1, 0, 0]
    one_sided = variance_bars(
        [replace(split, low=None), replace(split, high=None), replace(split, low=None, high=None)]
    )
    ends = [trace for trace in one_sided.data if trace.type == "scatter"]
    assert [trace.x[0] - trace.error_x.arrayminus[0] for trace in ends] == pytest.approx([0, 10])
    assert [trace.x[0] + trace.error_x.array[0] for trace in ends] == pytest.approx([60, 100])
    whisker = next(trace for trace in figure.data if trace.type == "scatter")
    assert whisker.x[0] - whisker.error_x.arrayminus[0] == pytest.approx(10)
    assert whisker.x[0] + whisker.error_x.array[0] == pytest.approx(60)


def test_no_line_above_a_bar_is_longer_than_a_phone_is_wide():
    parts = {"on the distribution": "#000000", "this test set's <b>sampling": "#111111"}
    split = VarianceSplit(
        title="Variance of <metric> over fresh runs: the last bit or the seed", parts=parts, share=0.5
    )
    text = variance_bars([split]).layout.annotations[0].text
    lines = [re.sub(r"</?b>", "", line) for line in text.split("<br>")]
    assert all(len(unescape(line)) <= 40 for line in lines)
    assert unescape(" ".join(lines)).startswith("Variance of <metric> over")


def test_the_whiskers_of_the_growth_reach_to_the_ends_of_the_intervals():
    figure = origin_figure(["a", "b"], [1e-7, 1e-7], [1e-3, 1e-2], [0.25, 0.75], [(0.1, 0.4), (0.6, 0.9)])
    bar = next(trace for trace in figure.data if trace.type == "bar")
    assert list(np.array(bar.x) - bar.error_x.arrayminus) == pytest.approx([10, 60])
    assert list(np.array(bar.x) + bar.error_x.array) == pytest.approx([40, 90])
    alone = origin_figure(["a"], [1e-7], [1e-3], [1.0])
    assert alone.data[-1].error_x.array is None


def test_the_churn_matrix_keeps_its_values_and_leaves_a_run_beside_itself_blank():
    churn = np.array([[0.0, 0.1, 0.2], [0.1, 0.0, 0.3], [0.2, 0.3, 0.0]])
    figure = churn_heat_map(churn, [0, 0, 4], ["a", "b", "c"])
    drawn = np.array(figure.data[0].z, dtype=float)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(drawn[off], 100 * churn[off], rtol=1e-6)
    assert np.isnan(np.diag(drawn)).all()
    assert len(figure.layout.shapes) == 2, "one boundary between two seeds, in each direction"
    assert figure.layout.shapes[0].x0 == 1.5


def test_a_part_is_never_the_whole_in_a_hover_of_a_percentage():
    churn = np.array([[0.0, 0.99996], [1.0, 0.0]])
    drawn = churn_heat_map(churn, [0, 1], ["a", "b"]).data[0]
    bar = origin_figure(["a", "b"], [1e-7, 1e-7], [1e-3, 1e-3], [0.99996, 1.0]).data[-1]
    line = Line(label="t", group="t", colour="#000000", x=np.array([1, 2]), y=np.array([99.996, 100.0]))
    curve = visible_effect([], [line], []).data[0]
    for hover, part, whole in (
        (drawn.hovertemplate, drawn.z[0][1], drawn.z[1][0]),
        (bar.hovertemplate, *bar.x),
        (curve.hovertemplate, *curve.y),
    ):
        assert ":.4~g}%" in hover
        assert (f"{part:.4g}", f"{whole:.4g}") == ("99.99", "100")


def test_curves_take_nan_and_infinity():
    steps = np.array([1, 2, 3])
    line = Line(label="run", group="seed 0", colour="#000000", x=steps, y=np.array([1.0, np.nan, np.inf]))
    figure = training_curves([line], [line], "accuracy")
    np.testing.assert_array_equal(figure.data[0].y, np.array([1.0, np.nan, np.nan], dtype=np.float32))
    gap = Line(label="g", group="g", colour="#000000", x0=1.0, dx=2, y=np.array([0.0, -1.0, 1e-9, np.inf]))
    drawn = twin_gaps([], [gap], []).data[0]
    np.testing.assert_array_equal(np.isnan(drawn.y), [True, True, False, True])
    assert (drawn.x0, drawn.dx) == (1.0, 2)


def test_weight_distances_are_drawn_as_given_and_zero_is_not():
    rows = [
        WeightDistance(seed=0, label="a", value=v, between_seeds=b)
        for v, b in ((1e-6, False), (0.0, False), (1.4, True))
    ]
    figure = weight_distances(rows, {0: "#000000"})
    assert [list(trace.y) for trace in figure.data] == [[1e-6], [1.4]]
    assert figure.layout.yaxis.type == "log"


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1.0, 2.0], None), ([1e-6, 1.0], "log"), ([0.0, 0.0], None), ([-1.0, 100.0], None), ([np.nan], None), ([], None)],
)
def test_the_axis_is_logarithmic_only_over_decades_of_positive_values(values, kind):
    assert log_or_linear(np.array(values)).get("type") == kind


@pytest.mark.parametrize("count", [1, 8, 9, 100])
def test_every_seed_has_a_colour_of_its_own(count):
    colours = seed_colours(list(range(count)))
    assert len(set(colours.values())) == count
