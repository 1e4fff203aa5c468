"""The page in a real browser: every figure is drawn, nothing is written to the console, nothing hostile runs."""

import csv
import io
import json
import re
from urllib.parse import unquote

import pytest
from browser import browse, needs_browser, root
from drawn import render_report

pytestmark = needs_browser


def drawn(document: str) -> int:
    return len(re.findall(r'<svg class="main-svg"[^>]*>\s*<defs[^>]*id="defs-', document))


def test_a_browser_draws_every_figure_of_a_hostile_study_and_runs_none_of_its_text(make_study, hostile, tmp_path):
    study = make_study(name=hostile, label="{}" + hostile, message=hostile, diverged={(0, 1)}, event=hostile)
    document, console = browse(render_report(study), tmp_path / "profile")
    assert console == ""
    facts = root(document)
    assert facts["drawn"] == "6"
    assert drawn(document) == 6
    assert "pwned" not in facts
    assert facts["requests"] == "0"
    assert int(facts["overflow"]) <= 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 600, 700, 1400])
def test_no_width_needs_horizontal_scrolling(make_study, tmp_path, width):
    study = make_study(seeds=6, perturbations=5, crashed={(1, 1)}, message="x" * 200, command="lastbit " + "y" * 300)
    document, console = browse(render_report(study), tmp_path / "profile", width)
    assert console == ""
    facts = root(document)
    assert int(facts["overflow"]) <= 0
    assert facts["wide"] == "", "these reach beyond the page"


@pytest.mark.slow
def test_a_page_without_figures_works_too(make_study, tmp_path):
    document, console = browse(render_report(make_study(repeats_match=False)), tmp_path / "profile")
    assert console == ""
    assert drawn(document) == 0
    assert int(root(document)["overflow"]) <= 0


@pytest.mark.slow
def test_a_browser_that_cannot_unpack_the_figures_says_so(make_study, tmp_path):
    target = render_report(make_study())
    text = target.read_text("utf-8").replace("<head>", "<head><script>delete window.DecompressionStream</script>", 1)
    target.write_text(text, "utf-8")
    document, console = browse(target, tmp_path / "profile", script=None)
    assert console == ""
    assert re.search(r'<p class="lead" id="undrawn">This browser is too old', document)
    assert drawn(document) == 0


CLICKS = """
  const heading = [...document.querySelectorAll("table.sortable th")].find((e) => e.textContent.startsWith("%s"));
  const order = () => [...heading.closest("table").tBodies[0].rows].map((row) => row.cells[0].textContent);
  const seen = [[heading.getAttribute("aria-sort"), order()]];
  for (let click = 0; click < 2; click++) {
    heading.firstChild.click();
    seen.push([heading.getAttribute("aria-sort"), order()]);
  }
  let saved = null, link = null;
  URL.createObjectURL = (blob) => { saved = blob; return "blob:none"; };
  HTMLAnchorElement.prototype.click = function () { link = this.download; };
  document.querySelector(".save").click();
  const csv = new TextDecoder("utf-8", { ignoreBOM: true }).decode(await saved.arrayBuffer());
  const focusable = heading.firstChild.tabIndex;
  root.dataset.seen = encodeURIComponent(JSON.stringify({ seen, link, focusable, csv }));
"""


@pytest.mark.slow
def test_the_runs_are_sorted_by_the_numbers_behind_them_and_saved_as_csv(make_study, tmp_path):
    study = make_study(seeds=3, perturbations=3, crashed={(1, 2)}, label="=cmd|'{}", message="@SUM(A1)")
    document, console = browse(render_report(study), tmp_path / "profile", script=CLICKS % "test loss")
    assert console == ""
    facts = json.loads(unquote(root(document)["seen"]))
    runs = {run["run"]: run for run in json.loads((study / "result.json").read_text("utf-8"))["runs"]}
    known = {name: run["metrics"].get("test_loss") for name, run in runs.items()}
    (before, shown), (up, rising), (down, falling) = facts["seen"]
    assert (before, up, down) == ("none", "ascending", "descending")
    assert facts["focusable"] == 0
    assert sorted(shown) == sorted(rising) == sorted(falling) == sorted(runs)
    for order, sign in ((rising, 1), (falling, -1)):
        values = [known[name] for name in order]
        assert values[-1] is None, "a run that has none comes last either way"
        assert values[:-1] == sorted(values[:-1], key=lambda value, sign=sign: sign * value)
    assert facts["link"] == "runs.csv"
    assert facts["csv"].startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(facts["csv"].removeprefix("\ufeff"), newline="")))
    assert [row["run"] for row in rows] == list(runs)
    for row in rows:
        value = known[row["run"]]
        assert row["test_loss"] == ("" if value is None else repr(value)), "with every digit"
    assert {row["label"] for row in rows if row["role"] == "twin"} == {"'=cmd|'3", "'=cmd|'5"}
    assert "'@SUM(A1)" in {row["message"] for row in rows}
