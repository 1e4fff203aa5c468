"""A page as one HTML file that opens offline.

How a page looks is decided in `templates/`. jinja2 escapes every string of it, and figures travel as JSON whose `<`,
`>` and `&` are written as escapes, so that nothing in a study can end a script or start a tag. The page forbids itself
every network access by a content security policy.
"""

from __future__ import annotations

import json
import os
import posixpath
from base64 import b64encode
from datetime import UTC, datetime
from functools import cache, partial
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.io import to_json

from lastbit.core.terminal import visible
from lastbit.report.blocks import Page, Sheet
from lastbit.report.formatting import moment
from lastbit.report.sheet import csv_text

__all__ = ["embedded_json", "environment", "render_html", "render_main"]


def render_html(page: Page, drawn: datetime | None = None, base: str = "") -> str:
    """Return the page as one self-contained HTML document.

    The part of plotly that draws these figures (0.5 MB, packed) is inlined once, and only where there are any.

    Args:
        page: what to show.
        drawn: the time that it gives as its own; by default `SOURCE_DATE_EPOCH` where the environment sets it
            (https://reproducible-builds.org/specs/source-date-epoch), now otherwise.
        base: the study's folder, relative to the folder that the page is written to.
    """
    library = _library() if page.has_figures else ""
    template = environment().get_template("page.html.j2")
    return template.render(page=page, library=library, drawn=drawn or _now(), href=partial(_href, base))


def render_main(page: Page, base: str) -> Markup:
    """Return what stands in the document's `main`, for a document that brings scripts, styles and library itself.

    Args:
        page: what to show.
        base: the address under which the study's files are found.
    """
    template = environment().get_template("main.html.j2")
    return Markup(template.render(page=page, drawn=_now(), href=partial(_href, base)))


def _href(base: str, link: str) -> str:
    """Return the address of a file, in which nothing is left that could be a scheme, a host or a query."""
    return quote(posixpath.normpath(posixpath.join(base, link)))


def embedded_json(figure: Any) -> Markup:
    """Return a plotly figure as JSON without a character that HTML could take for its own."""
    return _harmless(to_json(figure, validate=False, engine="json"))


def embedded_csv(sheet: Sheet) -> Markup:
    """Return a sheet's CSV as a JSON string without a character that HTML could take for its own."""
    return _harmless(json.dumps(csv_text(sheet)))


def _harmless(text: str) -> Markup:
    """Return JSON that no text in it can end.

    `<`, `>`, `&` and the line separators U+2028 and U+2029 occur in JSON inside strings only, where their escapes mean
    the same: no text in a figure can close the script element that holds it.
    """
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _shown(value: Any) -> Any:
    """Return text with control characters and signs of direction as escapes, as a terminal shows it."""
    return (
        visible(value, keep="\n\t\u2028\u2029") if isinstance(value, str) and not isinstance(value, Markup) else value
    )


def _now() -> datetime:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)


@cache
def _library() -> Markup:
    """Return the packed library in base64; `tools/plotly_bundle.js` makes it."""
    return Markup(b64encode(files("lastbit.report").joinpath("templates", "plotly.min.js.gz").read_bytes()).decode())


@cache
def environment(*packages: str) -> Environment:
    """Return what renders this room's templates, and those of other packages besides.

    Args:
        packages: names of packages with a folder `templates`.
    """
    # Every template is escaped, whatever its name ends with; an undefined name is an error, never an empty text.
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in ("lastbit.report", *packages)]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"embedded_json": embedded_json, "embedded_csv": embedded_csv, "moment": moment}
    return environment
