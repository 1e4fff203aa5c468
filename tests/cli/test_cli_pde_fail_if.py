"""`lastbit pde ... --fail-if`: an answer of theory that makes a CI job fail."""

import pytest

from lastbit.cli.app import main


@pytest.mark.parametrize(
    ("condition", "code", "said"),
    [
        ("max_stable_dt > 0.4", 7, "holds, the value is 0.5"),
        ("max_stable_dt > 0.6", 0, ""),
        ("closed_form_formula > 0", 4, "cannot be judged, it is not measured"),
        ("nonsense > 1", 2, "nonsense is no field of this answer; it has schema, kind, problem"),
        ("max_stable_dt", 2, "is no condition"),
    ],
)
def test_a_condition_decides_the_exit_code(condition, code, said, capsys):
    assert main(["pde", "stability", "heat", "--fail-if", condition, "--quiet"]) == code
    out = capsys.readouterr()
    assert said in out.err
    assert ("stable for dt" in out.out) is (condition != "max_stable_dt")  # a malformed one before any work


@pytest.mark.parametrize("words", [["simulate", "heat", "--dt", "0.55"], ["stability", "cnn", "--dt", "0.1"]])
def test_every_answer_can_be_judged(words, capsys):
    assert main(["pde", *words, "--fail-if", "nonsense > 1", "--quiet"]) == 2
    assert "nonsense is no field of this answer" in capsys.readouterr().err
