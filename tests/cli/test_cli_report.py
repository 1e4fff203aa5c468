"""`lastbit report`: Markdown alone on standard output, figures in a folder, sessions of candidates, what is refused."""

import shutil
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from lastbit.cli import main
from lastbit.studies.frame.result import Verdict
from lastbit.studies.gate.answer import GateAnswer
from lastbit.studies.gate.result import BaselineRow, SessionRow

STORED = Path(__file__).parents[1] / "data" / "studies-format-1"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(STORED / "sharpness", tmp_path / "S")
    return tmp_path / "S"


@pytest.mark.parametrize("words", [["S", "--markdown"], ["S", "--markdown", "--quiet"], ["--markdown", "-", "S"]])
def test_markdown_stands_alone_on_standard_output(folder, capfd, words):
    assert main(["report", *words]) == 0
    told = capfd.readouterr()
    tokens = MarkdownIt("commonmark").enable("table").parse(told.out)
    assert [token.tag for token in tokens][:1] == ["h1"]
    assert any(token.type == "table_open" for token in tokens)
    assert "S/report.html" in told.err or "--quiet" in words
    assert told.out.startswith("# ")
    # A comment on GitHub holds 65,536 characters, the summary of a job 1 MiB.
    assert len(told.out) < 65_536


@pytest.mark.parametrize(
    "kind",
    ["audit-unfinished", "trace", *(pytest.param(one, marks=pytest.mark.slow) for one in ("audit", "eos", "monitor"))],
)
def test_a_file_holds_the_same_for_every_kind(kind, tmp_path, capfd):
    import lastbit

    shutil.copytree(STORED / kind, tmp_path / kind)
    study = lastbit.open_study(tmp_path / kind)
    target = tmp_path / "answer.md"
    assert main(["report", str(tmp_path / kind), "--markdown", str(target)]) == study.result.exit_code
    assert target.read_text("utf-8") == study.markdown()
    assert "\nmarkdown  " in capfd.readouterr().out
    assert len(study.markdown()) < 65_536


def test_figures_go_into_a_folder(folder, capfd):
    assert main(["report", "S", "--figures", "drawn"]) == 0
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["spectrum.png", "spectrum.svg"]
    assert "figures  drawn" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--markdown", "--json", "-"], "--json - and --markdown are both to stand alone on standard output"),
        (["--markdown", "no/such.md"], "the folder"),
        (["--markdown", "S/study.json"], "is a part of a study"),
        (["--figures", "file"], "file is a file: name a folder for the figures"),
        (["--figures", "none/figures"], "none does not exist; make it, or name another folder"),
        (["--figures", "no/such"], "the folder"),
        (["--figures", "x" * 300], "(File name too long): name another folder"),
        (["--figures", "S/arrays"], "is a part of a study"),
        (["--figures", "S/checkpoints"], "is a part of a study"),
        (["--export", "a.csv"], "has no runs to export"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(folder, capfd, words, said):
    Path("file").touch()
    before = (folder / "study.json").read_bytes()
    assert main(["report", "S", *words]) == 2
    told = capfd.readouterr()
    assert said in told.err.splitlines()[-1]
    assert told.err.splitlines()[-1].startswith("error: ")
    assert (folder / "study.json").read_bytes() == before


def answer(folder, kind="session", **more):
    numbers = {"error_rate": 0.05, "promised": 0.05, "declared": 9, "counted": 0, "left": 9, "keeps": 0}
    first = BaselineRow(
        epoch=0, candidate=None, text="p.py:base", since="2026-01-01", values=(97.0, 98.0), lost=0, mean=97.5, sigma=0.5
    )
    session = SessionRow(
        **numbers, folder=str(folder), baseline="p.py:base", metric="score", unit="", higher_is_better=True,
        alpha_left=0.05, runs_spent=0, budget=None, begun_at="2026-01-01", baselines=(first,), candidates=(),
    )  # fmt: skip
    return GateAnswer(said=Verdict("9 left.", kind, ""), session=session, command="lastbit gate --status", **more)


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A folder with a ledger, of which the status is made up."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "gate.sqlite").touch()
    monkeypatch.setattr("lastbit.studies.gate.gate.gate_status", answer)


def test_a_session_is_drawn_too(session, capfd):
    assert main(["report", "night", "--markdown"]) == 0
    told = capfd.readouterr()
    assert told.out == answer("night").markdown()
    assert told.out.startswith("# Session of candidates in score\n\n**9 left.**")
    assert main(["report", "night", "--quiet", "--fail-if", "session.left > 3"]) == 7
    assert Path("night/report.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "night", "--export", "t.csv"], "is a session of candidates, of which there is no table of runs"),
        (["report", "night", "--fail-if", "nonsense > 3"], "nonsense is no field of this answer"),
        (["gate", "--status", "--ledger", "night", "--junit", "a.xml"], "--junit is for the decision on a candidate"),
        (["gate", "--junit", "-", "--", "digits"], "--junit - is no file"),
        (["same", "--reference", "digits", "--junit", "-"], "--junit - is no file"),
        (["same", "--reference", "digits", "--junit", "a", "--json", "a"], "two files are to be written to a"),
        (["pde", "stability", "heat", "--markdown", "-"], "--markdown - is no file"),
    ],
)
def test_what_a_session_and_the_other_commands_refuse(session, words, said, capfd):
    assert main(words) == 2
    assert said in capfd.readouterr().err.splitlines()[-1]


def test_an_answer_of_pde_goes_into_markdown(tmp_path, capfd):
    assert main(["pde", "stability", "heat", "--markdown", str(tmp_path / "a.md")]) == 0
    assert (tmp_path / "a.md").read_text("utf-8").startswith("# lastbit pde stability\n\n**")
