"""What every `pde` function concludes: a sentence, a word, JSON, a page in three forms, a figure, a command."""

import inspect
import json
import math
import re
import shlex
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import pytest
import torch
from PIL import Image

import lastbit as lb
from lastbit.cli import main
from lastbit.core.errors import LastbitError
from lastbit.pde import DESCENTS, SCHEMES
from lastbit.pde.cnn.phase import PhaseDiagram
from lastbit.pde.cnn.status import FlowStatus
from lastbit.pde.cnn.window import Window
from lastbit.pde.deep.sweep import ComplexitySweep, ComplexityTrend
from lastbit.pde.linear.problems import PROBLEMS
from lastbit.report.html import render_html
from lastbit.report.markdown import render_markdown
from lastbit.report.text import render_text
from lastbit.studies.pde import settings
from lastbit.studies.pde.cnn_problem import too_few_steps
from lastbit.studies.pde.complexity import ComplexityStudy
from lastbit.studies.pde.phase import PhaseStudy
from lastbit.studies.pde.settings import (
    CnnStabilitySettings,
    ComplexitySettings,
    DeepStabilitySettings,
    LinearStabilitySettings,
    PhaseSettings,
    SimulateSettings,
    WindowSettings,
)
from lastbit.studies.pde.window import WindowStudy

SMALL = {"image_size": 16, "kernel": 3}
DEEP = {"depth": 2, "width": 2, "kernel": 2, "image_size": 5, "images": 2}

STUDIES = {
    "cnn": lambda: lb.pde_stability("cnn", dt=0.1, weight_decay=2.0, check=True, **SMALL),
    "deep": lambda: lb.pde_stability("deep", dt=0.1, scheme="heavy_ball", momentum=0.5, **DEEP),
    "heat": lambda: lb.pde_stability("heat", dim=2),
    "heat step": lambda: lb.pde_stability("heat", dt=0.3),
    "blow-up": lambda: lb.pde_simulate("heat", dt=0.55),
    "simulate": lambda: lb.pde_simulate(lr=0.1, weight_decay=1.0, steps=100, twin=3, **SMALL),
    "window": lambda: lb.pde_window(weight_decay=2.0, steps=400, **SMALL),
    "phase": lambda: lb.pde_phase(points=3, lr_range=(0.1, 2.0), **SMALL),
    "complexity": lambda: lb.pde_complexity(depths=(1, 2), widths=(), kernels=(), seeds=2, image_size=5, images=2),
}


@pytest.fixture(scope="module", params=STUDIES)
def study(request):
    return STUDIES[request.param]()


def test_json_is_plain_and_says_what_it_is(study):
    content = json.loads(json.dumps(study.to_json(), allow_nan=False))
    assert content["schema"] == 1
    assert content["kind"].startswith("pde ")
    assert content["verdict"] == study.verdict
    assert content["verdict_kind"] == study.verdict_kind
    assert content["problem"] == study.problem
    assert "\n" not in study.verdict
    assert study.verdict.endswith(".")


