"""What an audit says is composed once: terminal, Markdown and HTML say the same, and no number of before is lost."""

import html
import json
import re
import shutil
from pathlib import Path

import pytest

import lastbit as lb
from lastbit.report.text import render_text

STORED = Path(__file__).parents[2] / "data" / "studies-format-1"

RELABELLED = {
    "σ seeds (last bit taken off)": "σ seeds (last bit removed)",
    "last-bit share of its variance": "test loss: last-bit share",
    "σ on another test set": "σ on another test set, fresh run",
    "σ of this test set's sampling": "σ of test-set sampling, fresh run",
}
"""Rows of before that have the label of the HTML report now."""

ROUNDED = {
    "55.92% – 106.9%": "55.92% – 100%",
    "0.0 – 90.6": "0.0 – 50.0",
    "1.4 – 90.6": "1.4 – 50.0",
    "0.9 – 90.6": "0.9 – 50.0",
    "0 – 100": "0.015% – 100%",
    "0.0 – 98.6": "0.011% – 99%",
    "0.00 – 15.66": "0.00055% – 16%",
}
"""Intervals of shares: a part is never shown as nothing, and has the digits of every other share. Those of a percentage
end at 100, and of its SD at 50."""

NOW = """\
How far two single runs differ in accuracy by noise is not known (too few seeds to tell: the spread may be 31
times as large), and the last floating-point bit alone accounts for 11% of the variance (95% interval 0.015%
to 100%).
Fixing the seed removes only the rest: average over several runs before you believe a difference. Few seeds
(2): read the intervals, not the estimates.

Exact repeats: passed: 2 of 2 match bit for bit
Perturbation (rescale): landed in 100% of 2 runs
Weights changed after the first step: 16%
Weights changed after the last step: 100%

quantity                                       estimate      95% interval   n   note
"""
"""How the terminal begins."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return lb.open_study(shutil.copytree(STORED / "audit", tmp_path_factory.mktemp("audit") / "audit"))


@pytest.fixture(scope="module")
def before():
    """The lines that lastbit 0.1 printed of the same study."""
    return json.loads((STORED / "audit.json").read_text("utf-8"))["summary"]


def cells(line):
    return [part for part in re.split(r"\s{2,}", line.strip()) if part]


def test_the_terminal_begins_with_the_answer_and_the_controls(study):
    said = study.summary()
    assert [line.rstrip() for line in said.splitlines()[:11]] == NOW.splitlines()[:11]
    assert cells(said.splitlines()[11]) == cells(NOW.splitlines()[11])


def test_the_terminal_tells_every_row_that_it_told(study, before):
    now = [cells(line) for line in render_text(study.page, 200).splitlines()]
    table = [cells(line) for line in before if re.match(r"(accuracy, mean|σ|last-bit|churn|test loss|weight)", line)]
    assert len(table) == 13
    for label, *values in table:
        numbers = [ROUNDED.get(value, value) for value in values if not value[0].isalpha()]
        wanted = [RELABELLED.get(label, label), *numbers]
        assert any(row[: len(wanted)] == wanted for row in now), wanted


def test_two_seeds_plan_nothing(study):
    said = " ".join(study.summary().split())
    assert "Not measured: too few seeds to tell: the spread may be 31 times as large." in said
    assert "seeds each" not in said


def test_page_and_markdown_say_what_the_terminal_says(study, tmp_path):
    page = html.unescape(study.report(tmp_path / "page.html").read_text("utf-8"))
    markdown = re.sub(r"\\(.)", r"\1", study.markdown())
    # Columns are apart by two spaces at least; a note may go on in the next line.
    for line in study.summary().splitlines()[5:]:
        for part in cells(line):
            if not part.startswith("─") and len(part) < 30:
                assert part.partition(": ")[0] in page, part
                assert part in markdown, part
    assert study.verdict[1:] in markdown
    assert study.verdict[1:] in page
