"""The audit's page: what stands in it, for whole, small, failed and damaged studies."""

import csv
import gzip
import io
import json
import re
import sqlite3
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from drawn import figure_blocks, render_report, unnamed

import lastbit.report.figures
from lastbit import open_study
from lastbit.core.errors import LastbitError
from lastbit.report.blocks import Sheet
from lastbit.report.sheet import csv_text
from lastbit.stats import Estimate
from lastbit.store import StudyFolder

LIBRARY = Path(lastbit.report.__path__[0], "templates", "plotly.min.js.gz")


def result_of(study):
    return json.loads((study / "result.json").read_text("utf-8"))


def test_the_page_says_what_the_result_says_in_the_order_of_reading(make_study, parse):
    study = make_study()
    page = parse(render_report(study))
    result = result_of(study)
    assert page.headings == [
        "The numbers",
        "How to read this",
        "Controls",
        "Every run: final accuracy",
        "What the variance is made of",
        "Training curves",
        "When the last bit starts to matter",
        "Churn: which predictions change",
        "How far the weights went apart",
        "All estimates",
        "Planning a comparison",
        "Runs",
        "The exact command to repeat it",
        "Task",
        "Environment",
    ]
    verdict = result["verdict"][:1].upper() + result["verdict"][1:]
    assert page.text.index(verdict) < page.text.index(result["advice"]) < page.text.index("The numbers")
    for name, unit in (("sigma_last_bit", "points"), ("sigma_seed", "points")):
        value = dict(result[name])
        shown = Estimate(**value).format(2, unit)
        number, low, high = re.match(r"(\S+) points \[(\S+), (\S+)\]", shown).groups()
        assert f"{number} points" in page.text
        assert f"95% interval {low} to {high}" in page.text
        assert f"n = {value['n']}" in page.text
    assert "passed: 3 of 3 match bit for bit" in page.text
    assert "landed in 100% of 6 runs" in page.text
    assert result["command"] in page.text
    assert set(page.figures) == {"results", "variance", "training", "twins", "churn", "weights"}


def test_the_page_asks_the_network_for_nothing(make_study, parse):
    target = render_report(make_study())
    text = target.read_text("utf-8")
    page = parse(target)
    for tag, name, value in page.attributes:
        assert name not in ("src", "href", "srcset", "action", "data", "poster"), f"<{tag} {name}={value}>"
        assert not name.startswith("on")
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    assert styles
    assert "@import" not in styles
    assert "url(" not in styles
    policy = next(value for tag, name, value in page.attributes if name == "content" and "default-src" in value)
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy, "what is not named falls back to none"
    assert "http" not in policy
    assert {"link", "iframe", "img", "object", "embed", "base"}.isdisjoint(page.tags)


def test_the_library_stands_in_the_page_once_and_the_file_stays_below_a_megabyte_and_a_half(make_study):
    target = render_report(make_study(seeds=6, perturbations=6, steps_per_epoch=2000))
    text = target.read_text("utf-8")
    assert text.count(b64encode(LIBRARY.read_bytes()).decode()) == 1
    assert target.stat().st_size < 1.5e6
    assert render_report(make_study()).stat().st_size < 0.75e6


def test_the_library_draws_what_the_figures_ask_for_and_keeps_its_licence():
    code = gzip.decompress(LIBRARY.read_bytes()).decode()
    assert "Licensed under the MIT license" in code[:200]
    assert "Permission is hereby granted" in LIBRARY.with_name("plotly.LICENSE.txt").read_text()
    held = set(re.findall(r'moduleType:"trace",name:"(\w+)"', code))
    figures = Path(lastbit.report.figures.__path__[0])
    # Those that are still are drawn by matplotlib.
    by_plotly = [file for file in figures.glob("*.py") if not file.name.startswith("still")]
    drawn = {kind for file in by_plotly for kind in re.findall(r"\.add_(\w+)\(", file.read_text())}
    assert held == {"scatter", "bar", "heatmap"} == drawn - {"shape", "vline", "annotation"}


