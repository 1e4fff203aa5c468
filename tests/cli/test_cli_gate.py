"""`lastbit gate` in a shell: exit codes, JSON alone, the session, the report, and what is refused."""

import json
from xml.etree import ElementTree

import pytest

from lastbit.cli.app import main
from lastbit.report.text import render_text
from lastbit.studies.gate.gate import gate_status

PROGRAMS = """
import torch


def base(seed, start=0.0):
    weight = torch.nn.Parameter(torch.randn(3) + start)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    return {"score": weight.sum().item()}


def worse(seed):
    return base(seed, -9.0)


def crashing(seed):
    base(seed)
    raise ValueError("<script>alert(1)</script>")
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Ask `lastbit gate` about a function of a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text(PROGRAMS)

    def ask(candidate, *more):
        told = ["--baseline", "p.py:base", "--better", "higher", "--ledger", "night", *more, "--", f"p.py:{candidate}"]
        return main(["gate", *told])

    return ask


def test_a_loop_reads_the_exit_code_and_json(asked, tmp_path, capsys):
    assert asked("worse", "--json", "-", "--candidates", "9", "--junit", "a.xml", "--markdown", "a.md") == 5
    told = capsys.readouterr()
    [[case]] = ElementTree.parse("a.xml").getroot()
    assert (case.get("classname"), case.get("name")) == ("lastbit gate", "p.py:worse")
    assert (case[0].tag, case[0].get("type")) == ("failure", "discard")
    assert (tmp_path / "a.md").read_text("utf-8").startswith("# Session of candidates\n\n**Discard")
    found = json.loads(told.out)
    assert (found["verdict_kind"], found["why"], found["candidate"]["candidate"]) == ("discard", "not_ahead", 1)
    assert found["candidate"]["comparison"]["difference"] < 0
    assert found["session"]["left"] == 8
    assert "candidate 1, seed 0: result" in told.err
    words = "--baseline p.py:base --ledger night --candidates 9 --better higher -- p.py:worse"
    assert found["command"] == f"lastbit gate {words}"

    assert asked("crashing", "--junit", "a.xml") == 4
    [[case]] = ElementTree.parse("a.xml").getroot()
    assert (case[0].tag, case[0].get("type")) == ("error", "undecided")
    told = capsys.readouterr()
    assert told.out.startswith("Undecided: candidate 2 (p.py:crashing) crashed: ValueError: <script>")
    assert "<script>alert" not in (tmp_path / "night" / "report.html").read_text().replace("\\u003c", "")

    assert asked("base", "--quiet") == 5
    said = "Discard: candidate 3 (p.py:base) trains exactly as the baseline does, bit for bit.\n"
    assert capsys.readouterr() == (said, "")

    assert main(["gate", "--status", "--ledger", "night"]) == 0
    assert capsys.readouterr().out.startswith("2 of 9 candidates compared, 0 kept; α left: 3.89% of 5%; 8 runs spent.")
    page = gate_status("night").page
    assert max(map(len, render_text(page, 80).splitlines())) <= 80
    assert page.sections[0].title == "The session, candidate by candidate"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--baseline", "digits"], "there is no candidate: write it behind --"),
        (["--", "digits"], "there is no baseline: give --baseline"),
        (["--status", "--ledger", "night", "--", "digits"], "--status prints a session and runs nothing"),
        (["--status", "--ledger", "nowhere"], "nowhere has no ledger"),
        (["--status", "--baseline", "python p.py"], "the baseline 'python p.py' is no audit's folder"),
        (["--status", "--baseline", "."], "-gate has no ledger"),
        (["--baseline", "nowhere", "--", "digits"], "neither a folder nor a command"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["gate", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert len(told.err.splitlines()) == 1
