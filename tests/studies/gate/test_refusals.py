"""What a session refuses, in one line that says what to write instead."""

from pathlib import Path

import pytest

import lastbit as lb
from lastbit.core.errors import LastbitError


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"baseline": "same"}, "began with another baseline"),
        ({"better": "lower"}, "began with --better higher, not --better lower: begin a new one with --ledger"),
        ({"error_rate": 0.1}, "promises an error rate of 0.05, not 0.1"),
        ({"metric": "score"}, "began with no --metric, not --metric score"),
        ({"budget": 5}, "--budget 5: the first look at a candidate takes 6 runs, 5 of them the baseline's: give more"),
        ({"budget": 6}, "began with no --budget, not --budget 6"),
        ({"declare": 3}, "--declare 3: 20 are declared already: give more, or leave it out"),
    ],
)
def test_a_session_is_joined_on_its_own_terms(night, changed, said):
    folder = Path(night["worse"].session.folder)
    programs = folder.parent / "programs.py"
    told = {"baseline": "base", "better": "higher", "ledger": folder, "threads": 1, "quiet": True, **changed}
    with pytest.raises(LastbitError, match=said):
        lb.gate(f"{programs}:{told.pop('baseline')}", f"{programs}:worse", **told)


def test_a_baseline_whose_file_was_edited_is_another(desk):
    desk("worse")
    with (desk.folder / "programs.py").open("a") as file:
        file.write("\nMORE = 1\n")
    with pytest.raises(LastbitError, match=r"is not what it was when the session .* its files differ: put them back"):
        desk("worse")


@pytest.mark.parametrize(
    ("baseline", "candidate", "more", "said"),
    [
        ("python x.py", "python y.py", {}, "which number of x is compared"),
        ("python x.py", "python y.py", {"metric": "loss"}, "which is better of loss .* is not known: give --better"),
        (
            "python x.py",
            "python y.py",
            {"metric": "loss", "better": "lower"},
            r"no seed reaches python x.py, .*\{seed\}",
        ),
        ("nowhere", "digits", {}, "'nowhere' is neither a folder nor a command: name an audit's folder, a task"),
        (f"python x.py --name {'x' * 300}", "digits", {}, "which number of x is compared"),
        ("digits", "", {}, "a program is a task with its options, or a command"),
        ("digits", (), {}, "there is no program: write it behind --"),
        ("digits", "digits", {"candidates": 0}, "--candidates"),
        ("digits", "digits", {"error_rate": 1.5}, "--error-rate"),
        ("digits", "digits", {"sigma": 1}, "unknown setting 'sigma'"),
        (
            "digits",
            "digits",
            {"executor": "replicas"},
            "--executor must be 'serial', 'processes' or 'ray', got",
        ),
        ("digits", "digits", {"per_run_cpus": 2}, "--per-run-cpus 2.0 belongs to --executor ray: add that"),
        ("digits", "digits", {"executor": "serial", "workers": 2}, "--workers 2: --executor serial has one process"),
        ("digits", len, {}, "a session outlives this process.* FILE.py:FUNCTION"),
    ],
)
def test_programs_and_settings_that_do_not_do(tmp_path, monkeypatch, baseline, candidate, more, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LastbitError, match=said):
        lb.gate(baseline, candidate, quiet=True, **more)
    assert not list(tmp_path.iterdir())


def test_a_candidate_without_a_step_takes_no_place(desk):
    with pytest.raises(LastbitError, match="stepless made no optimizer step"):
        desk("stepless")
    session = lb.gate_status(desk.folder / "session").session
    assert (session.counted, session.of(1).choice, session.of(1).why) == (0, "undecided", "no_run")


def test_a_baseline_that_fails_at_once_leaves_no_session(desk):
    with pytest.raises(LastbitError, match=r"crashing raised ValueError: no <b>data</b> here"):
        desk("worse", baseline="crashing")
    assert desk("worse").verdict_kind == "discard"


def test_a_baseline_that_keeps_failing_is_named_with_what_it_said(desk):
    with pytest.raises(LastbitError, match=r"3 runs of the baseline .*flaky .* seed 3: ValueError: no data for 3"):
        desk("worse", baseline="flaky")


def test_there_is_one_session_or_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LastbitError, match="there is no session in lastbit-studies: name its folder with --ledger"):
        lb.gate_status()
    for name in ("a", "b"):
        (tmp_path / "lastbit-studies" / name).mkdir(parents=True)
        (tmp_path / "lastbit-studies" / name / "gate.sqlite").touch()
    with pytest.raises(LastbitError, match="are sessions: name one with --ledger"):
        lb.gate_status()