def test_the_page_says_when_it_was_drawn_and_when_the_last_run_finished(make_study, parse, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225599")
    study = make_study()
    with sqlite3.connect(study / "runs.sqlite") as database:
        database.execute("UPDATE runs SET finished_at = '2025-11-03T23:30:00.000+00:00'")
        database.execute("UPDATE runs SET finished_at = '2025-11-03T23:59:30.000+00:00' WHERE run = 'seed001-p000'")
    database.close()
    page = parse(render_report(study))
    times = [value for tag, name, value in page.attributes if (tag, name) == ("time", "datetime")]
    assert times == ["2025-11-03T23:59:30+00:00", "2025-12-31T23:59:59+00:00"]
    assert "Last run finished 2025-11-03 23:59 UTC , report drawn 2025-12-31 23:59 UTC" in page.text


def test_everything_drawn_is_named_by_a_legend_and_every_bar_has_a_whisker(make_study):
    page = open_study(make_study(seeds=4, perturbations=4)).page
    assert unnamed(page) == []
    bars = next(block for block in figure_blocks(page) if block.name == "variance").figure
    places = {trace.y[0] for trace in bars.data if trace.type == "bar"}
    assert len(places) == 4
    assert {trace.y[0] for trace in bars.data if trace.type == "scatter"} == places


def test_dozens_of_seeds_have_a_legend_of_the_first_and_the_last(make_study):
    page = open_study(make_study(seeds=18, perturbations=2)).page
    first, last = next(block for block in figure_blocks(page) if block.name == "training").legend
    assert (first.label, last.label) == ("seed 0, then in order to", "seed 17")
    assert first.colour != last.colour


def test_the_table_of_runs_holds_every_digit_and_its_sheet_every_run(make_study, parse):
    study = make_study(crashed={(1, 1)}, label="+{}", name="<b>")
    target = render_report(study)
    runs = {run["run"]: run for run in result_of(study)["runs"]}
    (text,) = [json.loads(body) for a, body in parse(target).scripts if "data-sheet" in a]
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {row["run"] for row in rows} == set(runs)
    for row in rows:
        metrics = runs[row["run"]]["metrics"]
        assert row["accuracy"] == ("" if metrics.get("accuracy") is None else repr(metrics["accuracy"]))
        assert float(row["seconds"]) == 1.5
    assert {row["label"] for row in rows} == {"unperturbed", "repeat", "'+3", "'+5"}
    shown = re.findall(r'data-value="([^"]*)"', target.read_text("utf-8"))
    measured = [run["metrics"]["test_loss"] for run in runs.values() if "test_loss" in run["metrics"]]
    assert {repr(value) for value in measured} <= set(shown)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_a_spreadsheet_would_run_is_made_text(begin):
    (row,) = csv.reader(io.StringIO(csv_text(Sheet("s", [begin + "SUM(A1)"], [])), newline=""))
    assert row == ["'" + begin + "SUM(A1)"]


def test_numbers_keep_their_sign_and_text_its_commas_in_csv():
    sheet = Sheet("s", ["a", "b"], [[-1e-300, 'x,"y"\r\n=1'], [None, "-"], [0.1 + 0.2, "2-1"]])
    rows = list(csv.reader(io.StringIO(csv_text(sheet), newline="")))
    assert rows == [["a", "b"], ["-1e-300", 'x,"y"\r\n=1'], ["", "'-"], ["0.30000000000000004", "2-1"]]


def test_the_same_study_gives_the_same_bytes_at_the_same_time(make_study, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225599")
    study = make_study()
    first = render_report(study).read_bytes()
    assert render_report(study, tmp_path / "other.html").read_bytes() == first


def test_the_report_lies_in_the_folder_unless_a_file_is_named(make_study, tmp_path):
    study = make_study()
    assert render_report(study) == study / "report.html"
    target = tmp_path / "elsewhere.html"
    assert render_report(study, target) == target
    assert target.exists()
    assert not list(study.glob(".report*")), "a temporary file was left behind"


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"repeats_match": False}, "not_reproducible", "First differs at step 1"),
        ({"landed": False}, "not_landed", "landed in 0% of 6 runs"),
        ({"crashed": {(s, p) for s in range(3) for p in range(3)}, "message": "boom"}, "no_runs", "crashed: boom"),
        ({"crashed": {(s, p) for s in range(3) for p in (1, 2)}}, "no_runs", "every perturbed run crashed"),
    ],
)
def test_failed_controls_show_no_spread_anywhere(make_study, parse, changes, kind, says):
    study = make_study(**changes)
    result = result_of(study)
    assert result["verdict_kind"] == kind
    target = render_report(study)
    page = parse(target)
    assert says in page.text
    assert result["advice"] in page.text
    for forbidden in ("σ", "share of variance", "95% interval", "churn", "Smallest difference", "Planning"):
        assert forbidden not in page.text
    assert not page.figures
    assert target.stat().st_size < 200_000, "a page without figures carries no plotting library"
    assert "Controls" in page.headings
    assert "Runs" in page.headings
    assert "Environment" in page.headings
    assert ("section", "class", "verdict failure") in page.attributes


