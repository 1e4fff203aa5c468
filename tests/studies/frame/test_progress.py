"""How the runs of a study are told: one test for each form, the same events in all."""

import io
import json
import re
import sys
import types
from datetime import datetime

import pytest

from lastbit.cli import main
from lastbit.core.errors import LastbitError
from lastbit.studies.audit.kind import audit
from lastbit.studies.frame import progress as told
from lastbit.studies.frame.progress import grid_progress

SMALL = {"seeds": 1, "perturbations": 2, "epochs": 1, "train_size": 64, "workers": 1}


class Clock:
    """Seconds that pass as it is told."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


def happen(form, monkeypatch, quiet=False, terminal=False):
    """What is written of two runs of ten steps, each of ten seconds, the first of which is tried twice."""
    clock, screen = Clock(), io.StringIO()
    screen.isatty = lambda: terminal
    monkeypatch.setattr(told.time, "monotonic", clock.monotonic)
    monkeypatch.setattr("sys.stderr", screen)
    with grid_progress(runs=3, done=1, steps=10, study="S", form=form, quiet=quiet) as progress:
        progress.event("begun")
        progress.started("one", 1)
        clock.now += 5
        progress.progressed("one", 5)
        progress.started("one", 2)
        clock.now += 10
        progress.finished("one", "fine", "σ 1")
        progress.started("two", 1)
        clock.now += 0.5
        progress.progressed("two", 1)
        progress.progressed("two", 2)
        clock.now += 9.5
        progress.finished("two", "fine", "")
    monkeypatch.undo()
    return screen.getvalue()


def test_lines_of_json_parse_and_never_fall(monkeypatch):
    lines = [json.loads(line) for line in happen("json", monkeypatch).splitlines()]
    events = "note started progress started finished started progress finished"
    assert [line["event"] for line in lines] == events.split()
    assert {tuple(line) for line in lines} == {tuple(told.Happened.__dataclass_fields__)}
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    for name in ("time", "done", "step", "elapsed_seconds"):
        values = [line[name] for line in lines]
        assert values == sorted(values), name
    assert {(line["study"], line["total"], line["steps"]) for line in lines} == {("S", 3, 30)}
    assert [line["step"] for line in lines] == [10, 10, 15, 15, 20, 20, 21, 30]
    # 5 steps in 5 s leave 15 for 15; 10 in 15 s leave 10 for 15; 11 in 15.5 s leave 9.
    assert [line["eta_seconds"] for line in lines] == [None, None, 15, 15, 15, 15, round(15.5 * 9 / 11, 3), 0]
    assert [line["run"] for line in lines] == [None, "one", "one", "one", "one", "two", "two", "two"]
    assert lines[3]["message"] == "tried again"
    assert (lines[4]["message"], lines[4]["spread"]) == ("fine", "σ 1")


def test_plain_lines_say_what_is_left(monkeypatch):
    lines = happen("plain", monkeypatch).splitlines()
    assert lines[:2] == ["begun", "one: tried again"]
    assert lines[2:] == ["[2/3, 15 s, 15 s left] one: fine | σ 1", "[3/3, 25 s] two: fine"]


def test_a_bar_says_what_is_left(monkeypatch):
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", happen("bar", monkeypatch))
    assert "begun" in shown
    assert "left:" in shown
    assert re.search(r"runs .* 3/3 ", shown)
    assert re.search(r"steps .* 30/30 ", shown)
    assert not shown.startswith("{")


def test_none_says_nothing(monkeypatch):
    assert happen("none", monkeypatch) == ""


@pytest.mark.parametrize(
    ("form", "quiet", "terminal", "like"),
    [
        (None, False, True, "bar"),
        (None, False, False, "plain"),
        (None, True, True, "none"),
        ("json", True, True, "json"),
    ],
)
def test_the_default_follows_the_terminal_and_quiet(form, quiet, terminal, like, monkeypatch):
    shown = happen(form, monkeypatch, quiet, terminal)
    assert {"bar": "left:" in shown, "plain": "[3/3," in shown, "none": not shown, "json": shown[:1] == "{"}[like]


def test_a_study_tells_lines_of_json(tmp_path, capsys):
    words = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["audit", "digits", *words, "--out", str(tmp_path / "S"), "--progress", "json"]) in (0, 3)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["done"] for line in lines] == sorted(line["done"] for line in lines)
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    last = lines[-1]
    assert (last["event"], last["done"], last["step"], last["eta_seconds"]) == ("finished", 3, last["steps"], 0)
    assert last["study"] == str(tmp_path / "S")


def test_a_form_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(LastbitError, match=r"unknown --progress 'jsonl'.*choose one of bar, plain, json, none"):
        audit("digits", **SMALL, out=tmp_path / "S", progress="jsonl")
    assert not (tmp_path / "S").exists()


class Displayed:
    """The output of a notebook's cell: what was displayed, and how often it was replaced."""

    def __init__(self):
        self.displays, self.texts = 0, []

    def display(self, shown, *, display_id):
        assert display_id is True
        self.displays += 1
        self.update(shown)
        return self

    def update(self, shown):
        self.texts.append(shown._repr_mimebundle_(include=(), exclude=())["text/html"])


@pytest.fixture
def cell(monkeypatch):
    """Let this process be the kernel of a notebook."""
    found = Displayed()
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=found.display))
    return found


@pytest.mark.parametrize("form", [None, "bar"])
def test_a_notebook_has_one_display_that_is_replaced(form, cell, monkeypatch):
    with monkeypatch.context() as patch:
        written = happen(form, patch)
    # What should be known is a line; nothing else is, and no code moves a cursor.
    assert written == "begun\n"
    assert cell.displays == 1
    assert all("\x1b" not in text for text in cell.texts)
    first, *_, last = [re.sub(r"<[^>]*>", "", text) for text in cell.texts]
    assert re.search(r"runs .* 1/3 ", first)
    assert re.search(r"runs .* 3/3 ", last)
    assert re.search(r"steps .* 30/30 ", last)


def test_a_notebook_is_not_flooded(cell, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(told.time, "monotonic", clock.monotonic)
    with grid_progress(runs=1, done=0, steps=1000) as progress:
        progress.started("one", 1)
        for step in range(1000):
            clock.now += 0.01
            progress.progressed("one", step)
    # Ten seconds: one a second beside the first.
    assert len(cell.texts) <= 11


@pytest.mark.parametrize(("form", "quiet"), [("none", False), ("plain", False), ("json", False), (None, True)])
def test_a_notebook_can_have_another_form(form, quiet, cell, monkeypatch):
    with monkeypatch.context() as patch:
        happen(form, patch, quiet)
    assert cell.displays == 0
