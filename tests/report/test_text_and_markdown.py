"""The short form of a page: what it shows, in which order, and that a name cannot do harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from lastbit.core.terminal import visible
from lastbit.report.blocks import (
    Card,
    Cards,
    Code,
    Column,
    Facts,
    FigureBlock,
    Page,
    Prose,
    Row,
    Section,
    Table,
)
from lastbit.report.markdown import render_markdown
from lastbit.report.text import brief, render_text

FIGURE = FigureBlock(name="f", figure=None, height=1, describe="a figure", caption="its caption")
TABLE = Table(
    (Column("layer"), Column("ratio", True)), [Row(("first", "0.5")), Row(("second", "12.5"))], caption="At the end."
)
CARDS = Cards([Card(title="σ last bit", value="0.29 points", samples="n = 36"), Card(title="Share", value="50%")])


def page(*sections, tone="attention", **changes):
    given = {
        "title": "Audit of digits",
        "subtitle": "2 seeds",
        "badge": "Part",
        "verdict": "So it is.",
        "advice": "Do.",
    }
    return Page(tone=tone, sections=sections, **(given | changes))


PAGE = page(
    Section("Controls", [Facts([("Exact repeats", "passed"), ("Landed", "100%")])], "Before any spread.", brief=True),
    Section("Runs", [Prose(["a run by name"])]),
    Section("Numbers", [CARDS, FIGURE, TABLE], brief=True),
    Section("Figures alone", [FIGURE], brief=True),
    Section("To read", [Prose(["first", "second"], bullets=True), Prose(["plain"]), Code("a\n  b")], brief=True),
)


def test_the_text_shows_the_verdict_the_advice_and_the_brief_sections_in_order():
    assert render_text(PAGE) == (
        "So it is.\nDo.\n"
        "\nExact repeats: passed\nLanded: 100%\n"
        "\n                   value   samples\n"
        "──────────────────────────────────\n"
        "σ last bit   0.29 points   n = 36\n"
        "Share                50%\n"
        "\nlayer    ratio\n──────────────\nfirst      0.5\nsecond    12.5\nAt the end.\n"
        "\n- first\n- second\n\nplain\n\n  a\n    b"
    )


def test_markdown_shows_the_same_with_titles():
    assert render_markdown(PAGE) == (
        "# Audit of digits\n\n**So it is.**\n\nDo.\n\n"
        "## Controls\n\nBefore any spread.\n\n- Exact repeats: passed\n- Landed: 100%\n\n"
        "## Numbers\n\n|  | value | samples |\n| --- | ---: | --- |\n| σ last bit | 0.29 points | n = 36 |\n"
        "| Share | 50% |  |\n\n| layer | ratio |\n| --- | ---: |\n| first | 0.5 |\n| second | 12.5 |\n\nAt the end.\n\n"
        "## To read\n\n- first\n- second\n\nplain\n\n```\na\n  b\n```\n"
    )


@given(st.lists(st.integers(1, 24), min_size=1, max_size=6), st.integers(50, 120), st.integers(1, 9))
def test_text_gives_way_before_a_table_is_drawn_in_several(widths, columns, words):
    numbers, said = ["9" * width for width in widths], " ".join(["calms"] * words)
    heads = [Column("it"), Column("is"), *(Column(f"n{place}", True) for place in range(len(widths)))]
    table = Table(heads, [Row(("first", said, *numbers))])
    found = render_text(page(Section("S", [table], brief=True)), columns)
    assert all(len(line) <= columns for line in found.splitlines())
    assert [word for word in found.split() if word.strip("9") == ""] == numbers
    assert found.split().count("calms") == words


@given(st.lists(st.integers(1, 24), min_size=1, max_size=9), st.integers(50, 120))
def test_a_table_that_is_too_wide_is_drawn_in_several_and_no_number_is_cut(widths, columns):
    numbers = ["9" * width for width in widths]
    heads = [Column("it"), *(Column(f"n{place}", True) for place in range(len(widths)))]
    found = render_text(page(Section("S", [Table(heads, [Row(("first", *numbers))])], brief=True)), columns)
    drawn = found.split("\n\n")[1:]
    assert all(len(line) <= columns for line in found.splitlines())
    assert [word for part in drawn for word in part.splitlines()[-1].split()[1:]] == numbers
    assert [word for part in drawn for word in part.splitlines()[0].split()[1:]] == [head.title for head in heads[1:]]
    assert all(part.startswith("it") and part.splitlines()[-1].startswith("first") for part in drawn)
    # None is drawn that would fit beside the one before.
    assert len(drawn) == 1 or 3 + len("first") + sum(3 + width for width in widths) > columns


@pytest.mark.parametrize(("tone", "red"), [("failure", True), ("attention", False), ("pass", False)])
def test_a_failure_is_red(tone, red):
    console = Console(force_terminal=True, color_system="standard", legacy_windows=False, highlight=False)
    with console.capture() as captured:
        console.print(brief(page(tone=tone)))
    assert ("\x1b[1;31m" in captured.get()) == red
    assert ("\x1b[1m" in captured.get()) == (not red)


def test_long_tables_are_cut_and_say_so():
    table = Table((Column("n", True),), [Row((str(i),)) for i in range(30)], fold=10)
    shown = page(Section("Many", [table], brief=True))
    for text in (render_text(shown), render_markdown(shown)):
        assert "and 20 more rows in the report" in text
        assert "9" in text
        assert "10" not in text


def test_no_line_is_wider_than_asked_and_no_digit_is_lost():
    table = Table((Column("name"), Column("value", True)), [Row(("a long name " * 9, "123456789"))])
    shown = page(Section("Wide", [table, Prose(["word " * 40])], brief=True))
    lines = render_text(shown, 40).splitlines()
    assert max(map(len, lines)) <= 40
    assert any("123456789" in line for line in lines)


HOSTILE = "[red]x[/red] :smile: \x1b[31m\x07\u202e\r\n| `<b>` *a* _b_ [c](d) # ~e~ $f$ &lt;"


def everywhere(text):
    return page(
        Section(
            text,
            [
                Facts([(text, text)]),
                Prose([text]),
                Prose([text], bullets=True),
                Code(text),
                Cards([Card(title=text, value=text)]),
                Table((Column(text),), [Row((text,))], caption=text),
            ],
            lead=text,
            brief=True,
        ),
        title=text,
        verdict=text,
        advice=text,
    )


def test_names_are_shown_in_a_terminal_and_never_interpreted():
    text = render_text(everywhere(HOSTILE), 400)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x07" not in text
    assert text.count("[red]x[/red] :smile: \\x1b[31m\\x07\\u202e\\r") == 12


def test_names_are_shown_in_markdown_and_never_interpreted():
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(render_markdown(everywhere(HOSTILE)))
    inline = [token for token in tokens if token.type == "inline"]
    plain = visible(HOSTILE)
    assert [token.content for token in inline].count("value") == 1
    for token in inline:
        kinds = {child.type for child in token.children}
        assert kinds <= {"text", "text_special", "strong_open", "strong_close"}, kinds
        assert "".join(child.content for child in token.children) in (plain, f"{plain}: {plain}", "value", "")
    [fence] = [token for token in tokens if token.type == "fence"]
    assert fence.content == visible(HOSTILE, keep="\n\t") + "\n"


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Cc")), min_size=1, max_size=30))
def test_any_text_survives_markdown(text):
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(
        render_markdown(page(Section("s", [Prose(["x" + text]), Prose([text + "x"])], brief=True)))
    )
    said = ["".join(c.content for c in token.children) for token in tokens if token.type == "inline"]
    assert said[-2:] == ["x" + visible(text), visible(text) + "x"]


def test_code_with_fences_of_its_own_stays_one_block():
    tokens = MarkdownIt().parse(render_markdown(page(Section("s", [Code("```\nx\n````")], brief=True))))
    assert [token.content for token in tokens if token.type == "fence"] == ["```\nx\n````\n"]


def test_a_table_too_wide_for_the_text_breaks_its_headings_and_loses_no_column():
    titles = ("training", "limit", "sharpness / limit", "95% interval", "edge entered", "stable learning rate: first")
    titles += ("last third", "growth above the limit", "steps above the limit")
    cells = ("lr 0.1", "20", "0.995", "0.968 – 1.021", "step 348", "0.185", "0.101", "26%", "13%")
    table = Table(tuple(Column(title, index > 0) for index, title in enumerate(titles)), [Row(cells)])
    wide = page(Section("", [table], brief=True))
    for width in (104, 110, 130, 300):
        lines = render_text(wide, width).splitlines()
        assert max(map(len, lines)) <= width
        assert lines[-1].split("  ")[-1].strip() == "13%"
        assert all(word in " ".join(lines) for title in titles for word in title.split())
