import json
import subprocess
import sys

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from lastbit import pde_simulate
from lastbit.cli.pde import app as pde_app
from lastbit.core.errors import LastbitError
from lastbit.pde.linear.problems import PROBLEMS

SMALL = ["--image-size", "24", "--kernel", "8"]


@pytest.fixture(scope="module")
def app():
    root = typer.Typer()
    root.add_typer(pde_app, name="pde")

    @root.callback()
    def options():
        """Stand where the other commands stand."""

    return root


def run(app, *words):
    result = CliRunner().invoke(app, ["pde", *map(str, words)])
    if isinstance(result.exception, LastbitError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def read(path):
    return json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


def test_stability_of_the_reference_network(app, tmp_path):
    target = tmp_path / "out.json"
    said = run(
        app,
        "stability",
        "cnn",
        "--image",
        "checkerboard",
        "--image-size",
        256,
        "--kernel",
        32,
        "--beta",
        1,
        "--label",
        1,
        "--dt",
        1e-8,
        "--pooling",
        "sum",
        "--json",
        target,
        "--plot",
        tmp_path / "out.svg",
    )
    first = said.splitlines()[0]
    assert first.startswith("Weight decays from 1.296e+07 to 2e+08 are stable at dt = 1e-08")
    found = read(target)
    assert found["alpha_min"] == pytest.approx(1.296e7, rel=1e-3)
    assert found["alpha_max"] == pytest.approx(2.0e8, rel=1e-3)
    assert found["max_stable_dt"] == pytest.approx(2 / 1.296e7, rel=1e-3)
    assert found["full_support"]["alpha_min"] == pytest.approx(1.0737e9, rel=1e-3)
    assert found["windowed"]["alpha_min"] == found["alpha_min"]
    assert set(found["regimes"]) == {"activated", "transitioning", "not_activated"}
    assert (tmp_path / "out.svg").read_text().startswith("<?xml")


def test_stability_says_which_side_a_weight_decay_falls_off(app, tmp_path):
    words = ["stability", "cnn", "--dt", 0.05, "--image", "noise", *SMALL]
    inside = run(app, *words, "--weight-decay", 20, "--check", "--json", tmp_path / "in.json", "--quiet")
    assert "is stable" in inside
    assert inside.count("\n") == 1
    found = read(tmp_path / "in.json")
    assert found["simulated"]["alpha_min"] == pytest.approx(found["alpha_min"], rel=5e-3)
    assert found["simulated"]["alpha_max"] == pytest.approx(found["alpha_max"], rel=5e-3)
    assert "a mode grows at any step" in run(app, *words, "--weight-decay", 0.01)
    assert "the step is too long" in run(app, *words, "--weight-decay", 50).replace("\n", " ")
    assert "a mode grows at any step" in run(app, *words, "--weight-decay", -1)
    assert run(app, *words[:2], "--dt", 10, *words[4:]).startswith("No weight decay is stable")


@pytest.mark.parametrize("problem", sorted(PROBLEMS))
def test_stability_of_every_classical_problem(app, problem, tmp_path):
    scheme = PROBLEMS[problem].scheme or "euler"
    if problem == "wave":
        scheme = "leapfrog"
    said = run(app, "stability", problem, "--scheme", scheme, "--dx", 0.5, "--json", tmp_path / "out.json")
    assert said.startswith(problem.capitalize())
    assert read(tmp_path / "out.json")["problem"] == problem


def test_stability_of_heat_is_the_textbook_limit(app, tmp_path):
    run(
        app,
        "stability",
        "heat",
        "--dx",
        0.5,
        "--dim",
        2,
        "--diffusivity",
        2,
        "--json",
        tmp_path / "a.json",
        "--plot",
        tmp_path / "a.png",
    )
    assert read(tmp_path / "a.json")["max_stable_dt"] == pytest.approx(0.25 / (2 * 2 * 2))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 400


def test_simulate_writes_its_histories(app, tmp_path):
    said = run(
        app,
        "simulate",
        "cnn",
        "--lr",
        0.9,
        "--weight-decay",
        1.5,
        "--steps",
        200,
        "--twin",
        3,
        *SMALL,
        "--json",
        tmp_path / "out.json",
        "--plot",
        tmp_path / "out.png",
    )
    assert said.startswith("At lr = 0.9 and weight decay 1.5 the flow is restrained")
    found = read(tmp_path / "out.json")
    assert found["status"] == "restrained"
    assert len(found["loss"]) == len(found["twin_difference"]) == len(found["step"]) == len(found["sharpness"]) == 101
    assert found["twin_difference"][0] == 0
    assert max(found["twin_difference"]) > 0.1
    assert (tmp_path / "out.png").stat().st_size > 5000


def test_simulate_reports_a_blow_up_as_a_status(app, tmp_path):
    words = ["simulate", "--lr", 9, "--weight-decay", 1.5, "--twin", 3, *SMALL, "--dtype", "float32"]
    said = run(app, *words, "--json", tmp_path / "out.json", "--plot", tmp_path / "out.pdf")
    assert said.startswith("At lr = 9 and weight decay 1.5 the flow blows up")
    found = read(tmp_path / "out.json")
    assert found["status"] == "diverged"
    assert found["loss"][-1] is None
    assert "nan" not in said
    assert run(app, "simulate", "--lr", 0.1, "--weight-decay", 1.5, *SMALL, "--quiet").count("\n") == 1


@pytest.mark.parametrize(("dt", "kind"), [(0.55, "diverged"), (0.45, "stable")])
def test_simulate_shows_a_scheme_blow_up(app, tmp_path, dt, kind):
    files = ["--json", tmp_path / "out.json", "--plot", tmp_path / "out.png"]
    said = run(app, "simulate", "heat", "--dt", dt, *files)
    found = read(tmp_path / "out.json")
    assert said.splitlines()[0] == found["verdict"]
    assert found["verdict_kind"] == kind
    assert ("blows up" in said) is (kind == "diverged")
    for shown in ("largest stable dt, 0.5", "ω·dx = π", "diffusivity", "max |u|"):
        assert shown in said
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.width > 400


def test_the_first_line_says_whether_a_step_is_stable(app):
    for dt, answer in ((0.3, "Yes: dt = 0.3 is stable for heat"), (0.7, "No: dt = 0.7 is not stable for heat")):
        assert run(app, "stability", "heat", "--dt", dt).splitlines()[0].startswith(answer)


def test_window_puts_theory_beside_simulation(app, tmp_path):
    said = run(
        app,
        "window",
        "cnn",
        "--weight-decay",
        1.5,
        "--steps",
        500,
        *SMALL,
        "--json",
        tmp_path / "out.json",
        "--plot",
        tmp_path / "out.png",
    )
    assert said.startswith("At weight decay 1.5 the flow converges below lr = ")
    found = read(tmp_path / "out.json")["window"]
    assert found["converges_below"] == pytest.approx(found["theory_low"], rel=5e-3)
    assert found["blows_up_above"] == pytest.approx(found["theory_high"], rel=5e-3)


def test_phase_maps_a_grid(app, tmp_path):
    words = ["--lr-range", 0.05, 10, "--weight-decay-range", 0.2, 5, "--points", 7, *SMALL, "--twin", 3]
    said = run(app, "phase", "cnn", *words, "--json", tmp_path / "out.json", "--plot", tmp_path / "out.png")
    assert said.startswith("Of 49 members ")
    found = read(tmp_path / "out.json")
    assert [len(row) for row in found["status"]] == [7] * 7
    assert sum(found["counts"].values()) == 49
    assert found["agreement"] > 0.9
    assert (tmp_path / "out.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stability", "cnn"], "--dt is missing: give the step"),
        (["stability", "cnn", "--dt", "nan"], "--dt must be a finite number, got nan"),
        (["stability", "cnn", "--dt", "1", "--dx", "1"], "--dx says nothing about cnn"),
        (["stability", "heat", "--kernel", "3"], "--kernel says nothing about heat"),
        (["stability", "heat", "--dx", "0"], "--dx must be above 0, got 0"),
        (["stability", "heat", "--dim", "0"], "--dim must be at least 1, got 0"),
        (["stability", "haet"], r"unknown problem 'haet' \(did you mean 'heat'\?\)"),
        (["stability", "heat", "--speed", "2"], "unknown parameter of 'heat' by 'euler' 'speed'"),
        (["stability", "cnn", "--dt", "1", "--speed", "2"], "--speed says nothing about cnn"),
        (["stability", "cnn", "--dt", "1", "--kernel", "40", "--image-size", "32"], "does not fit an image of 32 x 32"),
        (["stability", "cnn", "--dt", "1", "--image-size", "0"], "--image-size must be at least"),
        (["stability", "cnn", "--dt", "1", "--image", "no.png"], "neither a file nor built in"),
        (["stability", "cnn", "--dt", "1", "--plot", "a.gif"], "unknown figure format 'gif'"),
        (["stability", "cnn", "--dt", "1", "--json", "missing/a.json"], "does not exist"),
        (["simulate", "heat", "--lr", "1"], "--lr says nothing about heat: write --dt"),
        (["simulate", "--dt", "1", "--weight-decay", "1"], "--dt says nothing about cnn: write --lr"),
        (["simulate", "heat"], "--dt is missing: give the time step"),
        (["simulate", "heat", "--dt", "0"], "--dt must be above 0, got 0"),
        (["simulate", "heat", "--dt", "1", "--twin", "3"], "--twin says nothing about heat: leave it out"),
        (["simulate", "heat", "--dt", "1", "--dim", "2", "--points", "200"], "--points 200: use at most 128 in 2-D"),
        (["simulate", "deep", "--dt", "1"], "unknown problem to simulate 'deep': choose one of cnn, heat"),
        (
            ["simulate", "wave", "--dt", "1", "--diffusivity", "1"],
            "unknown parameter of 'wave' by 'euler'",
        ),
        (["window", "heat", "--weight-decay", "1"], "this command knows cnn"),
        (["stability", "heat", "--dt", "0"], "--dt must be above 0, got 0"),
        (["simulate", "--lr", "-1", "--weight-decay", "1"], "--lr must be above 0, got -1"),
        (
            ["simulate", "--lr", "1", "--weight-decay", "1", "--pooling", "max"],
            "--pooling must be 'mean' or 'sum', got 'max'",
        ),
        (["simulate", "--lr", "1", "--weight-decay", "1", "--momentum", "0.9"], "Euler has no momentum"),
        (
            ["simulate", "--lr", "1", "--weight-decay", "1", "--device", "tpu9"],
            "unknown --device 'tpu9': choose one of auto",
        ),
        (["window", "--weight-decay", "0"], "--weight-decay must be above 0, got 0"),
        (["window", "--weight-decay", "1", "--rtol", "1e-9"], "rtol = 1e-09"),
        (["phase", "--lr-range", "2", "1"], "--lr-range 2 1: use two positive numbers, the smaller first"),
        (
            ["phase", "--lr-range", "1"],
            "--lr-range 1: give 2 values, the first and last learning rate, for example 0.02 20$",
        ),
        (["phase", "--lr-range", "1", "2", "3"], "--lr-range 1 2 3: give 2 values, the first and last learning rate"),
        (["phase", "--weight-decay-range", "none"], "--weight-decay-range none: give 2 values"),
        (["phase", "--weight-decay-range", "0,1"], "use two positive numbers, the smaller first"),
        (["phase", "--points", "1"], "--points must be at least 2, got 1"),
    ],
)
def test_bad_words_are_refused_in_one_line(app, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LastbitError, match=message) as caught:
        run(app, *words)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_nothing_heavy_is_imported_before_a_command_runs():
    code = "import sys, lastbit.cli.pde; sys.exit(any(m in sys.modules for m in ('torch', 'scipy', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_setting_that_no_function_has_is_refused():
    with pytest.raises(LastbitError, match=r"unknown setting 'kernal' \(did you mean 'kernel'\?\)"):
        pde_simulate(lr=0.1, weight_decay=1.0, kernal=3)
