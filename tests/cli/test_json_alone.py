"""`--json -`: standard output is JSON and nothing else is, whatever a task or its children print."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lastbit.cli import main

STORED = Path(__file__).parents[1] / "data" / "studies-format-1"
LOUD = """
import os
import sys
from toy import make as quiet


def make():
    print("PRINTED")
    sys.stdout.flush()
    os.system("echo ECHOED")
    return quiet()
"""


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "loud.py:make", "--epochs", "1", "--seeds", "2", "--perturbations", "2", "--workers", "1"],
        ["sharpness", "loud.py:make"],
        ["pde", "stability", "heat"],
        [
            "pde",
            "simulate",
            *["--lr", "0.01", "--weight-decay", "20", "--steps", "20", "--image-size", "32", "--kernel", "8"],
        ],
    ],
)
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_standard_output_is_json(here, capfd, words, quiet):
    (here / "loud.py").write_text(LOUD)
    assert main([*words, "--json", "-", *quiet]) == 0
    told = capfd.readouterr()
    found = json.loads(told.out)
    assert told.out.isascii()
    assert found["verdict"][1:30] in " ".join(told.err.split())
    if "loud.py:make" in words:
        assert "PRINTED" in told.err
        assert "ECHOED" in told.err
    assert not Path("-").exists()


@pytest.mark.slow
def test_a_stored_study_goes_into_a_pipe(tmp_path):
    shutil.copytree(STORED / "audit", tmp_path / "S")
    command = [sys.executable, "-m", "lastbit", "report", "S", "--json", "-"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert json.loads(done.stdout)["kind"] == "audit"
    assert b"report" in done.stderr


def test_an_error_leaves_standard_output_empty(here, capfd):
    assert main(["audit", "--task", "digts", "--json", "-"]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    print("again")
    assert capfd.readouterr().out == "again\n"


@pytest.mark.slow
def test_a_full_disk_behind_it_is_bad_input(here, capsys):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lastbit", "pde", "stability", "heat", "--json", "-"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert "error: cannot print the answer" in done.stderr
