"""The help of every `pde` command, to the letter; written anew by `make golden`."""

import sys
from pathlib import Path

import pytest
import typer.rich_utils
from typer.testing import CliRunner

from lastbit.cli.app import app

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = [("pde",), *(("pde", name) for name in ("stability", "simulate", "window", "phase", "complexity"))]


def help_text(command):
    """The help as a pipe of 110 columns shows it."""
    shown = CliRunner().invoke(app, [*command, "--help"], prog_name="lastbit", env={"COLUMNS": "110", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    return "\n".join(line.rstrip() for line in shown.output.splitlines()) + "\n"


def golden(command):
    return GOLDEN / f"help-{'-'.join(command)}.txt"


@pytest.mark.parametrize("command", COMMANDS, ids="-".join)
def test_the_help_is_the_golden_one(command, monkeypatch):
    monkeypatch.setattr(typer.rich_utils, "FORCE_TERMINAL", False)
    assert help_text(command) == golden(command).read_text("utf-8")


if __name__ == "__main__":
    for one in COMMANDS:
        golden(one).write_text(help_text(one), "utf-8")
        print(golden(one), file=sys.stderr)
