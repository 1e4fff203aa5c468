"""`lastbit compare` in a shell: exit codes, JSON alone, what is printed, and a stored comparison opened again."""

import csv
import json

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
