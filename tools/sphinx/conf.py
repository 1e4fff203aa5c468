"""How Sphinx builds the site from staged pages: nothing is fetched when it is read, and warnings are errors.

Maths becomes MathML, which browsers draw by themselves: MathJax would be fetched, or be half of the site's size.
"""

from __future__ import annotations

import builtins
import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.application import Sphinx

import lastbit

project = "lastbit"
release = version = lastbit.__version__
author = "the lastbit authors"
copyright = "the lastbit authors, Apache License 2.0"
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["examples"]
smartquotes = False  # which would make one dash of the two before an option

# GitHub's own extensions of CommonMark, and no other: a page must read there as it does here.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_dmath_allow_labels = False
html_math_renderer = "mathml"

# Single backticks are code in docstrings, as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "lastbit"
html_static_path = ["static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None
html_theme_options = {"navigation_with_keys": False}
pygments_style = "tango"
pygments_dark_style = "github-dark"


def mathml(tex: str, display: str = "inline") -> str:
    """Return a formula as MathML, its bars close to what they enclose: browsers take them for operators between two."""
    bar = '<mo stretchy="false">&#x0007C;'
    return convert(tex, display=display).replace(bar, bar.replace("mo ", 'mo lspace="0" rspace="0" '))


def inline_maths(translator: Any, node: nodes.math) -> None:
    """Write a formula in running text."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def block_maths(translator: Any, node: nodes.math_block) -> None:
    """Write a formula that stands alone."""
    translator.body.append(f'<div class="formula">{mathml(node.astext(), display="block")}</div>\n')
    raise nodes.SkipNode


_CODE = re.compile(r"(`+[^`]+`+)")
_BULLET = re.compile(r"(\s*(?:\* )?)(.*)", re.S)
_SPECIAL = re.compile(r"([*|])|(?<=\w)(_)(?!\w)")


def plain_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let docstrings say what they say as text: signs that mean something in reStructuredText alone are signs."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else _plain(line) for line in lines]


def _plain(line: str) -> str:
    bullet, rest = _BULLET.match(line).groups()
    parts = enumerate(_CODE.split(rest))
    return bullet + "".join(part if place % 2 else _SPECIAL.sub(r"\\\g<0>", part) for place, part in parts)


def unlinked_builtins(app: Sphinx, doctree: nodes.document) -> None:
    """Leave Python's own types as text: a field of that name would be taken for what is meant."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node.get("refdomain") == "py" and hasattr(builtins, node["reftarget"]):
            node.replace_self(nodes.Text(node["reftarget"]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what is not configuration."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline_maths, None), block_renderers=(block_maths, None))
    app.connect("autodoc-process-docstring", plain_docstring, priority=100)
    app.connect("doctree-read", unlinked_builtins)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
