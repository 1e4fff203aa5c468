"""The page of a trace: what it says, what it draws, that it opens fast and runs nothing of what a study says."""

import csv
import io
import json
import re
from urllib.parse import unquote

import numpy as np
import pytest
from browser import browse, needs_browser, root
from drawn import figure_blocks, unnamed
from small_traces import write_trace

from lastbit import open_study
from lastbit.report.figures.maps import MAX_COLUMNS, difference_map, spaced
from lastbit.studies.frame.page import points_of_each
from lastbit.studies.trace.figures import POINTS


def report(path):
    return open_study(path).report()


@pytest.fixture
def make_trace(tmp_path):
    """Write a trace's folder without training anything."""
    return lambda **more: write_trace(tmp_path / f"trace-{len(list(tmp_path.iterdir()))}", **more)


def test_the_page_says_the_verdict_first_and_every_part_in_order(make_trace, parse):
    study = make_trace()
    result = json.loads((study / "result.json").read_text("utf-8"))
    assert result["verdict_kind"] == "restrained"
    page = parse(report(study))
    assert page.headings == [
        "The numbers",
        "How to read this",
        "Controls",
        "How the last bit grew",
        "Growth episodes",
        "Most amplifying tensors",
        "Which tensors, and when",
        "Where along the network it started",
        "Filters of conv.weight",
        "What it does to loss and predictions",
        "The horizon of the last bit",
        "Over how much of the network it is spread",
        "Tensors",
        "Where the time went",
        "The exact command to repeat it",
        "Task",
        "Environment",
    ]
    verdict = result["verdict"][:1].upper() + result["verdict"][1:]
    assert page.text.index(verdict) < page.text.index("The numbers")
    assert set(page.figures) == {"difference", "map", "origin", "filters", "effect"}
    assert "passed: largest difference 0" in page.text
    assert f"{result['growth_rate_per_step']:.3g}" in page.text
    assert ("section", "class", "verdict attention") in page.attributes


def test_a_sweep_shows_its_members_side_by_side(make_trace, parse):
    page = parse(report(make_trace(lrs=(0.3, 0.1))))
    assert "The sweep" in page.headings
    assert "sweep" in page.figures
    assert "lr0.1-float32" in page.text


def test_each_training_of_a_sweep_has_sections_to_choose_from(make_trace, parse):
    study = make_trace(lrs=(0.3, 0.1, 0.05))
    text = report(study).read_text("utf-8")
    page = parse(study / "report.html")
    names = ["lr0.3-float32", "lr0.1-float32", "lr0.05-float32"]
    assert re.findall(r'<option value="([^"]*)"', text) == [*names, ""]
    sections = re.findall(r'<section data-training="([^"]*)">\s*<h2>([^<]*) <', text)
    titles = {name: [title for mine, title in sections if mine == name] for name in names}
    assert titles[names[0]][:2] == ["The numbers", "Controls"]
    assert {"map", "map-2", "map-3", "sweep"} <= set(page.figures)
    places = re.findall(r' id="([^"]*)"', text)
    assert len(set(places)) == len(places), "no name twice"
    # Without scripts nothing is hidden but what only a script can work.
    hidden = re.findall(r'<(\w+ (?:[\w-]+="[^"]*" ?)*)hidden', text)
    assert {words.split('"')[1] if "class" in words else words for words in hidden} == {"chooser", "lead", "button"}
    members = open_study(study).result.members
    for member in members:
        assert f"{member.growth_rate_per_step:.3g}" in page.text
    (sheet,) = [json.loads(body) for a, body in page.scripts if "data-sheet" in a]
    rates = [row["growth_rate_per_step"] for row in csv.DictReader(io.StringIO(sheet, newline=""))]
    assert rates == [repr(member.growth_rate_per_step) for member in members]


def test_everything_drawn_is_named_by_a_legend(make_trace):
    for lrs in ((0.3,), (0.3, 0.1)):
        assert unnamed(open_study(make_trace(lrs=lrs)).page) == []


@pytest.mark.slow
def test_a_page_does_not_grow_with_the_trainings_of_a_sweep(make_trace):
    names = tuple(f"layer.{i}.weight" for i in range(6))
    sizes = []
    for count in (3, 7):
        study = make_trace(lrs=tuple(0.3 / (i + 1) for i in range(count)), steps=np.arange(0, 1001), names=names)
        page = open_study(study).page
        lines = [trace for block in figure_blocks(page) for trace in block.figure.data if trace.type == "scatter"]
        assert max(len(trace.y) for trace in lines) <= points_of_each(count, POINTS) + 1
        sizes.append(report(study).stat().st_size)
    assert max(sizes) < 1.5e6
    assert sizes[1] < 1.5 * sizes[0]


def test_the_short_form_of_a_sweep_holds_the_first_training_alone(make_trace):
    page = open_study(make_trace(lrs=(0.3, 0.1))).page
    assert {section.training for section in page.sections if section.brief} == {"", "lr0.3-float32"}


