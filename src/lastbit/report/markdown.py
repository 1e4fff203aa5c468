"""A page in its short form as GitHub-flavoured Markdown: for a pull request, a README, a notebook.

Every string is shown as it is: what Markdown or HTML could take for its own is escaped, and control characters are
written as escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from lastbit.core.terminal import visible
from lastbit.report.blocks import Block, Cards, Code, Facts, FigureBlock, Page, Picture, Prose, Table

__all__ = ["render_markdown"]

_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&$#]")
_LIST_MARK = re.compile(r"^(\d*)([-+.)])(?=\s)")


def render_markdown(page: Page) -> str:
    """Return the title, the verdict, the advice and the sections of the page that are `brief`, as Markdown."""
    parts = [f"# {_text(page.title)}", f"**{_text(page.verdict)}**"]
    if page.advice:
        parts.append(_text(page.advice))
    for section in page.sections:
        shown = [text for block in section.blocks for text in _shown(block)] if section.brief else []
        if shown:
            parts += [f"## {_text(section.title)}", *([_text(section.lead)] if section.lead else []), *shown]
    return "\n\n".join(parts) + "\n"


def _shown(block: Block) -> Iterator[str]:
    """Return the paragraphs of a block."""
    match block:
        case Table():
            yield _table(block)
            yield from map(_text, block.remarks)
        case Cards():
            yield _table(block.table)
        case Facts():
            yield "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in block.rows)
        case Prose(bullets=True):
            yield "\n".join(f"- {_text(paragraph)}" for paragraph in block.paragraphs)
        case Prose():
            yield from map(_text, block.paragraphs)
        case FigureBlock():
            if block.text:
                yield _fenced("\n".join(block.text))
        case Picture():
            if block.file:
                yield f"![{_text(block.describe)}]({quote(block.file)})"
        case Code():
            yield _fenced(block.text)


def _fenced(text: str) -> str:
    shown = visible(text, keep="\n\t")
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{shown}\n{fence}"


def _table(table: Table) -> str:
    titles = [_text(column.title) for column in table.columns]
    rule = ["---:" if column.numeric else "---" for column in table.columns]
    rows = [[_text(cell) for cell in row.cells] for row in table.rows[: table.fold]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rule, *rows))


def _text(text: str) -> str:
    """Return the text without a character that Markdown could take for its own."""
    escaped = _SPECIAL.sub(r"\\\g<0>", visible(text).strip())
    return _LIST_MARK.sub(r"\1\\\2", escaped)
