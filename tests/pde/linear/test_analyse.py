"""The one call the command line makes: its answer, its JSON, its figure, its refusals."""

import json
import math

import pytest

from lastbit.core.errors import LastbitError
from lastbit.pde.linear import PROBLEMS, analyse


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_problem_answers_in_json_and_one_sentence(problem):
    answer = json.loads(json.dumps(analyse(problem).to_json(), allow_nan=False))
    assert answer["problem"] == problem
    assert answer["max_stable_dt"] >= 0
    assert "\n" not in answer["sentence"]


def test_unbounded_limits_are_said_without_infinity():
    answer = analyse("heat", scheme="backward-euler").to_json()
    assert answer["max_stable_dt"] is None
    assert answer["stable_for_every_step"] is True
    assert analyse("heat", scheme="backward-euler").max_stable_dt == math.inf


def test_underscores_stand_for_hyphens():
    assert analyse("heat", scheme="heavy_ball").max_stable_dt == analyse("heat", scheme="heavy-ball").max_stable_dt


def test_sentences_say_what_matters():
    assert "dt ≤ 0.5; beyond it waves of ω = 3.14159 (ω·dx = π) grow first" in analyse("heat").sentence
    assert "no step is stable" in analyse("advection-centred").sentence
    assert "equation itself amplifies" in analyse("anti-diffusion", decay=1.0).sentence
    assert "dt < 1;" in analyse("wave", scheme="leapfrog").sentence
    assert "stable for every step" in analyse("heat", scheme="crank-nicolson").sentence


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_figure_is_written(tmp_path, ending):
    target = tmp_path / f"heat.{ending}"
    analyse("heat").plot(target)
    start = target.read_bytes()[:200]
    assert {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending] in start


@pytest.mark.parametrize(
    ("problem", "scheme", "dim"),
    [("wave", "leapfrog", 2), ("advection-centred", "euler", 1), ("heat", "crank-nicolson", 1)],
)
def test_figure_for_limits_of_every_kind(tmp_path, problem, scheme, dim):
    analyse(problem, scheme=scheme, dim=dim).plot(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problem": "haet"}, "did you mean 'heat'"),
        ({"problem": "heat", "scheme": "eular"}, "did you mean 'euler'"),
        ({"problem": "heat", "dx": 0.0}, "dx = 0.0"),
        ({"problem": "heat", "dx": math.nan}, "dx = nan"),
        ({"problem": "heat", "dim": 4}, "write 1 to 3"),
        ({"problem": "advection-lax-wendroff", "dim": 2}, "write 1$"),
        ({"problem": "heat", "speed": 1.0}, "choose one of diffusivity, accuracy"),
        ({"problem": "heat", "scheme": "heavy-ball", "momentun": 0.5}, "did you mean 'momentum'"),
        ({"problem": "heat", "diffusivity": -1.0}, "positive"),
        ({"problem": "heat", "diffusivity": math.inf}, "finite"),
        ({"problem": "heat", "diffusivity": "one"}, "diffusivity = 'one'"),
        ({"problem": "heat", "accuracy": 3}, "choose one of 2, 4"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(LastbitError, match=message) as caught:
        analyse(**arguments)
    assert "\n" not in str(caught.value)


def test_a_figure_needs_an_ending_it_knows(tmp_path):
    with pytest.raises(LastbitError, match="figure format"):
        analyse("heat").plot(tmp_path / "heat.jpeg")
