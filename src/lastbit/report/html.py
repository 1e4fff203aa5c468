"""A page as one HTML file that opens offline.

How a page looks is decided in `templates/`. jinja2 escapes every string of it, and figures travel as JSON whose `<`,
`>` and `&` are written as escapes, so that nothing in a study can end a script or start a tag. The page forbids itself
every network access by a content security policy.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.io import to_json
from plotly.offline import get_plotlyjs

from lastbit.report.blocks import Page

__all__ = ["embedded_json", "render_html"]


def render_html(page: Page) -> str:
    """Return the page as one self-contained HTML document.

    Plotly's library (5 MB) is inlined once, and only where the page has figures.
    """
    library = Markup(get_plotlyjs()) if page.has_figures else Markup("")
    return _environment().get_template("page.html.j2").render(page=page, plotly=library)


def embedded_json(figure: Any) -> Markup:
    """Return a plotly figure as JSON without a character that HTML could take for its own.

    `<`, `>`, `&` and the line separators U+2028 and U+2029 occur in JSON inside strings only, where their escapes mean
    the same: no text in a figure can close the script element that holds it.
    """
    text: str = to_json(figure, validate=False, engine="json")
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    # Every template is escaped, whatever its name ends with; an undefined name is an error, never an empty text.
    environment = Environment(
        loader=PackageLoader("lastbit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded_json"] = embedded_json
    return environment
