"""The classical problems: is my dt stable, and what does the scheme do?"""

import json
import math

import pytest

import lastbit as lb
from lastbit.report.html import render_html
from lastbit.report.text import render_text
from lastbit.studies.pde.settings import LinearSettings

HEAT = " for heat in 1-D by euler on dx = 1: the step lies "
EACH = " the largest stable dt, 0.5, and each step multiplies waves of ω·dx = π by "


@pytest.mark.parametrize(
    ("problem", "given", "kind", "said"),
    [
        ("heat", {"dt": 0.3}, "stable", "Yes: dt = 0.3 is stable" + HEAT + "40% below" + EACH + "0.2."),
        ("heat", {"dt": 0.55}, "unstable", "No: dt = 0.55 is not stable" + HEAT + "10% above" + EACH + "1.2."),
        ("heat", {"dt": 0.5}, "stable", "the step lies at the largest stable dt, 0.5"),
        ("heat", {"dt": 0.5 * (1 + 1e-8)}, "unstable", "lies 1e-06% above" + EACH + "1 + 2e-08"),
        ("heat", {"dt": 9.0, "scheme": "backward-euler"}, "stable", "stable for every step"),
        ("advection-centred", {"dt": 0.1}, "unstable", "no step is stable: every step, however small"),
        ("wave", {"dt": 1.0, "scheme": "leapfrog"}, "unstable", "at the limit itself two roots meet on"),
        ("heat", {"dt": 0.3, "dim": 2}, "unstable", "waves of ω·dx = (π, π) by 1.4"),
    ],
)  # fmt: skip
def test_is_my_dt_stable(problem, given, kind, said):
    found = lb.pde_stability(problem, **given)
    assert said in found.verdict
    assert found.verdict.startswith("Yes: " if kind == "stable" else "No: ")
    assert found.verdict_kind == kind
    assert found.tone == ("pass" if kind == "stable" else "attention")
    plain = found.to_json()
    assert plain["stable"] is (kind == "stable")
    assert plain["dt"] == given["dt"]


def test_without_a_step_nothing_is_said_of_one():
    plain = lb.pde_stability("heat").to_json()
    assert plain["dt"] is plain["stable"] is plain["amplification_per_step"] is plain["amplified_frequency"] is None


@pytest.mark.parametrize("start", ["spike", "noise"])
def test_heat_blows_up_beyond_its_limit_and_not_below(start):
    """Oracle: Euler is stable for D dt/dx² ≤ 1/2, and multiplies the shortest wave by |1 − 4 D dt/dx²|."""
    gone, calm = (lb.pde_simulate("heat", dt=dt, start=start) for dt in (0.55, 0.45))
    assert (gone.verdict_kind, calm.verdict_kind) == ("diverged", "stable")
    assert gone.verdict.startswith("Heat in 1-D by euler on dx = 1 at dt = 0.55 blows up (max |u| goes from ")
    assert gone.verdict.endswith(
        "in 100 steps): the step lies 10% above the largest stable dt, 0.5, and each step multiplies waves of "
        "ω·dx = π by 1.2."
    )
    assert "at dt = 0.45 stays bounded (max |u| goes from " in calm.verdict
    assert calm.verdict.endswith("waves of ω·dx = π by 0.8.")
    found = gone.to_json()
    assert found["max_stable_dt"] == 0.5
    assert found["max_stable_dt_of_grid"] == pytest.approx(0.5, rel=1e-12)
    assert found["amplification_per_step"] == pytest.approx(1.2)
    assert found["simulated_amplification_per_step"] == pytest.approx(1.2, rel=0.01)
    assert found["amplitudes"][-1] > 1e5 > 1 > calm.to_json()["amplitudes"][-1]
    assert calm.to_json()["simulated_amplification_per_step"] is None
    assert calm.tone == "pass"
    assert "diverged" in gone.draw().get_suptitle()
    text = render_text(gone.page)
    for shown in ("max stable dt", "diffusivity", "amplification per step, ω·dx = π", "max |u|"):
        assert shown in text
    assert "data:image/png;base64," in render_html(gone.page)


