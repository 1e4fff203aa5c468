"""`lastbit trace` as a person uses it: the answer first, one line per mistake, nothing lost."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from lastbit.cli import main

SMALL = ["--task", "toy.py:make", "--twins", "2"]


def test_trace_answers_first_and_names_its_files(here, capsys):
    assert main(["trace", *SMALL, "--tangent", "--out", "study", "--json", "out.json"]) == 0
    told = capsys.readouterr()
    first = told.out.splitlines()[0]
    assert first.split(":")[0] in ("Stable", "Restrained", "Undecided")
    assert "Exact repeat: passed" in told.out
    assert "report  study/report.html" in told.out
    assert "JSON    out.json" in told.out
    result = json.loads(Path("out.json").read_text())
    assert result["control_max_difference"] == 0
    assert result["tangent"]["steps"] == 40
    assert Path("study/report.html").stat().st_size > 10_000
    assert any(line.startswith("[1/1") for line in told.err.splitlines())


def test_quiet_prints_the_verdict_alone(here, capsys):
    assert main(["trace", *SMALL, "--out", "study", "--quiet"]) == 0
    told = capsys.readouterr()
    assert len(told.out.strip().splitlines()) == 1
    assert told.err == ""


def test_not_reproducible_exits_3_and_traces_nothing(here, capsys):
    assert main(["trace", "--task", "toy.py:noisy", "--out", "study"]) == 3
    out = capsys.readouterr().out
    assert out.startswith("Not reproducible here: the exact repeat first differs at step")
    assert "amplifying" not in out
    assert main(["report", "study", "--quiet"]) == 3


def test_report_draws_again_and_exports(here, capsys, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225599")
    main(["trace", *SMALL, "--out", "study", "--quiet"])
    before = Path("study/report.html").read_bytes()
    Path("study/report.html").unlink()
    assert main(["report", "study", "--out", "again.html", "--export", "curves.csv", "--json", "again.json"]) == 0
    assert Path("again.html").read_bytes() == before
    assert json.loads(Path("again.json").read_text())["kind"] == "trace"
    assert "all_relative_l2" in Path("curves.csv").read_text().splitlines()[0]


def test_several_values_follow_one_flag(here, capsys):
    small = "trace --model mlp --width 4 --train-size 64 --batch-size 32 --twins 1 --epochs 2 --workers 1 --quiet"
    assert main([*small.split(), "--lr", "0.1", "0.05", "--scaled-time", "--out", "study"]) == 0
    members = json.loads(Path("study/result.json").read_text())["members"]
    assert [(m["lr"], m["epochs"]) for m in members] == [(0.1, 2), (0.05, 4)]


@pytest.mark.parametrize(
    "words", ["--task toy.py:make --twins 1", "--task digits --train-size 64 --epochs 1 --twins 1"]
)
def test_the_command_in_the_study_repeats_it(here, words, capsys):
    assert main(["trace", *words.split(), "--out", "one", "--quiet"]) == 0
    said = shlex.split(json.loads(Path("one/study.json").read_text())["command"])
    assert said[:2] == ["lastbit", "trace"]
    assert main([*said[1:], "--out", "two", "--quiet"]) == 0
    files = sorted(path.name for path in Path("one/arrays").iterdir())
    assert len(files) == 4
    for name in files:
        with np.load(Path("one/arrays", name)) as one, np.load(Path("two/arrays", name)) as two:
            assert all(one[key].tobytes() == two[key].tobytes() for key in one.files)


MISTAKES = {
    "--task digts": "unknown task 'digts' (did you mean 'digits'?)",
    "--twins 0": "--twins must be at least 1, got 0",
    "train.py": "a whole script: lastbit trace -- python train.py",
    "sh run.sh": "sh is no task; a command of your own stands behind --: write lastbit trace -- sh run.sh",
    "-- pyhton train.py": "error: pyhton: command not found",
    "--every 0": "--every must be at least 1, got 0",
    "--from-step 40 --task toy.py:make": "--from-step = 40: the training has 40 steps; write at most 39",
    "--from-step -1": "--from-step must be at least 0, got -1",
    "--tangent --task toy.py:rmsprop": "no tangent is known for the step of RMSprop (known: Adam, AdamW, SGD)",
    "--tangent --optimizer rmsprop": "(known: Adam, AdamW, SGD)",
    "--tangent --task toy.py:once": "module '1' (Squared) cannot be differentiated twice",
    "--layer head --task toy.py:convolutional": "--layer 'head' is not a convolution of toy: choose one of 1.weight",
    "--layer conv --task toy.py:make": "this network has none",
    "--lr nan": "--lr must be a finite number, got nan",
    "--lr -1": "--lr must be above 0, got -1",
    "--lr 0.1 fast": "--lr must be a number, got 'fast'",
    "--lr 0.1 0.1": "name each value once",
    "--lr 0.1 --scaled-time": "--scaled-time scales the epochs of a sweep",
    "--lr 0.1 --task toy.py:make": "toy.py:make sets that itself",
    "--dtype half": "--dtype must be 'float32', 'float64' or 'bfloat16', got 'half'",
    "--dtype bfloat16 --renormalise": "--renormalise with --dtype bfloat16",
    "--perturb foo": "'rescale', 'ulp', 'rounding', 'reorder' or 'auto'",
    "--seed -1": "--seed must be at least 0, got -1",
    "--device gpu": "choose one of auto, cpu, cuda, cuda:N",
    "--bogus 3": "No such option: --bogus",
    "--out toy.py": "toy.py is a file: choose another folder",
    "--out full": "full is not empty",
    "--resume nope": "there is no study at nope",
    "--json nope/x.json": "nope does not exist",
    "--batch-size 5000": "batch size 5000 exceeds the 1,000 training examples",
    "stray.toml": "there is no study file stray.toml",
    "stray": "unknown task 'stray'",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_gets_one_line_and_exit_code_2(refused, words):
    assert MISTAKES[words] in refused(["trace", *words.split()])


def test_ctrl_c_says_what_is_safe(here, capsys, monkeypatch):
    from lastbit.studies.trace import worker

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "trace_twins", interrupted)
    assert main(["trace", *SMALL, "--out", "study", "--quiet"]) == 130
    told = capsys.readouterr().err.strip()
    assert told == ("error: stopped before the training was finished: continue with lastbit trace --resume study")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert main(["trace", "--resume", "study", "--quiet"]) == 0