def test_a_spread_in_a_failed_result_is_not_shown_either(make_study, parse):
    def smuggle(result):
        result["sigma_last_bit"] = {"estimate": 0.123456, "low": 0.1, "high": 0.2, "n": 9, "df": 6.0, "note": ""}

    page = parse(render_report(make_study(repeats_match=False, edit=smuggle)))
    assert "0.12" not in page.text.split("Runs")[0]


def test_one_seed_leaves_the_spread_over_seeds_not_measured(make_study, parse):
    page = parse(render_report(make_study(seeds=1)))
    assert "σ seeds not measured" in page.text
    assert "σ last bit" in page.text
    assert "Planning a comparison" not in page.headings
    assert "between seeds" not in page.text


def test_one_perturbation_leaves_the_last_bit_not_measured(make_study, parse):
    page = parse(render_report(make_study(perturbations=1)))
    assert "σ last bit not measured" in page.text
    assert "When the last bit starts to matter" not in page.headings


def test_one_run_is_enough_for_a_page(make_study, parse):
    page = parse(render_report(make_study(seeds=1, perturbations=1)))
    assert "not measured" in page.text
    assert "Every run: final accuracy" in page.headings


def test_a_task_without_classes_has_no_churn(make_study, parse):
    page = parse(render_report(make_study(classes=False)))
    assert "churn" not in page.figures
    assert "the task has no classes to disagree on" in page.text


def test_runs_that_failed_are_listed_and_the_others_drawn(make_study, parse):
    study = make_study(
        seeds=4,
        perturbations=4,
        diverged={(1, 2)},
        crashed={(2, 1)},
        message="went astray",
        event="first attempt failed",
    )
    page = parse(render_report(study))
    assert "seed001-p002 (k = 5) diverged: went astray" in page.text
    assert "seed002-p001 (k = 3) crashed: went astray" in page.text
    assert "first attempt failed" in page.text
    assert page.headings[-1] == "Events"
    hovers = json.dumps(page.figures["twins"])
    assert "seed000-p001" in hovers
    assert "seed002-p001" not in hovers


def test_missing_and_damaged_arrays_are_named_and_lose_nothing_else(make_study, parse):
    study = make_study()
    (study / "arrays" / "seed000-p001.npz").unlink()
    (study / "arrays" / "seed001-p002.npz").write_bytes(b"PK no archive")
    (study / "arrays" / "seed002-p000.npz").write_bytes(b"")
    page = parse(render_report(study))
    assert "The arrays of 3 runs are missing or damaged" in page.text
    assert "seed000-p001" in page.text
    assert "twins" in page.figures


def test_another_kind_of_study_is_refused(make_study):
    study = make_study()
    facts = json.loads((study / "study.json").read_text("utf-8"))
    (study / "study.json").write_text(json.dumps(facts | {"kind": "elsewhere"}), "utf-8")
    with pytest.raises(LastbitError, match="unknown kind of study 'elsewhere': choose one of audit"):
        render_report(study)


def test_a_result_that_lacks_a_part_is_refused_by_name(make_study):
    study = make_study(edit=lambda result: result.pop("metric"))
    with pytest.raises(LastbitError, match="metric: field required"):
        render_report(study)


def test_no_study_and_unwritable_targets_are_refused_in_one_line(make_study, tmp_path):
    with pytest.raises(LastbitError, match="there is no study at"):
        render_report(tmp_path / "nowhere")
    study = make_study()
    with pytest.raises(LastbitError, match="is a folder: name the file"):
        render_report(study, tmp_path)
    with pytest.raises(LastbitError, match=r"cannot write the report to .*missing"):
        render_report(study, tmp_path / "missing" / "report.html")


def test_a_report_that_fails_leaves_the_last_one(make_study):
    study = make_study()
    before = render_report(study).read_bytes()
    result = result_of(study)
    del result["churn_seed"]
    with StudyFolder.resume(study) as folder:
        folder.save_result(result)
    with pytest.raises(LastbitError, match="churn_seed"):
        render_report(study)
    assert (study / "report.html").read_bytes() == before


def test_importing_the_room_imports_no_drawing_library():
    code = "import sys, lastbit.report; print([m for m in ('plotly', 'jinja2', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
