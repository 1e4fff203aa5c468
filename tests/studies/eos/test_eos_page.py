"""The page of an edge-of-stability study: whole, offline, honest where something is missing."""

import html
import json
import re
import shutil

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from drawn import figure_blocks, render_report, unnamed
from torch import nn

from lastbit import StabilityMonitor, Task, eos, open_study, sharpness
from lastbit.core.errors import LastbitError
from lastbit.report.figures.eos_edge import Spectrum, edge_curves, ratio_curves, spectra, within_reach
from lastbit.report.figures.eos_sweep import Settled, SizeCurve, settled, size_curves
from lastbit.report.figures.lines import Line
from lastbit.report.formatting import show
from lastbit.stats import Estimate, not_measured

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(40, 4, generator=GENERATOR)
Y = torch.randint(0, 3, (40,), generator=GENERATOR)


def toy(lr=3.0, name="toy", **more):
    settings = {
        "name": name,
        "model": lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)),
        "train": (X, Y),
        "test": (X, Y),
        "epochs": 70,
        "batch_size": 40,
        "optimizer": lambda p: torch.optim.SGD(p, lr=lr),
    }
    return Task(**{**settings, **more})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return eos(toy(), out=tmp_path_factory.mktemp("eos") / "s", every=1, twins=2, quiet=True)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    settings = {"steps": 66, "every": 1, "width": 4, "train_size": 60, "twins": 0, "flow": True}
    return eos("digits", out=tmp_path_factory.mktemp("eos") / "s", lr="0.1,1000", workers=1, quiet=True, **settings)


def page_of(study, tmp_path):
    return render_report(study.path, tmp_path / "r.html").read_text("utf-8")


def figures(text):
    return re.findall(r'data-figure="figure-([^"]*)"', text)


def test_every_figure_of_a_single_training_is_there(study, tmp_path):
    text = page_of(study, tmp_path)
    assert figures(text) == ["edge", "spectrum", "layers"]
    assert "Of the training" not in text
    assert "http://" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    for row in study.result.per_layer:
        assert f">{row.name}<" in text


def test_everything_drawn_is_named_by_a_legend(study, sweep):
    assert unnamed(study.page) == []
    assert unnamed(sweep.page) == []
    settled = next(block for block in figure_blocks(sweep.page) if block.name == "sweep-settled")
    assert {entry.mark for entry in settled.legend} == {"whisker", "dashed", "ring", "point", "dash"}


def test_where_no_ratio_is_measured_its_panel_and_its_limit_are_left_out():
    rows = [Settled("a", not_measured("too short"), 0.1, 0.2, 0.3)]
    bare = settled(rows)
    assert not bare.layout.shapes
    assert bare.layout.yaxis2.domain == (0, 1)
    whole = settled([*rows, Settled("b", Estimate(0.9, 0.8, 1.1, 9), 0.1, 0.2, 0.3)])
    assert [(shape.y0, shape.y1) for shape in whole.layout.shapes] == [(1, 1)]
    assert whole.layout.yaxis2.domain == (0, 0.44)


def test_every_training_of_a_sweep_can_be_chosen_and_saved(sweep, tmp_path):
    text = page_of(sweep, tmp_path)
    assert re.findall(r'<option value="([^"]*)"', text) == ["lr 0.1", "lr 1000", ""]
    assert {"edge", "edge-2", "layers", "spectrum"} <= set(figures(text))
    assert sweep.page.trainings == [cell.label for cell in sweep.result.cells]
    (table,) = [block for section in sweep.page.sections for block in section.blocks if getattr(block, "sheet", None)]
    first, second = (dict(zip(table.sheet.header, row, strict=True)) for row in table.sheet.rows)
    cells = sweep.result.cells
    assert (first["lr"], second["lr"], second["status"]) == (0.1, 1000, "diverged")
    assert (first["limit"], first["stable_lr_first"]) == (cells[0].limit, cells[0].stable_lr.first)


def test_a_sweep_shows_each_training_and_one_that_diverged(sweep, tmp_path):
    text = page_of(sweep, tmp_path)
    assert figures(text)[:4] == ["sweep-ratio", "sweep-rates", "sweep-settled", "edge"]
    assert "diverged: weights or loss are not finite" in text
    assert [cell.status for cell in sweep.result.cells] == ["ok", "diverged"]


