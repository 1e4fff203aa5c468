"""Runs the Python blocks of a page one after the other, as a reader would, where its library is installed."""

from pathlib import Path

from markdown_it import MarkdownIt

DOCS = Path(__file__).parents[2] / "docs"


def run_page(name):
    """Run the blocks and return what they left."""
    tokens = MarkdownIt("commonmark").parse((DOCS / name).read_text("utf-8"))
    code = [token.content for token in tokens if token.type == "fence" and token.info.split(" ")[0] == "python"]
    assert code
    left = {"__name__": "docs"}
    for block in code:
        exec(compile(block, name, "exec"), left)
    return left