def test_the_command_repeats_it(study, tmp_path, capsys):
    target = tmp_path / "again.json"
    assert main([*shlex.split(study.command)[1:], "--json", str(target), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{study.verdict}\n"
    assert json.loads(target.read_text()) == json.loads(json.dumps(study.to_json()))


def test_text_markdown_and_html_come_from_one_page(study):
    page = study.page
    for text in (render_text(page, 400), render_markdown(page)):
        assert study.verdict.split(":")[0].split("(")[0] in text.replace("\\", "")
        for row in study.table.rows[:1]:
            assert row.cells[1] in text.replace("\\", "")
    html = render_html(page)
    [picture] = re.findall('data:image/png;base64,([^"]+)', html)
    with Image.open(BytesIO(b64decode(picture))) as figure:
        assert figure.width > 400
    assert study.table.rows[-1].cells[1] in html
    assert "<script src" not in html


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_figure_is_written_by_its_ending(ending, start, tmp_path):
    target = tmp_path / f"heat.{ending}"
    lb.pde_stability("heat").plot(target)
    assert target.read_bytes().startswith(start)


def test_a_figure_that_cannot_be_written_is_said(tmp_path):
    study = STUDIES["heat"]()
    with pytest.raises(LastbitError, match="unknown figure format 'gif'"):
        study.plot(tmp_path / "figure.gif")
    with pytest.raises(LastbitError, match="cannot write"):
        study.plot(tmp_path / "missing" / "figure.png")


@pytest.mark.parametrize(
    ("problem", "scheme"), [("wave", "leapfrog"), ("advection-centred", "euler"), ("heat", "crank-nicolson")]
)
def test_figures_for_limits_of_every_kind(problem, scheme, tmp_path):
    lb.pde_stability(problem, scheme=scheme).plot(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("problem", "given", "kind", "said"),
    [
        ("heat", {}, "conditional", "dt ≤ 0.5; beyond it waves of ω = 3.14159 (ω·dx = π) grow first"),
        ("advection-centred", {}, "unstable", "no step is stable"),
        ("anti-diffusion", {"decay": 1.0}, "unstable", "equation itself amplifies"),
        ("wave", {"scheme": "leapfrog"}, "conditional", "dt < 1;"),
        ("heat", {"scheme": "crank-nicolson"}, "stable", "stable for every step"),
    ],
)
def test_classical_problems_say_what_matters(problem, given, kind, said):
    found = lb.pde_stability(problem, **given)
    assert found.verdict_kind == kind
    assert said in found.verdict


def test_the_cnn_says_which_weight_decays_are_stable():
    given = {"image": "noise", "image_size": 24, "kernel": 8}
    some, none = (lb.pde_stability("cnn", dt=dt, **given) for dt in (0.05, 10.0))
    assert (some.verdict_kind, none.verdict_kind) == ("stable", "unstable")
    assert some.verdict.startswith("Weight decays from ")
    assert none.verdict.startswith("No weight decay is stable")
    for decay, kind, said in (
        (20.0, "stable", "for steps up to"),
        (0.01, "unstable", "below"),
        (50.0, "unstable", "above"),
    ):
        found = lb.pde_stability("cnn", dt=0.05, weight_decay=decay, **given)
        assert found.verdict_kind == kind
        assert said in found.verdict


def test_a_deep_network_is_judged_at_a_step_and_a_weight_decay():
    edge = lb.pde_stability("deep", weight_decay=5.0, **DEEP)
    assert edge.verdict_kind == "edge"
    assert "grow at every learning rate" not in edge.verdict
    for share, kind in ((0.99, "stable"), (1.01, "unstable")):
        found = lb.pde_stability("deep", weight_decay=5.0, dt=share * edge.bounds.edge_lr, **DEEP)
        assert found.verdict_kind == kind
        assert f" is {kind} at random weights" in found.verdict
        assert found.tone == ("pass" if kind == "stable" else "attention")
    undamped = lb.pde_stability("deep", dt=1e-3, weight_decay=edge.bounds.alpha_min - 0.1, **DEEP)
    assert undamped.verdict_kind == "unstable"
    assert "differences grow at every learning rate, because weight decay is below" in undamped.verdict
    unsure = replace(edge, bounds=replace(edge.bounds, converged=False))
    assert unsure.verdict_kind == "not_converged"


C, R, D, U = FlowStatus
FEW = "there are too few steps to tell (4; write --steps 800) "


@pytest.mark.parametrize(
    ("low", "high", "statuses", "kind", "said", "cells"),
    [
        (0.4, 1.3, (C, R, D), "window", "below lr = 0.4, is restrained above, and blows up above 1.3 (", "0.4 1.3"),
        (1.0, 1.004, (C, D), "no_window", "= 1, with no restrained steps between, and blows up above 1.004", "1 1.004"),
        (1.0, 1.006, (C, R, D), "window", "is restrained above", "1 1.006"),
        (None, 1.3, (R, D), "open", "converges, if at all, below lr ≤ 0.1, and blows up above 1.3", "≤0.1 1.3"),
        (0.4, None, (C, R), "open", "converges below lr = 0.4, and blows up, if at all, above lr ≥ 2", "0.4 ≥2"),
        (None, None, (C, C), "open", "if at all, below lr ≥ 2, and blows up, if at all, above lr ≥ 2", "≥2 ≥2"),
        (None, None, (D, D), "open", "if at all, below lr ≤ 0.1, and blows up, if at all, above lr ≤ 0.1", "≤0.1 ≤0.1"),
        (None, None, (U, U), "undecided", FEW + "where it converges and where it blows up", "– –"),
        (None, 1.3, (U, D), "undecided", "the flow blows up above 1.3, but " + FEW + "where it converges", "– 1.3"),
        (0.4, 1.3, (C, U, D), "undecided", FEW + "what the flow does between", "0.4 1.3"),
    ],
)  # fmt: skip
def test_a_window_says_which_of_its_ends_were_found(low, high, statuses, kind, said, cells):
    """Ends beyond the range tried, 0.1 to 2, are given as the bounds that they are; every bracket has one middle."""
    tried = {0.1: statuses[0], 2.0: statuses[-1]}
    for end, before, after in ((low, statuses[0], statuses[1]), (high, statuses[-2], statuses[-1])):
        tried |= {} if end is None else {end - 1e-3: before, end + 1e-3: after}
    window = Window(2.0, low, high, None, 1.0, None, 2.5e-3, tuple(sorted(tried.items())))
    found = WindowStudy(settings=WindowSettings(weight_decay=2.0, steps=4, rtol=0.5), window=window)
    assert found.verdict_kind == kind
    assert said in found.verdict
    assert found.verdict.startswith("At weight decay 2 ")
    assert found.verdict.endswith("(theory: unknown and 1).")
    assert [row.cells[1].replace(" ", "") for row in found.table.rows] == cells.split()
    assert found.table.rows[0].cells[3] == "–"
    plain = found.to_json()["window"]
    for name, cell in zip(("converges_below", "blows_up_above"), cells.split(), strict=True):
        wanted = {"≤": [0.0, 0.1], "≥": [2.0, "inf"], "–": None}
        assert cell[0] not in wanted or plain[f"{name}_range"] == wanted[cell[0]]


@pytest.mark.parametrize("steps", [1, 8])
def test_too_few_steps_conclude_nothing(steps):
    settings = {"lr": 0.5, "weight_decay": 0.5, **SMALL}
    flow = lb.pde_simulate(steps=steps, **settings)
    assert flow.verdict_kind == flow.to_json()["status"] == "undecided"
    said = f"there are too few steps to tell ({steps}; write --steps 1000)"
    assert flow.verdict == f"At lr = 0.5 and weight decay 0.5 {said}."
    assert flow.tone == "attention"
    phase = lb.pde_phase(points=2, lr_range=(0.4, 0.5), weight_decay_range=(0.4, 0.5), steps=steps, **SMALL)
    assert phase.verdict_kind == "undecided"
    assert phase.verdict == (
        f"Of 4 members 0 converged, 0 restrained, 0 diverged, 4 undecided: too few steps to tell ({steps}; write "
        "--steps 400)."
    )
    assert phase.to_json()["agreement"] is None
    assert [row.cells[1:3] for row in phase.table.rows] == [["–", "–"]] * 2
    assert lb.pde_simulate(steps=400, **settings).verdict_kind == "converged"


def test_a_long_run_that_is_still_on_its_way_asks_for_more():
    """A kernel's norm that is a little above the bound grows by 0.6% per step: it takes 2,000 steps to leave."""
    settings = {"lr": 4.01, "weight_decay": 0.5, **SMALL}
    short = lb.pde_simulate(steps=100, **settings)
    assert short.verdict.endswith("there are too few steps to tell (100; write --steps 1000).")
    assert lb.pde_simulate(steps=2000, **settings).verdict_kind == "diverged"
    assert "(400; write --steps 1600)" in too_few_steps(SimulateSettings(lr=1, weight_decay=1, steps=400))


def test_a_twin_that_no_record_shows_says_how_few_there_are():
    found = lb.pde_simulate(lr=0.1, weight_decay=1.0, steps=1, twin=3, **SMALL)
    unseen = replace(found.simulation, twin_difference_TM=torch.zeros(2, 1))
    found = replace(found, simulation=unseen)
    assert found.verdict.endswith("; a twin with k = 3 differs in none of 2 records.")


def test_one_is_no_plural():
    assert lb.pde_stability("deep", train_steps=1, **DEEP).verdict.startswith("After 1 step of descent")
    gone = lb.pde_simulate(lr=9e9, weight_decay=1.5, steps=1, **SMALL)
    assert "(1 step)" in gone.verdict
    assert lb.pde_phase(points=2, steps=1, **SMALL).draw().get_suptitle().endswith(", 1 step")


def test_a_flow_says_how_it_ended_and_what_overflowed():
    rest = lb.pde_simulate(lr=0.1, weight_decay=1.0, steps=300, **SMALL)
    assert rest.verdict_kind == "converged"
    assert "the flow converges (within " in rest.verdict
    gone = lb.pde_simulate(lr=9.0, weight_decay=1.5, steps=300, twin=3, **SMALL)
    assert gone.verdict_kind == "diverged"
    assert "the flow blows up (" in gone.verdict
    assert "twin" not in gone.verdict
    assert "nan" not in json.dumps(gone.to_json()).lower()


def test_the_phase_table_says_where_rest_and_bound_are_left():
    lr, decay = torch.tensor([0.1, 0.2, 0.4, 0.8]), torch.tensor([1.0])
    diagram = PhaseDiagram(
        lr_E=lr,
        weight_decay_A=decay,
        status_AE=torch.tensor([[0, 1, 1, 2]]),
        loss_AE=torch.zeros(1, 4),
        twin_difference_AE=torch.full((1, 4), math.nan),
        theory_low_A=torch.tensor([0.15]),
        theory_high_A=torch.tensor([0.5]),
        steps=10,
    )
    found = PhaseStudy(settings=PhaseSettings(), diagram=diagram)
    assert found.verdict_kind == "mapped"
    assert list(found.table.rows[0].cells) == ["1", "0.2", "0.8", "0.15", "0.5"]
    for status, cells in (
        ([1, 1, 2, 2], ["≤ 0.1", "0.4"]),
        ([0, 0, 0, 0], ["≥ 0.8", "≥ 0.8"]),
        ([2, 2, 2, 2], ["≤ 0.1", "≤ 0.1"]),
        ([0, 3, 2, 2], ["≤ 0.4", "≤ 0.4"]),
        ([0, 1, 3, 3], ["0.2", "≥ 0.2"]),
        ([3, 3, 3, 3], ["–", "–"]),
    ):
        other = replace(found, diagram=replace(diagram, status_AE=torch.tensor([status])))
        assert list(other.table.rows[0].cells[1:3]) == cells
    assert (
        found.verdict
        == "Of 4 members 1 converged, 2 restrained, 1 diverged; the two curves of theory place 100% of them right."
    )


def test_a_bound_that_is_infinite_is_a_bound():
    always = lb.pde_stability("heat", scheme="backward-euler")
    assert always.analysis.max_stable_dt == math.inf
    assert always.to_json()["max_stable_dt"] == always.to_json()["closed_form"] == "inf"
    assert ["max stable dt", "any"] in [list(row.cells) for row in always.table.rows]

    driven = lb.pde_stability("deep", weight_decay=-50.0, activation="linear", **DEEP)
    assert driven.bounds.edge_lr == math.inf
    assert driven.to_json()["edge_lr"] == driven.to_json()["layers"][0]["edge_lr"] == "inf"
    assert driven.to_json()["max_stable_lr"] == 0.0
    assert "no learning rate is too large" in driven.verdict
    assert driven.table.rows[-1].cells[-1] == "any"

    dead = lb.pde_stability("cnn", dt=0.1, weight_decay=0.0, label=0.5, **SMALL)
    assert dead.answer.max_stable_dt == math.inf
    assert dead.verdict.endswith("for any step.")
    assert dead.to_json()["regimes"]["not_activated"]["windowed"]["max_stable_dt"] == "inf"

    undamped = lb.pde_simulate(lr=0.1, weight_decay=0.0, steps=20, **SMALL)
    assert undamped.to_json()["theory_high"] == "inf"
    assert lb.pde_simulate(lr=0.1, weight_decay=-0.1, steps=20, **SMALL).theory_high is None


def test_a_trend_that_cannot_be_fitted_is_said():
    given = {"depths": (1, 2), "widths": (), "kernels": (), "seeds": 2, "image_size": 6, "images": 2}
    found = lb.pde_complexity(weight_decay=-50.0, **given)
    (trend,) = found.to_json()["trends"]
    assert trend["exponent"] is None
    assert trend["edge_lr"] == [["inf", "inf"], ["inf", "inf"]]
    assert trend["verdict"] == "with depth no trend can be fitted, because at some sizes no learning rate is too large"
    assert found.verdict_kind == trend["verdict_kind"] == "unbounded"
    assert [row.cells[2:5] for row in found.table.rows] == [["any"] * 3] * 2


@pytest.mark.parametrize(
    ("seeds", "sizes", "slope", "kind", "said"),
    [
        (1, (1, 2, 3), -1.0, "too_few_seeds", "with depth there are too few seeds to tell (1; write --seeds 8)"),
        (2, (1, 2, 3), 0.0, "too_few_seeds", "with depth there are too few seeds to tell (2; write --seeds 8)"),
        (4, (1, 2), 0.0, "too_few_sizes", "with depth there are too few points to tell (2; write --depths 1 2 3 4 6)"),
        (4, (1, 2), -5.0, "falls", "falls (∝ depth^-5,"),
        (4, (1, 2, 3), 0.0, "no_trend", "shows no trend (∝ depth^0,"),
        (4, (1, 2, 3), 5.0, "rises", "rises (∝ depth^5,"),
    ],
)
def test_a_trend_needs_seeds_and_points(seeds, sizes, slope, kind, said):
    exponents = [slope + (-1) ** seed for seed in range(seeds)] if seeds > 1 else [slope]
    half = 2.0 if seeds > 1 else None
    trend = ComplexityTrend(
        axis="depth",
        sizes=sizes,
        edge_lr=tuple(tuple(float(size) ** power for size in sizes) for power in exponents),
        lowest=((0.0,) * len(sizes),) * seeds,
        sharpest_layer=((1,) * len(sizes),) * seeds,
        exponent=slope,
        interval=None if half is None else (slope - half, slope + half),
        converged=True,
    )
    base = {"depth": 3, "width": 4, "kernel": 3}
    sweep = ComplexitySweep(base=base, settings={}, seeds=tuple(range(seeds)), trends=(trend,))
    found = ComplexityStudy(settings=ComplexitySettings(), sweep=sweep)
    assert found.verdict_kind == kind
    assert said in found.verdict
    assert ("no trend" in found.verdict) is (kind == "no_trend")
    title = found.draw().axes[0].get_title()
    assert title == (said.split("are ")[1].split(" (")[0] if kind.startswith("too_few") else title)


@pytest.mark.parametrize("name", [name for name in lb.__all__ if name.startswith("pde_")])
def test_help_shows_every_setting(name):
    function = getattr(lb, name)
    parameters = inspect.signature(function).parameters
    assert all(one.kind is not one.VAR_KEYWORD for one in parameters.values())
    for one in parameters:
        assert f"    {one}: " in function.__doc__
    assert "**settings" not in function.__doc__


def test_choices_of_the_settings_are_those_of_the_theory():
    """They stand in the settings too, because asking the theory for them imports PyTorch, and help should be quick."""
    assert set(settings.PROBLEMS) == {"cnn", "deep", *PROBLEMS}
    schemes = [
        config.model_fields["scheme"].annotation.__args__ for config in (CnnStabilitySettings, DeepStabilitySettings)
    ]
    assert schemes == [DESCENTS, DESCENTS]
    assert set(LinearStabilitySettings.model_fields["scheme"].annotation.__args__) == set(SCHEMES)


@pytest.mark.parametrize("config", [getattr(settings, name) for name in settings.__all__ if name.endswith("Settings")])
def test_every_setting_says_what_it_means(config):
    assert all(field.description for field in config.model_fields.values())


def test_every_curve_of_a_figure_is_in_its_legend(study):
    figure = study.draw()
    named = {text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()}
    assert named
    for axes in figure.axes:
        # Thin grey lines and the zero of an axis are no data.
        curves = [line for line in axes.lines if line.get_linewidth() > 0.6 or line.get_marker() != "None"]
        curves = [line for line in curves if [*line.get_xdata()] != [0, 0] and len(line.get_xdata())]
        unnamed = [line for line in curves if line.get_label() not in named]
        if study.kind == "pde complexity":  # a line for each seed, of which the legend shows one
            unnamed = [
                line for line in unnamed if line.get_label() not in ("seeds", "median") and line.get_marker() != "."
            ]
        assert [(axes.get_title(), line.get_label()) for line in unnamed] == []
        drawn = [one.get_label() for one in (*axes.collections, *axes.containers)]
        assert {label for label in drawn if not label.startswith("_")} <= named
