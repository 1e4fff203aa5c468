"""`--fail-if`: what cannot be meant is refused before the runs, what holds ends with 7, what nobody knows with 4."""

import shutil
from pathlib import Path

import pytest

import lastbit as lb
from lastbit.cli import main
from lastbit.cli.fail_if import judged
from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.studies.frame.condition import Condition, numbers_of
from lastbit.studies.kinds import KINDS

STORED = Path(__file__).parents[1] / "data" / "studies-format-1"
CONTENT = {
    "share": {"estimate": 0.7, "low": 0.4, "high": 0.9, "n": 36, "note": "", "df": None},
    "missing": {"estimate": None, "low": None, "high": None, "n": 1, "note": "why", "df": None},
    "limit": "inf",
    "bottom": "-inf",
    "rows": [{"lr": 0.1}, {"lr": 0.2}],
    "nothing": None,
    "text": "0.7",
    "yes": True,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("share > 0.5", True),
        ("share.value>0.5", True),
        ("share.estimate <= 0.7", True),
        ("share.low >= 4e-1", True),
        ("share < 0.7", False),
        ("share != 0.7", False),
        ("share.n == 36", True),
        ("limit > 1e300", True),
        ("limit == inf", True),
        ("limit < inf", False),
        ("bottom == -inf", True),
        ("rows.1.lr == 0.2", True),
        ("rows.2.lr == 0.2", None),
        ("missing > 0", None),
        ("missing != 0", None),
        ("nothing < 1", None),
        ("text > 0", None),
        ("yes == 1", None),
        ("rows > 0", None),
    ],
)
def test_a_condition_is_judged(text, holds):
    assert Condition.parse(text).holds(CONTENT) is holds


@pytest.mark.parametrize(
    "text",
    [
        *("", "share", "share >", "> 1", "share > x", "share > nan", "share = 1", "share => 1", "1 < share < 2"),
        *("__import__('os').system('x') > 0", "share > 1 and share > 2", "share > 1; x", "share > (1)", "share[0] > 1"),
        "a.b. > 1",
    ],
)
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(LastbitError, match="write a field of the result, a comparison and a number"):
        Condition.parse(text)


@pytest.mark.parametrize(
    ("conditions", "code", "ends"),
    [
        (["share > 0.5", "nothing > 0"], ExitCode.ANSWERED, ExitCode.FAIL_IF),
        (["share > 0.8", "nothing > 0"], ExitCode.ANSWERED, ExitCode.UNDECIDED),
        (["share > 0.8"], ExitCode.ANSWERED, ExitCode.ANSWERED),
        (["share > 0.5"], ExitCode.UNDECIDED, ExitCode.FAIL_IF),
        (["nothing > 0"], ExitCode.NO, ExitCode.NO),
        (["share > 0.5"], ExitCode.NOT_REPRODUCIBLE, ExitCode.NOT_REPRODUCIBLE),
        (["share > 0.5"], ExitCode.ALL_DIVERGED, ExitCode.ALL_DIVERGED),
    ],
)
def test_which_code_counts(conditions, code, ends, capsys):
    assert judged([Condition.parse(text) for text in conditions], CONTENT, code) is ends
    assert capsys.readouterr().out == ""


@pytest.fixture
def stored(request, tmp_path):
    if request.param == "compare":
        out, arms = tmp_path / "compare", ([97.1, 97.4, 96.9], [98.0, 98.4, 98.3])
        return lb.compare(*arms, better="higher", out=out, quiet=True).path
    shutil.copytree(STORED / request.param, tmp_path / request.param)
    return tmp_path / request.param


@pytest.mark.parametrize(
    ("stored", "condition", "code", "said"),
    [
        ("audit", "runs_finished > 1", 7, "--fail-if runs_finished > 1: holds, the value is "),
        ("audit", "runs_finished < 1", 0, ""),
        ("eos", "limit > 0", 7, "holds"),
        ("eos", "cells.0.ratio_tail > 1e9", 0, ""),
        ("trace", "task.settings.nothing > 1", 4, "cannot be judged, it is not measured"),
        ("sharpness", "whole.max_lr >= 0", 7, "holds"),
    ],
    indirect=["stored"],
)
def test_a_stored_study_is_judged(stored, condition, code, said, capsys):
    words = ["report", str(stored), "--quiet", "--out", str(stored / "report.html"), "--fail-if", condition]
    assert main(words) == code
    told = capsys.readouterr()
    assert said in told.err
    assert len(told.err.splitlines()) == (1 if said else 0)
    assert len(told.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("last_bit_varianc_share > 0.5", "did you mean last_bit_variance_share,"),
        ("sigma_last_bit.valu > 1", "did you mean sigma_last_bit"),
        ("control > 0", "control is no number in the result of an audit; did you mean control.pairs"),
        ("verdict == 3", "verdict is no number"),
        ("control.bitwise_identical == 0", "is no number"),
        ("share", "'share' is no condition"),
    ],
)
def test_what_no_audit_has_is_refused_before_the_runs(refused, condition, said):
    words = ["audit", "toy.py:make", "--fail-if", "sigma_last_bit > 1", "--fail-if", condition]
    assert said in refused(words)


def test_an_audit_fails_on_a_condition(here, capsys):
    words = [
        "audit",
        "toy.py:make",
        "--epochs",
        "1",
        "--seeds",
        "2",
        "--perturbations",
        "2",
        "--workers",
        "1",
        "--quiet",
    ]
    assert main([*words, "--fail-if", "runs_finished >= 6", "--fail-if", "runs_finished > 99"]) == 7
    told = capsys.readouterr()
    assert told.err == "--fail-if runs_finished >= 6: holds, the value is 6.0\n"
    assert len(told.out.splitlines()) == 1


@pytest.mark.parametrize("stored", sorted({*KINDS} - {"doctor", "same", "remedy"}), indirect=True)
def test_every_number_of_a_result_may_be_asked_for(stored):
    study = lb.open_study(stored)
    known = set(numbers_of(study.result.json_schema()))
    numbers = {n for n, v in study.to_json().items() if isinstance(v, int | float) and not isinstance(v, bool)}
    assert numbers <= known
    assert len(numbers) > 2


@pytest.mark.parametrize("stored", ["audit"], indirect=True)
def test_a_study_in_python_tells_whether_a_condition_holds(stored):
    study = lb.open_study(stored)
    assert study.holds("runs_finished > 1") is True
    assert study.holds("runs_finished > 1e6") is False
    with pytest.raises(LastbitError, match="did you mean runs_finished"):
        study.holds("runs_finishd > 1")
    with pytest.raises(LastbitError, match="cannot be judged"):
        study.holds("metric.mean.df > 1")
