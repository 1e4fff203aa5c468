"""What a notebook shows: text that is returned, and fragments of HTML that obey nothing in a study."""

import shutil
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import lastbit as lb
from lastbit.report.blocks import Card, Cards, Code, Facts, Page, Prose, Row, Section, Table, columns
from lastbit.report.notebook import render_fragment

STORED = Path(__file__).parents[1] / "data" / "studies-format-1"
HOSTILE = '<script>alert(1)</script> & "quoted" \x1b[31m\u202e'
SHOWN = '<script>alert(1)</script> & "quoted" \\x1b[31m\\u202e'
VOID = {"img"}


class Reader(HTMLParser):
    """Checks that every element is closed, and keeps tags and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.images = [], set(), set(), [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag in VOID:
            self.images.append(dict(attrs))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(shown):
    """The words of a fragment, which asks for nothing and runs nothing."""
    found = Reader(shown)
    assert found.tags <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "pre", "img"}
    assert found.attributes <= {"style", "src", "alt"}
    for image in found.images:
        kind, _, content = image["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert b64decode(content, validate=True)[:4] == b"\x89PNG"
    assert "url(" not in shown
    return " ".join("".join(found.text).split())


def test_nothing_on_a_page_is_taken_for_markup():
    table = Table(columns([HOSTILE], [HOSTILE], HOSTILE), [Row([HOSTILE] * 3)] * 3, caption=HOSTILE, fold=2)
    blocks = [table, Cards([Card(*[HOSTILE] * 5)]), Facts([(HOSTILE, HOSTILE)]), Prose([HOSTILE]), Code(HOSTILE)]
    blocks.append(Prose([HOSTILE], bullets=True))
    words = dict.fromkeys(("title", "subtitle", "badge", "verdict", "advice"), HOSTILE)
    page = Page(**words, tone="pass", sections=[Section(HOSTILE, blocks, brief=True), Section("long", [Prose(["no"])])])
    text = read(render_fragment(page))
    # Five of the page, the section's title, 3 + 2 x 3 cells and a caption, a card of 5, and 5 in the other blocks.
    assert text.count(SHOWN) == 5 + 1 + 3 + 6 + 1 + 5 + 5
    assert "and 1 more rows" in text
    assert "long" not in text


@pytest.fixture(params=["audit", "audit-unfinished", "trace", "eos", "monitor", "sharpness"])
def study(request, tmp_path):
    shutil.copytree(STORED / request.param, tmp_path / request.param)
    return lb.open_study(tmp_path / request.param)


@pytest.fixture
def in_jupyter(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)


def test_a_study_is_told_in_a_notebook_as_elsewhere(study, in_jupyter, capsys):
    text = study.summary()
    assert study.verdict[1:] in " ".join(text.split())
    assert capsys.readouterr().out == ""
    study.print_summary()
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == text.splitlines()


def test_a_study_and_its_result_show_themselves(study):
    for one in (study, study.result):
        shown = one._repr_html_()
        images = Reader(shown).images
        assert len(shown) - sum(len(image["src"]) for image in images) < 40_000
        assert sum(len(image["src"]) for image in images) < 80_000
        assert study.verdict[1:] in read(shown)
        # A result has no arrays to draw, nor has a study without a figure.
        assert len(images) == (one is study and bool(study.figures))


def test_the_image_is_that_of_the_main_figure_and_says_what_it_shows(study):
    for image in Reader(study._repr_html_()).images:
        name, (_, main) = next(iter(study.page.figures.items()))
        assert (study.figures[0], image["alt"]) == (name, main.describe)


def test_a_result_shows_its_estimates(study):
    text = read(study.result._repr_html_())
    if study.kind.name == "audit":
        assert "last_bit_variance_share" in text
    assert study.result.command in text
    told = replace(study.result, verdict=HOSTILE, command=HOSTILE)
    assert read(told._repr_html_()).count(SHOWN) == 2


def test_an_answer_of_pde_is_told_and_shown(in_jupyter):
    found = lb.pde_stability("heat", dx=0.5)
    assert found.verdict in " ".join(found.summary().split())
    text = read(found._repr_html_())
    assert found.verdict in text
    assert "max stable dt" in text
    assert len(Reader(found._repr_html_()).images) == 1
    assert "| max stable dt |" in found.markdown()


def test_a_monitor_shows_its_last_measurements():
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = (torch.ones(8, 2), torch.ones(8, 1))
    monitor = lb.StabilityMonitor(model, optimizer, torch.nn.functional.mse_loss, batch)
    assert "Nothing is measured yet" in read(monitor._repr_html_())
    for step in range(14):
        monitor.count = step
        monitor.measure()
    text = read(monitor._repr_html_())
    # H = 2 mean(x x^T) for the weights and the bias, of ones: the eigenvalue is 2 x 3, the limit 2 / 0.1.
    assert "At step 13 the learning rate is 0.3 times the largest stable one." in text
    assert "2 earlier" in text
    with torch.no_grad():
        model.weight.fill_(float("nan"))
    monitor.measure()
    assert "not finite" in read(monitor._repr_html_())