CHOICE = """
  const choice = document.querySelector(".chooser select");
  const names = () => [...document.querySelectorAll("section[data-training]")].flatMap((e) => (
    e.hidden ? [] : [e.dataset.training]
  ));
  const seen = [];
  for (const value of [choice.value, choice.options[1].value, ""]) {
    choice.value = value;
    choice.dispatchEvent(new Event("change"));
    await settled();
    seen.push([value, [...new Set(names())], document.querySelectorAll(".js-plotly-plot").length]);
  }
  const plots = [...document.querySelectorAll(".js-plotly-plot")];
  const narrow = plots.filter((e) => Math.abs(e.offsetWidth - e.querySelector("svg").clientWidth) > 2).length;
  const state = { seen, narrow, shown: !document.querySelector(".chooser").hidden, tab: choice.tabIndex };
  root.dataset.seen = encodeURIComponent(JSON.stringify(state));
"""


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [390, 1200])
def test_one_training_is_shown_at_a_time_or_all(make_trace, hostile, tmp_path, width):
    target = report(make_trace(lrs=(0.3, 0.1, 0.05), name=hostile))
    document, console = browse(target, tmp_path / "profile", width, CHOICE)
    assert console == ""
    facts = root(document)
    state = json.loads(unquote(facts["seen"]))
    names = ["lr0.3-float32", "lr0.1-float32", "lr0.05-float32"]
    assert state["seen"] == [[names[0], names[:1], 6], [names[1], names[1:2], 11], ["", names, 16]]
    assert (state["narrow"], state["shown"], state["tab"]) == (0, True, 0)
    assert (int(facts["overflow"]), facts["wide"]) == (0, "")


def test_failed_controls_show_no_growth(make_trace, parse):
    target = report(make_trace(repeat_matches=False))
    page = parse(target)
    assert "Not reproducible here" in page.text
    assert "FAILED" in page.text
    assert "step 5" in page.text
    assert not page.figures
    for forbidden in ("decades", "Growth rate", "nats"):
        assert forbidden not in page.text


def test_a_network_without_convolutions_or_classes_has_no_filters_and_no_churn(make_trace, parse):
    page = parse(report(make_trace(classes=False)))
    assert "filters" not in page.figures
    assert not any(heading.startswith("Filters") for heading in page.headings)
    assert '"y2"' not in json.dumps(page.figures["effect"])


def test_spacing_keeps_the_ends_and_no_two_closer_than_a_column():
    steps = np.unique(np.concatenate([np.arange(64), np.geomspace(64, 10_000, 400).astype(int)]))
    kept = spaced(steps, 100)
    assert len(kept) <= 101
    assert (kept[0], kept[-1]) == (0, len(steps) - 1)
    assert np.diff(steps[kept])[:-1].min() >= 100
    assert spaced(steps, 10_000).tolist() == list(range(len(steps)))


def test_the_map_shows_the_logarithm_of_what_was_measured():
    steps, relative = np.array([0, 1, 2]), np.array([[0, 1e-8], [1e-6, 1e-4], [1e-3, np.nan]])
    figure = difference_map(steps, relative, ["first", "second"], edges=[1])
    np.testing.assert_allclose(figure.data[0].z, [[np.nan, -6, -3], [-8, -4, np.nan]])
    assert list(figure.layout.yaxis.ticktext) == ["first", "second"]
    assert figure.layout.yaxis.autorange == "reversed"


def test_long_names_leave_a_narrow_map_room_and_stay_apart():
    names = [f"transformer.h.{layer}.attention.c_projection.weight" for layer in range(12)]
    axis = difference_map(np.arange(3), np.full((3, 12), 1e-3), names).layout.yaxis
    assert len(set(axis.ticktext)) == 12
    assert max(map(len, axis.ticktext)) <= 28
    assert axis.labelalias["3"] == names[3]  # the hover has the whole name


def test_a_map_of_many_steps_is_thinned(make_trace):
    figure = difference_map(np.arange(10_001), np.full((10_001, 60), 1e-3), [f"t{i}" for i in range(60)])
    assert figure.data[0].z.shape[1] <= MAX_COLUMNS + 1


@pytest.mark.slow
@needs_browser
def test_a_browser_draws_a_hostile_trace_and_runs_none_of_its_text(make_trace, hostile, tmp_path):
    study = make_trace(names=(f"conv{hostile}", f"head{hostile}", "bias"), name=hostile, lrs=(0.3, 0.1))
    document, console = browse(report(study), tmp_path / "profile")
    assert console == ""
    facts = root(document)
    assert facts["drawn"] == "6"
    assert "pwned" not in facts


@pytest.mark.slow
@needs_browser
def test_ten_thousand_steps_of_sixty_tensors_are_no_more_to_draw_than_a_page_holds(make_trace, tmp_path):
    # Every step recorded, twenty times more than a study keeps. How long it takes to open is in bench/pages.py.
    study = make_trace(steps=np.arange(0, 10_001), names=tuple(f"layer.{i}.weight" for i in range(60)))
    drawn = [trace for block in figure_blocks(open_study(study).page) for trace in block.figure.data]
    assert max(len(trace.x) for trace in drawn if trace.type == "scatter") <= POINTS + 1
    assert max(trace.z.shape[1] for trace in drawn if trace.type == "heatmap") <= MAX_COLUMNS + 1
    page = report(study)
    assert page.stat().st_size < 1.5e6
    document, console = browse(page, tmp_path / "profile", script=None)
    assert 'data-drawn="5"' in document
    assert console == ""
