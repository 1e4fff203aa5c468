"""A first run whose metric nobody named, or misspelt, is kept: the same command with a metric goes on from it."""

import json
import os
import time
from pathlib import Path

import pytest
from in_this_process import InThisProcess

from lastbit.cli.app import main

WORDS = ["--", "sh", "train.sh"]
FEW = ["audit", "--perturbations", "2", "--quiet"]


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.sh").write_text("")

    def said(loss):
        (tmp_path / "out.json").write_text(json.dumps({"test": {"loss": loss}}))
        return f"epoch 1 loss: {loss:.12f} | val_acc {100 - loss:.9f}%\n"

    stand_in = InThisProcess(said)
    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", stand_in)
    return stand_in


def audit(*words):
    return main([*FEW, *words])


def test_the_flags_that_are_listed_go_on_from_the_first_run(program, capsys, tmp_path):
    assert audit(*WORDS) == 2
    *listed, said = capsys.readouterr().err.splitlines()
    assert said.startswith("error: which number is the result? Add one of the flags listed, such as --metric val_acc")
    assert "the run is kept" in said
    flags = [line.strip().partition("  ")[0] for line in listed if line.startswith("  --metric")]
    assert flags[:2] == ["--metric val_acc", "--metric loss"]
    for flag in flags[:2]:
        assert audit(*flag.split(), *WORDS) == 0
    # The first flag goes on from the kept run; the second begins anew, for the study has its metric then.
    assert len(program.ran) == 3 + 3
    assert sorted(path.name for path in (tmp_path / "lastbit-studies").iterdir()) == ["audit-sh-001", "audit-sh-002"]
    assert not list((tmp_path / "lastbit-studies").glob("*/output/*/kept.json"))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (["--metric", "lss"], ["--metric", "loss"]),
        (["--metric", "/lss=(.*)/"], ["--metric", "loss", "--better", "lower"]),
        (["--metric-file", "out.json:loss"], ["--metric-file", "out.json:test.loss"]),
        (["--metric-tag", "loss"], ["--metric", "val_acc", "--metric", "loss"]),
        ([], ["--metric", "loss", "--perturbations", "3", "--perturb", "rounding", "--timeout", "9"]),
    ],
)
def test_a_misspelt_metric_costs_no_run(program, first, then, capsys):
    assert audit(*first, *WORDS) == 2
    assert "the run is kept" in capsys.readouterr().err
    assert audit(*first, *WORDS) == 2
    assert len(program.ran) == 1
    assert audit(*then, *WORDS) == 0
    assert len(program.ran) == (4 if "3" in then else 3)


@pytest.mark.parametrize("where", [["--out", "s"], ["--resume", "s"]])
def test_the_study_that_is_named_goes_on(program, where, capsys):
    assert audit("--out", "s", *WORDS) == 2
    assert audit(*where, "--metric", "loss", *(WORDS if "--out" in where else [])) == 0
    assert len(program.ran) == 3
    assert audit("--resume", "s") == 0
    assert len(program.ran) == 3


def test_the_kept_run_has_the_bits_of_a_run_of_its_own(program, capsys):
    main([*FEW, "--out", "whole", "--metric", "loss", "--json", "whole.json", *WORDS])
    main([*FEW, "--out", "kept", *WORDS])
    main([*FEW, "--out", "kept", "--metric", "loss", "--json", "kept.json", *WORDS])
    whole, kept = (json.loads(Path(f"{name}.json").read_text()) for name in ("whole", "kept"))
    assert len(program.ran) == 6
    assert kept["control"] == whole["control"]
    assert kept["perturbation"] == whole["perturbation"]
    assert kept["sigma_last_bit"] == whole["sigma_last_bit"]
    assert [run["metrics"] for run in kept["runs"]] == [run["metrics"] for run in whole["runs"]]


@pytest.mark.parametrize(
    "other",
    [
        ["--", "sh", "train.sh", "--epochs", "3"],
        ["--as-is", *WORDS],
        ["--reseed", "--seeds", "1", *WORDS],
        pytest.param(["--threads", "2", *WORDS], marks=pytest.mark.slow),
    ],
)
def test_another_command_is_run_by_itself(program, other, capsys, tmp_path):
    assert audit(*WORDS) == 2
    assert audit("--metric", "loss", *other) == 0
    assert len(program.ran) == 1 + 3
    assert (tmp_path / "lastbit-studies" / "audit-sh-001" / "output" / "seed000-p000" / "kept.json").exists()


def test_a_file_of_the_command_that_was_changed_since_makes_it_run_again(program, tmp_path, capsys):
    assert audit(*WORDS) == 2
    later = time.time() + 5
    os.utime(tmp_path / "train.sh", (later, later))
    assert audit("--metric", "loss", *WORDS) == 0
    assert len(program.ran) == 1 + 3


def test_a_file_that_another_run_wrote_since_is_not_read_as_the_first_runs(program, tmp_path, capsys):
    assert audit(*WORDS) == 2
    later = time.time() + 5
    (tmp_path / "out.json").write_text('{"test": {"loss": 7}}')
    os.utime(tmp_path / "out.json", (later, later))
    flags = ["audit", "--perturbations", "2", "--metric-file", "out.json:test.loss"]
    assert main([*flags, *WORDS]) == 0
    assert "run again, for what --metric-file out.json:test.loss reads was written to since" in capsys.readouterr().err
    assert len(program.ran) == 1 + 3


def test_a_later_run_without_the_metric_is_a_crash_of_its_own(program, capsys):
    said = program.said
    program.said = lambda loss: said(loss) if len(program.ran) < 3 else "it went wrong\n"
    # The only perturbed run, without which nothing can be said of the last bit.
    assert audit("--metric", "loss", "--out", "s", "--json", "s.json", *WORDS) == 3
    runs = {run["run"]: run for run in json.loads(Path("s.json").read_text())["runs"]}
    assert runs["seed000-p001"]["status"] == "crashed"
    assert "no number behind the name 'loss'" in runs["seed000-p001"]["message"]
