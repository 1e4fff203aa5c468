"""A page in its short form as a fragment of HTML: what a notebook shows of an object that ends a cell.

Below the advice stands the main figure, as an image that the fragment holds itself.

No script, no style sheet, nothing from outside: looks stand in the elements and leave the notebook's own colours alone.
Every string is shown as it is, control characters as escapes, and nothing is taken for markup.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape

from lastbit.core.terminal import visible
from lastbit.report.blocks import Block, Cards, Code, Facts, FigureBlock, Page, Picture, Prose, Table

__all__ = ["render_fragment"]

_COLOURS = {"pass": "#2f7d4f", "attention": "#b7791f", "failure": "#b2332e"}
_CELL = "padding:2px 10px 2px 0;vertical-align:top;white-space:normal;"
_DPI = 72
"""Pixels of an inch of the image, which make it some 650 wide and 20 to 40 kB."""

_PRE = '<pre style="overflow-x:auto;background:none">'


def render_fragment(page: Page) -> str:
    """Return the verdict, the advice and the sections of the page that are `brief`, as HTML that stands alone."""
    colour = _COLOURS[page.tone]
    parts = [
        f'<p style="opacity:.7">{_text(page.title)}{_after(page.subtitle)} · <b>{_text(page.badge)}</b></p>',
        f"<p><b>{_text(page.verdict)}</b></p>",
    ]
    if page.advice:
        parts.append(f"<p>{_text(page.advice)}</p>")
    parts += _main_figure(page)
    for section in page.sections:
        shown = [text for block in section.blocks for text in _shown(block)] if section.brief else []
        if shown:
            parts += [f'<p style="margin:1em 0 0"><b>{_text(section.title)}</b></p>', *shown]
    inside = "\n".join(parts)
    return f'<div style="border-left:4px solid {colour};padding-left:1em;max-width:60em">\n{inside}\n</div>'


def _main_figure(page: Page) -> Iterator[str]:
    """Return the first figure of the page as an image; nothing where the page has none."""
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Picture):
                yield _image(block.source(), block.describe)
                return
            if isinstance(block, FigureBlock):
                from lastbit.report.figures.printed import written
                from lastbit.report.figures.still import still

                drawn = b64encode(written(still(block), "png", _DPI)).decode("ascii")
                yield _image(f"data:image/png;base64,{drawn}", block.describe)
                return


def _image(source: str, describe: str) -> str:
    # White, for it is drawn in dark colours.
    return f'<img src="{escape(source)}" alt="{_text(describe)}" style="max-width:100%;background:white">'


def _shown(block: Block) -> Iterator[str]:
    """Return the elements of a block."""
    match block:
        case Table():
            yield _table(block)
            yield from (f"<p>{_text(remark)}</p>" for remark in block.remarks)
        case Cards():
            yield _table(block.table)
        case Facts():
            yield _list(f"{name}: {value}" for name, value in block.rows)
        case Prose(bullets=True):
            yield _list(block.paragraphs)
        case Prose():
            yield from (f"<p>{_text(paragraph)}</p>" for paragraph in block.paragraphs)
        case FigureBlock():
            if block.text:
                yield _lines("\n".join(block.text))
        case Code():
            yield _lines(block.text)


def _table(table: Table) -> str:
    sides = ["right" if column.numeric else "left" for column in table.columns]

    def row(cells: Iterable[str], tag: str) -> str:
        filled = zip(cells, sides, strict=True)
        return "".join(f'<{tag} style="{_CELL}text-align:{side}">{_text(cell)}</{tag}>' for cell, side in filled)

    head = f"<thead><tr>{row((column.title for column in table.columns), 'th')}</tr></thead>"
    body = "\n".join(f"<tr>{row(line.cells, 'td')}</tr>" for line in table.rows[: table.fold])
    return f"<table>{head}<tbody>\n{body}\n</tbody></table>"


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in items)}</ul>"


def _lines(text: str) -> str:
    return f"{_PRE}{escape(visible(text, keep=chr(10) + chr(9)))}</pre>"


def _after(subtitle: str) -> str:
    return f": {_text(subtitle)}" if subtitle else ""


def _text(text: str) -> str:
    return escape(visible(text))