def test_a_slow_growth_asks_for_the_steps_that_show_it():
    few = lb.pde_simulate("heat", dt=0.51)
    assert few.verdict_kind == "undecided"
    wanted = int(few.verdict.split("(100; write --steps ")[1].split(")")[0])
    assert "is not stable, but there are too few steps to see it grow" in few.verdict
    assert lb.pde_simulate("heat", dt=0.51, steps=wanted).verdict_kind == "diverged"
    assert "1,000,000 would show nothing" in lb.pde_simulate("heat", dt=0.5 * (1 + 1e-8)).verdict


def test_a_field_that_overflows_says_when():
    found = lb.pde_simulate("heat", dt=5e3, steps=1000)
    assert f"blows up (not finite after {found.simulation.ended_at} steps)" in found.verdict
    json.dumps(found.to_json(), allow_nan=False)
    assert found.draw().axes


@pytest.mark.parametrize(
    ("problem", "given", "kind"),
    [
        ("wave", {"dt": 0.9, "scheme": "leapfrog"}, "stable"),
        ("wave", {"dt": 1.1, "scheme": "leapfrog"}, "diverged"),
        ("advection-lax-wendroff", {"dt": 1.1}, "diverged"),
        ("advection-upwind", {"dt": 0.9}, "stable"),
        ("heat", {"dt": 9.0, "scheme": "crank-nicolson"}, "stable"),
        ("biharmonic", {"dt": 0.2, "dim": 2, "points": 8}, "diverged"),
        ("anti-diffusion", {"dt": 0.1, "decay": 1.0}, "diverged"),
        ("heat", {"dt": 0.2, "dim": 3, "points": 6}, "diverged"),
    ],
)
def test_every_kind_of_problem_is_stepped(problem, given, kind):
    found = lb.pde_simulate(problem, **given)
    assert found.verdict_kind == kind
    assert found.draw().axes


def test_an_infinite_limit_is_shown_as_one():
    """Never as nothing, zero or unknown: in the sentence, on the page, in JSON."""
    judged = lb.pde_stability("heat", dt=3.0, scheme="crank-nicolson")
    stepped = lb.pde_simulate("heat", dt=3.0, scheme="crank-nicolson", steps=4)
    for found in (judged, stepped):
        assert "stable for every step" in found.verdict
        assert found.to_json()["max_stable_dt"] == "inf"
        text = render_text(found.page)
        row = next(line for line in text.splitlines() if line.startswith("max stable dt"))
        assert row.split()[-1] == "any"
        assert not {"none", "unknown", "nan", "0"} & set(row.split())
    assert stepped.to_json()["max_stable_dt_of_grid"] == "inf"
    assert math.isinf(stepped.judgement.max_stable_dt)


@pytest.mark.parametrize("problem", ["heat", "advection-diffusion", "wave", "biharmonic", "anti-diffusion"])
def test_every_parameter_of_the_equation_is_printed(problem):
    found = lb.pde_stability(problem, scheme="heavy-ball", momentum=0.25)
    text, page = render_text(found.page), render_html(found.page)
    parameters = {*found.analysis.parameters}
    assert "momentum" in parameters
    for name in parameters:
        assert any(line.split()[:1] == [name] for line in text.splitlines())
        assert name in page
    absent = set(LinearSettings.model_fields) - {"dx", "dim", "scheme"} - parameters
    assert not absent & {name for name, _ in found.facts}


def test_help_says_which_problems_have_a_parameter():
    for name in ("diffusivity", "speed", "stiffness", "decay", "accuracy"):
        said = LinearSettings.model_fields[name].description
        for problem in ("heat", "biharmonic", "wave", "anti-diffusion"):
            has = name in lb.pde_stability(problem).analysis.parameters
            assert (problem in said) is has, (name, problem)