def test_a_sweep_over_sizes_and_mini_batches_draws_its_trends(tmp_path):
    settings = {"steps": 4, "train_size": 60, "batch_size": 30, "twins": 0}
    study = eos("digits", width="3,6", seeds=2, out=tmp_path / "s", workers=1, quiet=True, **settings)
    text = page_of(study, tmp_path)
    assert "sweep-size" in figures(text)
    trend = study.result.trends[0]
    assert f">{show(trend.exponent).value}<" in text
    assert "batch sharpness / limit" in text
    assert ">width 3, seed 1<" in text


def test_the_size_figure_draws_every_training_and_the_means():
    curve = SizeCurve(
        axis="depth",
        quantity="stable_lr_first",
        label="first",
        at=[1, 1, 4],
        values=[0.1, 0.2, 0.4],
        sizes=[1, 4],
        means=[0.14, 0.4],
    )
    entry = SizeCurve(
        axis="depth", quantity="entered_at_step", label="entered", at=[1], values=[30], sizes=[], means=[]
    )
    figure = size_curves([curve, entry])
    assert [list(trace.y) for trace in figure.data] == [[0.1, 0.2, 0.4], [0.14, 0.4], [30], []]
    assert {trace.yaxis for trace in figure.data} == {"y", "y2"}
    assert list(figure.layout.xaxis.tickvals) == [1, 4]


def test_the_same_study_gives_the_same_bytes_at_the_same_time(study, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225599")
    assert page_of(study, tmp_path) == page_of(study, tmp_path)


def test_hostile_names_stay_text(tmp_path):
    hostile = "<script>document.documentElement.dataset.pwned=1</script>%{x}"
    text = page_of(eos(toy(name=hostile, epochs=6), out=tmp_path / "s", every=1, twins=0, quiet=True), tmp_path)
    assert hostile not in text


def test_a_measurement_has_a_page(tmp_path):
    found = sharpness(toy(), out=tmp_path / "s")
    text = page_of(found, tmp_path)
    assert figures(text) == ["spectrum"]
    assert "the whole network" in text


def test_missing_arrays_are_named_and_keys_that_are_gone_concluded_again(study, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(study.path, copy)
    result = json.loads((copy / "result.json").read_text())
    del result["cells"]
    (copy / "result.json").write_text(json.dumps(result))
    assert open_study(copy).result == study.result
    (copy / "arrays" / "cell000.npz").unlink()
    text = open_study(copy).report(tmp_path / "r.html").read_text()
    assert "What is missing" in text
    assert "cell000.npz" in text


def test_a_live_monitor_leaves_a_study_that_can_be_drawn(tmp_path):
    model, seen = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    loss_fn = nn.functional.cross_entropy
    with StabilityMonitor(
        model,
        optimizer,
        loss_fn,
        (X, Y),
        every=2,
        budget=None,
        per_layer=True,
        study=tmp_path / "s",
        sinks=[seen.append],
    ) as monitor:
        for _ in range(20):
            optimizer.zero_grad()
            loss_fn(model(X), Y).backward()
            optimizer.step()
    assert [record.step for record in seen] == list(range(2, 21, 2)) == [record.step for record in monitor.records]
    study = open_study(tmp_path / "s")
    assert list(study.result.sharpness) == [record.sharpness for record in monitor.records]
    assert study.result.limit == pytest.approx(4.0)
    assert [row.name for row in study.result.per_layer] == ["0", "2"]
    assert figures(page_of(study, tmp_path)) == ["edge", "layers"]
    with pytest.raises(LastbitError, match="is not empty"):
        StabilityMonitor(model, optimizer, loss_fn, (X, Y), study=tmp_path / "s")
    with pytest.raises(LastbitError, match="is no folder"):
        StabilityMonitor(model, optimizer, loss_fn, (X, Y), study=tmp_path / "s" / "study.json")
    with pytest.raises(LastbitError, match="study is concluded"), monitor:
        pass


def test_a_watched_training_that_diverges_is_reported_from_the_first_step_that_is_not_finite(tmp_path):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    options = {"every": 1, "budget": None, "per_layer": True, "study": tmp_path / "s"}
    monitor = StabilityMonitor(model, optimizer, nn.functional.cross_entropy, (X, Y), **options)
    for step in range(1, 7):
        if step == 4:
            nn.init.constant_(model.weight, torch.nan)
        monitor.step()
    monitor.close()
    study = open_study(tmp_path / "s")
    assert "not finite at step 4;" in study.verdict
    # It saw ratios by layer, but no stable learning rates.
    assert "layer, moved alone" not in study.summary()
    assert study.result.advice == "Take a smaller learning rate."
    text = page_of(study, tmp_path)
    assert "batches of 0" not in text
    assert "1 training, 6 steps" in text


@pytest.mark.parametrize("steps", [3, 40])
def test_a_loop_is_measured_at_least_once_and_says_what_the_budget_postponed(tmp_path, steps):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    options = {"every": 5, "budget": 1e-6, "study": tmp_path / "s"}
    monitor = StabilityMonitor(model, optimizer, nn.functional.cross_entropy, (X, Y), **options)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), Y).backward()
        optimizer.step()
        monitor.step()
    said = monitor.summary()
    monitor.close()
    assert [record.step for record in monitor.records] == [min(steps, 5)]
    postponed = (
        "To stay within its budget of 0.0001% of the training's time, the monitor postponed 7 measurements: "
        "budget=None makes them all."
    )
    study = open_study(tmp_path / "s")
    assert said.startswith(f"1 measurement in {steps} steps; at the last, the learning rate was ")
    for text in (said, " ".join(study.summary().split()), study.result.advice, html.unescape(page_of(study, tmp_path))):
        assert (postponed in text) is (steps == 40)


