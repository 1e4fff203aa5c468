"""A study is untrusted text: nothing in it may become markup, script, or a link, in the page or in its figures."""

import json
import re

import pytest
from drawn import render_report
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.report.figures.style import literal, plain
from lastbit.report.html import embedded_json


def test_hostile_names_appear_as_text_and_nowhere_as_markup(make_study, parse, hostile):
    study = make_study(
        name=hostile,
        metric="m" + hostile,
        label="{}" + hostile,
        message=hostile,
        command=hostile,
        event=hostile,
        diverged={(0, 1)},
        seeds=2,
    )
    target = render_report(study)
    calm = parse(render_report(make_study(seeds=2, diverged={(0, 1)}, event="x")))
    page = parse(target)
    assert page.tags == calm.tags, "a hostile study has exactly the elements of a calm one"
    assert [name for _, name, _ in page.attributes] == [name for _, name, _ in calm.attributes]
    whole = re.sub(r"\s+", " ", hostile)
    assert page.text.count(whole) >= 6, "the text itself is shown, unharmed"
    assert "49" not in page.text.split("Audit of")[1][:300], "nothing is evaluated as a template"
    assert set(page.figures) == set(calm.figures)


def test_labels_in_figures_are_escaped_for_plotly_which_reads_tags(make_study, parse):
    study = make_study(label='{}<a href="javascript:alert(1)">', metric="<b>%{x}")
    figures = json.dumps(parse(render_report(study)).figures)
    assert "&lt;a href=" in figures
    assert "<a" not in figures
    assert "<b>%{x}" not in figures


@settings(deadline=None, max_examples=100)
@given(st.text())
def test_json_in_a_script_keeps_its_meaning_and_holds_no_markup(text):
    embedded = str(embedded_json({"data": [{"name": text}], "layout": {}}))
    assert not set("<>&\u2028\u2029") & set(embedded)
    assert json.loads(embedded)["data"][0]["name"] == text


@settings(deadline=None, max_examples=100)
@given(st.text())
def test_escaped_labels_open_no_tag_and_name_no_variable(text):
    assert "<" not in plain(text)
    assert "%{" not in literal(text)


@pytest.mark.parametrize("character", list("<>&"))
def test_the_characters_that_matter_really_are_written_as_escapes(character):
    assert f"\\u{ord(character):04x}" in embedded_json({"data": [], "layout": {"title": {"text": character}}})
