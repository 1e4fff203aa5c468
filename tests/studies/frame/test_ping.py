"""A new kind of study gets its life from the frame: one file of under eighty lines buys all that is tested here."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import ping
import pytest
import typer
from ping import PING, PingSettings
from typer.testing import CliRunner

from lastbit.cli.fields import SeveralValues
from lastbit.cli.studies import study_command
from lastbit.core.errors import LastbitError
from lastbit.studies.frame.make import make
from lastbit.studies.frame.study import Study


def test_the_kind_is_one_short_file():
    assert len(Path(ping.__file__).read_text().splitlines()) < 80


def test_it_is_made_concluded_and_shown(tmp_path, capsys):
    study = make(PING, "digits", epochs=1, echoes=2, workers=1, out=tmp_path / "study")
    assert len(study.result.answers) == 2
    stored = json.loads((tmp_path / "study" / "result.json").read_text())
    assert stored["schema"] == 2
    assert stored["verdict"] == study.verdict == "2 echoes came back."
    assert stored["answers"] == list(study.result.answers)
    assert study.summary().startswith("2 echoes came back.\nAsk again for more.\n")
    assert "Answers" in study.markdown()
    assert "Answers" in study.report().read_text()
    err = capsys.readouterr().err
    assert "ping of 2 runs x 31 steps into" in err
    assert "[2/2," in err
    assert Study(tmp_path / "study", PING).result == study.result


def test_a_change_on_resume_is_refused_and_an_unknown_setting_too(tmp_path):
    make(PING, "digits", epochs=1, echoes=2, workers=1, quiet=True, out=tmp_path / "study")
    with pytest.raises(LastbitError, match="begun with --echoes 2, not 3"):
        make(PING, resume=tmp_path / "study", echoes=3, quiet=True)
    with pytest.raises(LastbitError, match="unknown setting 'echos'"):
        make(PING, "digits", echos=3, out=tmp_path / "other")


@pytest.mark.usefixtures("one_process")
def test_other_processes_do_the_same(task_file, tmp_path):
    """A kind travels to workers by the name of its module, as its task does."""
    task, settings = f"{task_file}:calm", {"echoes": 3, "quiet": True}
    one = make(PING, task, workers=1, out=tmp_path / "one", **settings)
    assert make(PING, task, workers=2, out=tmp_path / "two", **settings).result.answers == one.result.answers


def test_its_command_is_made_from_its_settings(tmp_path, monkeypatch):
    """A study file, a resume, the help and one line for a mistake come with it."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command("ping", cls=SeveralValues)(study_command("ping:PING", PingSettings, "Ping. One answer per echo."))
    app.callback()(lambda: None)

    def run(*words):
        return CliRunner().invoke(app, ["ping", *words], env={"COLUMNS": "110", "NO_COLOR": "1"})

    assert "How often to answer (3; at least 1)." in run("--help").output
    Path("ping.toml").write_text('epochs = 1\nechoes = 2\nworkers = 1\nout = "one"\n')
    asked = run("ping.toml", "--echoes", "1", "--json", "one.json")
    assert asked.stdout.startswith("1 echoes came back.\n")
    assert json.loads(Path("one.json").read_text())["command"].startswith("lastbit ping --task digits")
    assert run("--resume", "one", "--quiet").stdout == "1 echoes came back.\n"
    assert "--echoes must be at least 1, got 0" in str(run("digits", "--echoes", "0").exception)


SLOW = """
import sys, time
import ping
import lastbit.studies.frame.make as frame
from dataclasses import replace
frame.check_processes = lambda *_: None
def slow(work):
    time.sleep(0.5 if work.job.cell.number else 0)
    return ping.train(work)
frame.make(replace(ping.PING, train=slow), sys.argv[1], echoes=3, workers=1, quiet=True, out=sys.argv[2])
"""


def test_stopped_and_resumed_it_ends_as_if_it_had_not_been(toy_task, tmp_path):
    whole = make(PING, toy_task(), echoes=3, workers=1, quiet=True, out=tmp_path / "whole")

    def stopped(work):
        if work.job.cell.number:
            raise KeyboardInterrupt
        return ping.train(work)

    with pytest.raises(LastbitError, match="stopped with 1 of 3 runs finished"):
        make(replace(PING, train=stopped), toy_task(), echoes=3, workers=1, quiet=True, out=tmp_path / "s")
    resumed = make(PING, toy_task(), resume=tmp_path / "s", quiet=True)
    assert resumed.result.answers == whole.result.answers
    assert resumed.result.finished


@pytest.mark.slow
def test_killed_and_resumed_it_ends_as_if_it_had_not_been(task_file, tmp_path):
    whole = make(PING, f"{task_file}:calm", echoes=3, workers=1, quiet=True, out=tmp_path / "whole")
    path = os.pathsep.join([str(Path(ping.__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, f"{task_file}:calm", str(tmp_path / "s")], env={**os.environ, "PYTHONPATH": path}
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "s" / "arrays" / "echo0.npz").exists():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = make(PING, resume=tmp_path / "s", quiet=True)
    assert resumed.result.answers == whole.result.answers
    assert resumed.result.finished
