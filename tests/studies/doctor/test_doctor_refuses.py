"""What the doctor refuses, in one line that says what to write instead; no program is run."""

import gzip
import json
from pathlib import Path

import pytest

from lastbit.cli.app import main
from lastbit.core.errors import LastbitError
from lastbit.launch.command import CommandRun
from lastbit.launch.pair.outcome import Difference, Pair, ProcessPair
from lastbit.studies.doctor.compare import check_ran

COMMAND = ["--", "python", "train.py"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", "3", *COMMAND], "nothing sets the seed of train: write {seed} where it takes one"),
        (["--reseed", "digits"], "--reseed belongs to a command: write it as lastbit doctor --reseed"),
        (["--metric", "loss", *COMMAND], "No such option: --metric"),
        (["--record", "one.rec", "--against", "one.rec", *COMMAND], "one.rec"),
        (["--against", "none.rec", *COMMAND], "there is no record none.rec: write one by lastbit doctor --record"),
        (["--against", "text.txt", *COMMAND], "text.txt is no record of a run: name a file that --record wrote"),
        (["--against", "old.rec", *COMMAND], "old.rec has format 0 of records"),
        (["--dtype", "float64", *COMMAND], "--dtype belongs to tasks: train decides it itself"),
        (["--runs", "-1", *COMMAND], "--runs must be at least 0, got -1"),
        (["--timeout", "0", *COMMAND], "--timeout must be above 0, got 0"),
        (["--lr", "0.1", *COMMAND], "--lr belongs to tasks"),
        (["train.py"], "a whole script: lastbit doctor -- python train.py"),
        (["--runs", "2", "python", "train.py", "--lr", "1"], "write lastbit doctor --runs 2 -- python train.py --lr 1"),
        (["train.py", "one"], "write lastbit doctor -- python train.py one"),
        (["--", "pyhton", "train.py"], "error: pyhton: command not found"),
        (["--junit", "no/such/folder.xml", *COMMAND], "the folder"),
        (["--markdown", "-", *COMMAND], "--markdown - is no file: name one"),
        (["--junit", "a.xml", "--markdown", "a.xml", *COMMAND], "two files are to be written to a.xml"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("train.py").touch()
    Path("text.txt").write_text("loss 0.5\n")
    with gzip.open("old.rec", "wb") as file:
        file.write(json.dumps({"name": "lastbit record", "format": 0, "words": []}).encode() + b"\n")
    assert main(["doctor", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not Path("lastbit-studies").exists()


def run(tmp_path, *, exit_code=1, last_lines="ValueError: no data", timed_out=False):
    paths = tmp_path / "stdout.txt", tmp_path / "stderr.txt"
    return CommandRun(("python", "train.py"), exit_code, 1.0, timed_out, *paths, last_lines, (), "torch", (), paths[1])


def process(**said):
    own = {"steps": 0, "tensors": 0, "compared": 0, "ended": False, "waiting": (False, False)}
    about = {"key": "train.py", "place": 0, "rank": None, "program": "train.py", "pids": (1, 2)}
    return ProcessPair(**{**about, **own, "difference": None, "suspects": (), "taken": 0, **said})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "train ended with exit code 1 in both runs: ValueError: no data"),
        ({"exit_code": -9}, "train ended with signal 9 in both runs"),
        ({"last_lines": "EOFError: EOF when reading a line"}, "train needs a terminal"),
        ({"last_lines": "termios.error: (25, 'Inappropriate ioctl for device')"}, "train needs a terminal"),
        ({"exit_code": 0}, "made no optimizer step: torch was imported .*: give the command that trains"),
    ],
)
def test_a_program_that_fails_by_itself_is_no_answer(changes, said, tmp_path):
    one = run(tmp_path, **changes)
    with pytest.raises(LastbitError, match=said):
        check_ran("train", Pair((one, one), (), 1.0, False), None)


def test_without_a_step_before_the_time_ran_out_there_is_no_answer(tmp_path):
    one = run(tmp_path, timed_out=True)
    with pytest.raises(LastbitError, match=r"no optimizer step within --timeout 5: give it more"):
        check_ran("train", Pair((one, one), (), 5.0, True), 5.0)


def test_an_end_by_the_doctor_is_no_failure_of_the_program(tmp_path):
    """Both runs are stopped where they differ: the signal that ended them says nothing."""
    found = Difference("values", "train.py", 0, 3, ((0, 4), (0, 4)), (None, None))
    one = run(tmp_path, exit_code=-15)
    check_ran("train", Pair((one, one), (process(steps=3, difference=found),), 1.0, False), None)
    check_ran("train", Pair((one, one), (process(difference=found),), 1.0, False), None)
