"""The life of measured claims: kept piece by piece, gone on with after a kill, judged again without measuring."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.report.figures.printed import Drawing, Panel, Series
from lastbit.report.html import render_html
from lastbit.report.markdown import render_markdown
from lastbit.studies.kinds import open_study
from lastbit.studies.paper import run
from lastbit.studies.paper.claim import Claim, Form, Number, Piece, computed, held, not_held, undecided
from lastbit.studies.paper.result import paper_verdict
from lastbit.studies.paper.run import paper, paper_report


@dataclass(frozen=True)
class Measured:
    first: float
    second: float


def judge(measured):
    found = Number(name="sum", says="the sum", value=computed(measured.first + measured.second))
    return held("it is large enough", found) if measured.first + measured.second > 1 else not_held("it is small", found)


def made(calls, values=(1.0, 2.0), **changes):
    def piece(name, value):
        def measure(lab):
            calls.append(name)
            if isinstance(value, BaseException):
                raise value
            return {"value": value, "scale": lab.scale}

        return Piece(name=name, says=f"measures {name}", measure=measure, steps={"heat": 10})

    def gather(pieces):
        return Measured(pieces["first"]["value"], pieces["second"]["value"])

    panel = Panel(title="<b>it</b> $x$", x_label="x", y_label="y", series=[Series(label="$a_b", x=[0, 1], y=[1, 2])])
    claim = Claim(
        id="C5",
        title="<script>it</script>",
        printed="a figure",
        published=Form(says="it is", rule="held if above 1", judge=judge),
        scales={"small": "a little", "medium": "more", "full": "all"},
        pieces=lambda scale: [piece("first", values[0]), piece("second", values[1])],
        gather=gather,
        drawings=lambda measured: [Drawing(name="it", panels=[panel], describe="<i>it</i>")],
        tables=lambda measured: [],
    )
    return replace(claim, **changes)


@pytest.fixture
def with_claims(monkeypatch):
    def put(*claims):
        monkeypatch.setattr(run, "claims_named", lambda names: list(claims))

    return put


def test_each_piece_is_measured_once(tmp_path, with_claims):
    calls = []
    with_claims(made(calls))
    answer = paper("C5", out=tmp_path / "p", quiet=True)
    again = paper("C5", out=tmp_path / "p", quiet=True)
    assert calls == ["first", "second"]
    assert answer.to_json()["claims"] == again.to_json()["claims"]
    assert json.loads((tmp_path / "p" / "result.json").read_text())["claims"][0]["verdict_kind"] == "held"
    assert {path.name for path in (tmp_path / "p" / "C5").iterdir()} >= {"it.png", "it.svg", "first.json"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_what_is_measured_outlives_what_stops_it(error, tmp_path, with_claims):
    calls = []
    with_claims(made(calls, (1.0, error)))
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(LastbitError, match="the same command goes on"):
            paper("C5", out=tmp_path, quiet=True)
    else:
        assert paper("C5", out=tmp_path, quiet=True).exit_code is ExitCode.UNDECIDED
    assert paper_report(tmp_path).claims[0].verdict_kind == "not_measured"
    with_claims(made(calls))
    assert paper("C5", out=tmp_path, quiet=True).claims[0].verdict_kind == "held"
    assert calls == ["first", "second", "second"]


def test_a_claim_that_fails_costs_no_other(tmp_path, with_claims, capsys):
    calls = []
    with_claims(made([], (LastbitError("no such network"), 1.0)), made(calls, id="C6"))
    answer = paper(["C5", "C6"], out=tmp_path)
    assert [one.verdict_kind for one in answer.claims] == ["undecided", "held"]
    assert "no such network" in answer.claims[0].why
    assert "no such network" in capsys.readouterr().err
    assert calls == ["first", "second"]


def test_a_damaged_piece_is_measured_again(tmp_path, with_claims):
    calls = []
    with_claims(made(calls))
    paper("C5", out=tmp_path, quiet=True)
    (tmp_path / "C5" / "second.json").write_text("{")
    paper("C5", out=tmp_path, quiet=True)
    assert calls == ["first", "second", "second"]


def test_a_piece_of_another_form_is_named(tmp_path, with_claims):
    with_claims(made([]))
    paper("C5", out=tmp_path, quiet=True)
    path = tmp_path / "C5" / "second.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "measured": {}}))
    with pytest.raises(LastbitError, match=r"C5 is not what this lastbit measures .*delete that folder"):
        paper_report(tmp_path)


def test_another_scale_or_folder_is_refused(tmp_path, with_claims):
    with_claims(made([]))
    paper("C5", out=tmp_path / "p", quiet=True)
    with pytest.raises(LastbitError, match="begun with --scale small, not medium: name another folder with --out"):
        paper("C5", out=tmp_path / "p", scale="medium", quiet=True)
    facts = json.loads((tmp_path / "p" / "paper.json").read_text())
    facts["environment"]["processor"] = "another"
    (tmp_path / "p" / "paper.json").write_text(json.dumps(facts))
    with pytest.raises(LastbitError, match="begun with processor 'another'"):
        paper("C5", out=tmp_path / "p", quiet=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(LastbitError, match=r"holds something else \(thesis.tex\)"):
        paper("C5", out=tmp_path / "mine", quiet=True)
    with pytest.raises(LastbitError, match="holds no measured claims"):
        paper_report(tmp_path / "mine")


def test_a_report_of_a_study_says_which_command_draws_claims(tmp_path, with_claims):
    with_claims(made([]))
    paper("C5", out=tmp_path, quiet=True)
    with pytest.raises(LastbitError, match=f"lastbit paper report {tmp_path} draws them"):
        open_study(tmp_path)


@pytest.mark.parametrize(
    ("claims", "settings", "said"),
    [
        ("C13", {}, "unknown claim 'C13'"),
        ([], {}, "no claim was named"),
        ("C5", {"scale": "tiny"}, "--scale"),
        ("C5", {"sacle": "small"}, "did you mean 'scale'"),
        ("C5", {"workers": 0}, "--workers must be at least 1"),
    ],
)
def test_bad_input_is_one_line(claims, settings, said, tmp_path):
    with pytest.raises(LastbitError, match=said):
        paper(claims, out=tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_what_a_claim_says_is_escaped_everywhere(tmp_path, with_claims):
    with_claims(made([]))
    answer = paper("C5", out=tmp_path / "p", quiet=True)
    page = render_html(answer.page)
    assert "<script>it" not in page
    assert "&lt;script&gt;it" in page
    assert page.count("<details>") == 1
    assert "<b>" not in (tmp_path / "p" / "C5" / "it.svg").read_text()
    assert "\\<script" in render_markdown(answer.page)
    written = answer.write_markdown(tmp_path / "docs.md").read_text()
    assert "![\\<i\\>it\\</i\\>](images/docs/C5-it.png)" in written
    assert (tmp_path / "images" / "docs" / "C5-it.png").read_bytes().startswith(b"\x89PNG")


def test_the_first_line_counts_what_held(tmp_path, with_claims):
    narrower = Form(says="some are", rule="held", judge=lambda measured: held("they are"))
    open_ = Form(says="it may be", rule="never", judge=lambda measured: undecided("too few"))
    with_claims(made([], (0.0, 0.1), found=narrower), made([], id="C6"))
    answer = paper("all", out=tmp_path, quiet=True)
    assert answer.verdict == (
        "1 of 2 claims held as published at scale small; not held: C5; in the narrower form that was found here, held "
        "too: C5"
    )
    assert (answer.verdict_kind, answer.exit_code) == ("not_held", ExitCode.ANSWERED)
    with_claims(made([], published=open_), made([], id="C6"))
    answer = paper("all", out=tmp_path, quiet=True)
    assert (answer.verdict_kind, answer.exit_code) == ("undecided", ExitCode.UNDECIDED)
    assert paper_verdict(answer.claims, "small").sentence.startswith("1 of 2 claims held")


KILLED = """
import os, signal, sys
from pathlib import Path
from lastbit.studies.paper.run import paper
from lastbit.store import claim_folder
keep, left = claim_folder.write_json, [int(sys.argv[2])]
def write(path, content):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    keep(path, content)
claim_folder.write_json = write
from lastbit.studies.paper.claims import c05
c05._STEPS, c05._SPACINGS = 1, {"small": (1.0,)}
c05.simulated_limit = lambda *given, between, steps: (between[0], between[1])
paper("C5", out=sys.argv[1], workers=1, quiet=True)
"""


@pytest.mark.slow
@pytest.mark.thorough
def test_kill_at_any_write_loses_only_that(tmp_path):
    def run_it(folder, writes):
        return subprocess.run([sys.executable, "-c", KILLED, str(folder), str(writes)], check=False, env=os.environ)

    assert run_it(tmp_path / "whole", 99).returncode == 0
    whole = json.loads((tmp_path / "whole" / "result.json").read_text())
    for writes in (1, 2, 3, 4):
        folder = tmp_path / str(writes)
        assert run_it(folder, writes).returncode == -signal.SIGKILL
        kept = sorted(path.name for path in folder.glob("C5/*.json"))
        assert kept == sorted(["limits.json", "figure.json"][: max(writes - 2, 0)])
        assert run_it(folder, 99).returncode == 0
        again = json.loads((folder / "result.json").read_text())
        assert [one["numbers"] for one in again["claims"]] == [one["numbers"] for one in whole["claims"]]
