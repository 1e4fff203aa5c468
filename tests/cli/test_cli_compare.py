"""`lastbit compare` in a shell: exit codes, JSON alone, what is printed, and a stored comparison opened again."""

import csv
import json
import sqlite3

import pytest

import lastbit as lb
from lastbit.cli.app import main
from lastbit.report.text import render_text


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Two tables apart and one that is near the first."""
    monkeypatch.chdir(tmp_path)
    for name, values in (("old", "97.1,97.4,96.9"), ("new", "98.0,98.4,98.3"), ("same", "97.2,97.3,97.0")):
        (tmp_path / f"{name}.csv").write_text(values)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["new.csv"], 0, "B (new) is better than A (old): B − A = 1.1"),
        (["same.csv"], 4, "Whether B (same) is better than A (old) is undecided: B − A = 0.03"),
        (["same.csv", "--worth", "2"], 0, "B (same) and A (old) differ by less than 2, if at all: B − A = 0.03"),
        (["new.csv", "--metric", "recall"], 0, "is better than A (old) in recall"),
        (["new.csv", "same.csv", "--pairs", "all"], 0, "B is better than A and C; 1 of 3 pairs cannot be told apart"),
        (["new.csv", "--fail-if", "difference > 0.5"], 7, "B (new) is better"),
        (["same.csv", "--fail-if", "difference > 0.5"], 4, "undecided"),
        (["same.csv", "--fail-if", "difference < 0.5"], 7, "undecided"),
    ],
)
def test_the_exit_code_is_the_decision(tables, capsys, words, code, said):
    assert main(["compare", "old.csv", *words, "--better", "higher"]) == code
    assert said in " ".join(capsys.readouterr().out.split())


def test_json_alone_stands_on_standard_output(tables, capsys):
    assert main(["compare", "old.csv", "new.csv", "--better", "higher", "--json", "-"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["verdict_kind"] == "real"
    assert {"estimate", "low", "high"} <= found["difference"].keys()
    assert 0.5 < found["probability_better"]["estimate"] < 1
    assert found["procedure"] == "Welch's t on the seeds' means"
    assert found["command"] == "lastbit compare old.csv new.csv --better higher"


def test_quiet_prints_the_verdict_alone(tables, capsys):
    assert main(["compare", "old.csv", "new.csv", "--better", "higher", "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_what_is_stored_is_reported_again_without_its_arms(tables, capsys):
    assert main(["compare", "old.csv", "same.csv", "--better", "lower", "--out", "study", "--quiet"]) == 4
    for name in ("old", "same"):
        (tables / f"{name}.csv").unlink()
    assert main(["report", "study", "--export", "runs.csv"]) == 4
    rows = list(csv.DictReader((tables / "runs.csv").read_text().splitlines()))
    assert [row["arm"] for row in rows] == ["A"] * 3 + ["B"] * 3
    assert float(rows[0]["value"]) == 97.1


@pytest.mark.parametrize("columns", [80, 110])
def test_no_line_is_wider_than_the_terminal(tables, columns):
    arms = ["old.csv", "new.csv", "same.csv"]
    page = lb.compare(*arms, better="higher", pairs="all", worth=3, quiet=True).page
    assert max(map(len, render_text(page, columns).splitlines())) <= columns


def test_a_study_file_names_arms_and_settings_and_flags_win(tables, capsys):
    (tables / "study.toml").write_text(
        'arms = ["old.csv", "same.csv"]\nbetter = "higher"\nworth = 0.001\nout = "from-file"\n'
    )
    assert main(["compare", "study.toml", "--quiet"]) == 4
    assert main(["compare", "study.toml", "--worth", "2", "--out", "other", "--quiet"]) == 0
    flags = ["--better", "higher", "--worth", "2", "--out", "flags", "--quiet"]
    assert main(["compare", "old.csv", "same.csv", *flags]) == 0
    one, two = (json.loads((tables / name / "result.json").read_text()) for name in ("other", "flags"))
    assert {name for name in one if one[name] != two[name]} <= {"command"}


def test_programs_of_a_study_file_are_trained_and_gone_on_with(tables):
    small = "epochs = 1\ntrain_size = 64\nwidth = 2\nseeds = 2\nworkers = 1\n"
    (tables / "study.toml").write_text(f'a = "digits"\nb = "digits --lr 0.1"\nout = "study"\n{small}')
    assert main(["compare", "study.toml", "--quiet"]) == 4
    before = lb.open_study("study").result
    assert [arm.seeds for arm in before.arms] == [2, 2]
    with sqlite3.connect("study/runs.sqlite") as database:
        database.execute("DELETE FROM runs WHERE run = 'b-seed001-p000'")
    assert main(["compare", "study.toml", "--resume", "study", "--quiet"]) == 4
    after = lb.open_study("study").result
    assert (after.arms, after.difference) == (before.arms, before.difference)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 3", "a = 3 in study.toml: give text"),
        ("arm = 'digits'", "arm = 'digits' in study.toml: give texts in [brackets]"),
        ("arms = [1, 2]", "arms = [1, 2] in study.toml: give texts in [brackets]"),
        ("c = 'digits'", "unknown setting in study.toml 'c'"),
        ("arms = ['old.csv', 'new.csv']\nworth = -1\nbetter = 'higher'", "--worth must be above 0"),
        (None, "there is no study file study.toml"),
    ],
)
def test_a_mistake_in_a_study_file_is_one_line(tables, capsys, text, said):
    if text is not None:
        (tables / "study.toml").write_text(text)
    assert main(["compare", "study.toml", "--quiet"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


def test_a_study_file_stands_alone(tables, capsys):
    assert main(["compare", "old.csv", "study.toml", "--better", "higher"]) == 2
    assert "study.toml is a study file, which stands alone" in capsys.readouterr().err
