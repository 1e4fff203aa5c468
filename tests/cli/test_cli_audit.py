"""The command line as a person uses it: the answer first, one line per mistake, nothing lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lastbit.cli import main

SMALL = ["--task", "toy.py:make", "--epochs", "2", "--seeds", "2", "--perturbations", "2", "--workers", "1"]


def test_audit_answers_first_and_names_its_files(here, capsys):
    assert main(["audit", *SMALL, "--out", "study", "--json", "out.json"]) == 0
    out = capsys.readouterr().out
    first = out.splitlines()[0]
    assert "accuracy" in first
    assert "noise" in first or "no spread" in out
    assert "report  study/report.html" in out
    assert "JSON    out.json" in out
    result = json.loads(Path("out.json").read_text())
    assert result["control"]["bitwise_identical"] is True
    assert Path("study/report.html").stat().st_size > 10_000


def test_quiet_prints_the_verdict_alone(here, capsys):
    assert main(["audit", *SMALL, "--out", "study", "--quiet"]) == 0
    told = capsys.readouterr()
    assert len(told.out.strip().splitlines()) == 1
    assert told.out[0].isupper()
    assert told.err == ""


def test_progress_is_one_line_per_event_where_there_is_no_terminal(here, capsys):
    main(["audit", *SMALL, "--out", "study"])
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("[") for line in lines) == 6
    assert any(line.startswith("[6/6") for line in lines)


def test_not_reproducible_exits_3_and_reports_no_spread(here, capsys):
    assert main(["audit", "--task", "toy.py:noisy", *SMALL[2:], "--out", "study"]) == 3
    out = capsys.readouterr().out
    assert out.startswith("Not reproducible here: an exact repeat of seed 0 first differs at step")
    assert "σ last bit" not in out
    assert main(["report", "study"]) == 3


def test_report_draws_again_and_exports(here, capsys):
    main(["audit", *SMALL, "--out", "study", "--quiet"])
    Path("study/report.html").unlink()
    assert main(["report", "study", "--out", "again.html", "--export", "runs.csv", "--json", "again.json"]) == 0
    assert Path("again.html").exists()
    assert len(Path("runs.csv").read_text().splitlines()) == 1 + 2 * 2 * 2
    assert json.loads(Path("again.json").read_text())["kind"] == "audit"
    assert not Path("study/report.html").exists()


def test_a_table_of_no_known_format_is_refused_before_anything_is_said(here, capsys):
    main(["audit", *SMALL, "--out", "study", "--quiet"])
    Path("study/report.html").unlink()
    capsys.readouterr()
    assert main(["report", "study", "--export", "x.txt"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "unknown table format '.txt'" in told.err
    assert not Path("study/report.html").exists()


def test_progress_and_result_have_one_word_for_a_spread_of_accuracy(here, capsys):
    main(["audit", *SMALL, "--out", "study"])
    so_far = [line for line in capsys.readouterr().err.splitlines() if "σ last bit so far" in line]
    assert so_far
    assert all(" points (n = " in line for line in so_far)


def test_the_command_in_the_study_repeats_it(here, capsys):
    import shlex

    main(["audit", *SMALL, "--out", "one", "--quiet"])
    command = json.loads(Path("one/study.json").read_text())["command"]
    words = shlex.split(command)
    assert words[:2] == ["lastbit", "audit"]
    assert main([*words[1:], "--workers", "1", "--out", "two", "--quiet"]) == 0
    for name in ("arrays/seed001-p001.npz", "arrays/seed000-repeat.npz"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


MISTAKES = {
    "--task digts": "unknown task 'digts' (did you mean 'digits'?): choose one of digits",
    "--model cnnn": "unknown model 'cnnn'",
    "--optimizer sdg": "unknown optimizer 'sdg'",
    "--schedule foo": "unknown schedule 'foo'",
    "--lr nan": "--lr must be a finite number, got nan",
    "--lr -1": "--lr must be above 0, got -1",
    "--lr inf": "--lr must be a finite number, got inf",
    "--weight-decay -0.1": "--weight-decay must be at least 0, got -0.1",
    "--momentum 1": "--momentum must be below 1, got 1",
    "--seeds 0": "--seeds must be at least 1, got 0",
    "--seeds two": "--seeds must be a whole number, got 'two'",
    "--perturbations 0": "--perturbations must be at least 1, got 0",
    "--perturb foo": "'rescale', 'ulp', 'rounding', 'reorder' or 'auto'",
    "--vary foo": "'all', 'order', 'init' or 'augment'",
    "--dtype half": "'float32', 'float64' or 'bfloat16'",
    "--device gpu": "choose one of auto, cpu, cuda, cuda:N",
    "--workers 0": "--workers = 0",
    "--epochs 0": "--epochs must be at least 1, got 0",
    "--batch-size 5000": "batch size 5000 exceeds the 1,000 training examples",
    "--train-size 100000": "100000",
    "--bogus 3": "No such option: --bogus",
    "--out toy.py": "toy.py is a file: choose another folder",
    "--out full": "full is not empty",
    "--resume nope": "there is no study at nope",
    "--resume full": "full is not a study: it has no study.json",
    "--json nope/x.json": "nope does not exist",
    "--task nothing": "choose one of digits, fashion-mnist, cifar10, FILE.py:FUNCTION",
    "--kernel 3": "--kernel = 3 needs a depth: write --depth too",
    "--lr 0.1 0.2": "0.2 is no task, and belongs to no flag: of lastbit audit, every flag takes one value",
    "--task toy.py:nothing": "toy.py has no function 'nothing'",
    "--task toy.py:not_a_task": "must return a lastbit Task, got int",
    "python train.py": "a command of your own stands behind --: write lastbit audit -- python train.py",
    "digts --seeds 1": "unknown task 'digts' (did you mean 'digits'?)",
    "digits cifar10": "unexpected extra argument",
    "-- pyhton train.py": "error: pyhton: command not found",
    "--task nope.py:make": "/nope.py': write FILE.py:FUNCTION",
    "--task toy.py:labels_too_high": "the model gives 2 outputs but the labels go up to 37",
    "--task toy.py:make --lr 0.1": "toy.py:make sets that itself",
    "--task fashion-mnist --data-root full": "--data-root full",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_gets_one_line_and_exit_code_2(refused, words):
    assert MISTAKES[words] in refused(["audit", *words.split()])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report"], "Missing argument 'folder' (lastbit report --help says what it takes)"),
        (["eos", "--learning-rate", "0.1"], "No such option: --learning-rate (lastbit eos --help says what it takes)"),
        (["adit"], "Did you mean 'audit'? (lastbit --help says what it takes)"),
    ],
)
def test_a_word_that_no_command_knows_is_told_where_to_read(refused, words, message):
    assert message in refused(words)


def test_debug_shows_the_traceback(here, capsys):
    assert main(["audit", "--task", "digts", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_unknown_command(capsys):
    assert main(["adit"]) == 2
    assert "adit" in capsys.readouterr().err


def test_the_package_its_help_and_its_version_need_no_torch():
    script = (
        "import sys, lastbit\nassert lastbit.__all__\nassert 'torch' not in sys.modules, 'lastbit imports torch'\n"
        "from lastbit.cli import main\nassert main(['--version']) == 0\n"
        "for command in ([], ['audit'], ['eos'], ['sharpness'], ['trace']):\n"
        "    assert main([*command, '--help']) == 0\n"
        "    assert 'torch' not in sys.modules, command\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "audit" in done.stdout
