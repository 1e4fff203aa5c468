"""The help of every command, to the letter; written anew by `make golden`."""

import sys
from pathlib import Path

import pytest
import typer.rich_utils
from typer.testing import CliRunner

from lastbit.cli.app import app, main

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = [
    (),
    *((name,) for name in ("audit", "trace", "eos", "sharpness", "doctor", "compare", "gate", "same", "report", "log")),
    ("remedy",),
    ("serve",),
    *((name,) for name in ("pde", "paper")),
    *(("paper", name) for name in ("list", "run", "report")),
    *(("pde", name) for name in ("stability", "simulate", "window", "phase", "complexity")),
]


def help_text(command):
    """The help as a pipe of 110 columns shows it."""
    shown = CliRunner().invoke(app, [*command, "--help"], prog_name="lastbit", env={"COLUMNS": "110", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    return "\n".join(line.rstrip() for line in shown.output.splitlines()) + "\n"


def golden(command):
    return GOLDEN / f"help-{'-'.join(command) or 'lastbit'}.txt"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command) or "lastbit")
def test_the_help_is_the_golden_one(command, monkeypatch):
    monkeypatch.setattr(typer.rich_utils, "FORCE_TERMINAL", False)
    assert help_text(command) == golden(command).read_text("utf-8")


FLAGS_OF_BEFORE = {
    "audit": "task model optimizer lr momentum nesterov weight-decay schedule epochs batch-size train-size norm "
    "activation width augment data-root seeds perturbations vary perturb dtype device workers out resume json quiet",
    "trace": "task model optimizer momentum nesterov weight-decay schedule epochs batch-size train-size norm "
    "activation width augment data-root lr dtype scaled-time perturb device twins every from-step renormalise tangent "
    "layer seed out resume json quiet",
    "eos": "task optimizer nesterov schedule train-size batch-size data-root model activation loss lr momentum "
    "weight-decay depth width kernel seeds workers device perturb dtype steps every twins probe-size flow seed out "
    "resume json quiet",
    "sharpness": "optimizer lr momentum nesterov weight-decay train-size batch-size data-root checkpoint after by "
    "probe-size seed model depth width kernel activation loss dtype device out json quiet",
    "report": "out json export quiet",
}
"""The flags that scripts of users were written with."""


@pytest.mark.parametrize("name", FLAGS_OF_BEFORE)
def test_no_flag_of_before_is_gone(name):
    taken = {flag for one in typer.main.get_command(app).commands[name].params for flag in one.opts}
    assert {f"--{flag}" for flag in FLAGS_OF_BEFORE[name].split()} <= taken


@pytest.mark.parametrize("words", [[], ["pde"], ["paper"]])
def test_without_a_command_the_help_is_the_message(words, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    assert "Usage" in told.out + told.err
    assert "error" not in told.err


if __name__ == "__main__":
    for one in COMMANDS:
        golden(one).write_text(help_text(one), "utf-8")
        print(golden(one), file=sys.stderr)


@pytest.mark.parametrize("command", [[], ["pde"], ["paper"]], ids=["lastbit", "pde", "paper"])
def test_a_command_that_lacks_one_prints_its_help_and_is_incomplete(command, capsys):
    assert main([*command, "--help"]) == 0
    help_itself = capsys.readouterr().out
    assert main(command) == 2
    told = capsys.readouterr()
    assert told.out.rstrip() == help_itself.rstrip()
    assert "Usage" in told.out
    assert told.err == ""