def test_a_monitor_without_a_study_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with StabilityMonitor(model, optimizer, nn.functional.cross_entropy, (X, Y)) as monitor:
        monitor.measure()
    assert list(tmp_path.iterdir()) == []


def test_the_edge_figure_draws_what_it_is_given():
    steps, ones = np.arange(1, 51), np.ones(50)
    batch = np.array([[10, 1.0, 0.9, 1.1], [20, 2.0, 1.8, 2.2]])
    figure = edge_curves(
        steps,
        ones,
        2 * ones,
        3 * ones,
        [Line(label="twin 1", group="twin 0", colour="#000000", x=steps, y=np.where(steps > 5, 1e-3, 0.0))],
        flow=(steps, ones, 40 * ones),
        batch=batch,
    )
    assert isinstance(figure, go.Figure)
    assert len(figure.data) == 7
    assert figure.layout.yaxis2.range[1] >= 40
    twin = next(trace for trace in figure.data if trace.legendgroup == "twin 0")
    assert np.isnan(twin.y[:5]).all()


@pytest.mark.parametrize(
    ("sharpness", "limit", "reach"),
    [(5.0, 20.0, 20.0), (25.0, 20.0, 25.0), (15.0, np.geomspace(2000, 20, 50), 26.0), (15.0, np.inf, 15.0)],
    ids=["below", "above", "warm-up", "no limit"],
)
def test_the_edge_figure_looks_as_far_as_both_curves_but_not_after_a_limit_that_leaves(sharpness, limit, reach):
    steps, ones = np.arange(1, 51), np.ones(50)
    figure = edge_curves(steps, ones, sharpness * ones, limit * ones, [])
    assert figure.layout.yaxis2.range == pytest.approx((0, 1.15 * reach))


def test_a_ratio_that_blew_up_does_not_press_the_others_flat():
    steps = np.arange(1, 51)
    ratio = np.where(steps < 40, 1.0, 1e9)
    line = Line(label="a", group="g", colour="#000000", x=steps, y=ratio)
    assert ratio_curves([line]).layout.yaxis.range[1] == 2.0


@pytest.mark.parametrize(("limit", "near"), [(12.0, True), (0.1, True), (16.0, False), (2000.0, False)])
def test_a_limit_far_off_does_not_press_the_spectrum_flat(limit, near):
    found = [Spectrum(label="now", nodes=np.array([[0.0, 5.0]]), weights=np.array([[0.9, 0.1]]))]
    assert within_reach(found, limit) == near


def test_a_density_integrates_to_one():
    nodes, weights = np.array([[0.0, 4.0], [0.0, 5.0]]), np.array([[0.9, 0.1], [0.8, 0.2]])
    figure = spectra([Spectrum(label="now", nodes=nodes, weights=weights)], None)
    x, y = np.asarray(figure.data[0].x), np.nan_to_num(np.asarray(figure.data[0].y, dtype=float))
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=0.01)
