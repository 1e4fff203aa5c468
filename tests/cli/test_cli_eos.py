"""`lastbit eos` and `lastbit sharpness` as a person uses them."""

import json
from pathlib import Path

import pytest

from lastbit.cli import main

SMALL = ["--steps", "4", "--every", "3", "--width", "4", "--train-size", "60", "--twins", "1"]


def test_eos_answers_first_and_names_its_files(here, capsys):
    sweep = ["--weight-decay", "0", "0.1", "--workers", "1"]
    assert main(["eos", *SMALL, *sweep, "--out", "study", "--json", "out.json"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("Of 2 trainings")
    assert "Exact repeats: passed: 2 of 2" in out
    assert "report  study/report.html" in out
    result = json.loads(Path("out.json").read_text())
    assert [cell["axes"]["weight_decay"] for cell in result["cells"]] == [0.0, 0.1]
    for key in (
        "limit",
        "sharpness",
        "ratio_tail",
        "entered_at_step",
        "growth_share_above_limit",
        "per_layer",
        "converged_fraction",
    ):
        assert key in result
    assert main(["report", "study", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("Of 2 trainings")


def test_a_task_in_a_file_is_followed_as_it_is(here, capsys):
    assert main(["eos", "--task", "toy.py:full_batch", "--every", "7", "--quiet", "--out", "study"]) == 0
    told = capsys.readouterr()
    assert len(told.out.strip().splitlines()) == 1
    assert told.err == ""
    facts = json.loads(Path("study/study.json").read_text())
    assert facts["task"]["steps"] == 70
    assert facts["task"]["full_batch"] is True


def test_the_command_in_the_study_repeats_it(here, capsys):
    import shlex

    main(["eos", *SMALL, "--out", "one", "--quiet"])
    command = json.loads(Path("one/study.json").read_text())["command"]
    words = shlex.split(command)
    assert words[:2] == ["lastbit", "eos"]
    assert main([*words[1:], "--out", "two", "--quiet"]) == 0
    losses = [json.loads(Path(name, "result.json").read_text())["cells"][0]["loss"] for name in ("one", "two")]
    assert losses[0] == losses[1]


def test_sharpness_measures_once(here, capsys):
    assert main(["sharpness", "toy.py:make", "--after", "5", "--out", "study", "--json", "out.json"]) == 0
    out = capsys.readouterr().out
    assert "stable step: sharpness" in out.splitlines()[0]
    assert "the whole network" in out
    assert json.loads(Path("out.json").read_text())["after"] == 5
    words = json.loads(Path("out.json").read_text())["command"].split()
    assert main([*words[1:], "--quiet", "--out", "again"]) == 0
    assert main(["report", "study", "--quiet"]) == 0


MISTAKES = {
    "eos --task digts": "unknown task 'digts'",
    "eos --weight-decay 0 0.1 x": "--weight-decay must be a number, got 'x'",
    "eos --lr": "--lr must be a number, got ",
    "eos --model mlp --kernel 3 5": "--kernel: mlp has no kernel to vary",
    "eos --loss hinge": "choose one of squared-error, cross-entropy",
    "eos --every 0": "--every must be at least 1, got 0",
    "eos --every 2": "--every = 2: an even number hides an oscillation of period two: write 1 or 3",
    "eos train.py": "got 'train.py'; a whole script: lastbit audit -- python train.py",
    "eos --twins -1": "--twins must be at least 0, got -1",
    "eos --dtype bfloat16": "'float32' or 'float64'",
    "eos --batch-size 601": "batch size 601 exceeds the 600 training examples",
    "eos --resume nope": "there is no study at nope",
    "eos --resume a --out b": "name the same thing",
    "eos --task toy.py:make --loss cross-entropy": "toy.py:make sets that itself",
    "eos --task toy.py:full_batch --lr 0.1 0.2": "toy.py:full_batch has no parameter lr",
    "sharpness toy.py:make --weight-decay 1": "/toy.py:make has no parameter weight_decay",
    "eos --task toy.py:signs": "Rprop has no stability limit",
    "eos --task toy.py:once": "cannot be differentiated twice",
    "eos --out full": "full is not empty",
    "eos --json nope/x.json": "nope does not exist",
    "sharpness toy.py:nothing": "toy.py has no function 'nothing'",
    "sharpness toy.py:make --checkpoint nope.pt": "there is no checkpoint nope.pt",
    "sharpness toy.py:make --by layer": "--by must be 'module', 'tensor' or 'group', got 'layer'",
    "sharpness --optimizer adam": "Adam has taken no step yet",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_gets_one_line_and_exit_code_2(refused, words):
    assert MISTAKES[words] in refused(words.split())
