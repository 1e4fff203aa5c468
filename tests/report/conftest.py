"""What the tests of the report share: made-up studies, and a parser that sees what a page holds."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_studies import HOSTILE, StudyMaker


class Parsed(HTMLParser):
    """The text of a page outside of scripts and styles, its attributes, and its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.headings: list[str] = []
        self.tags: list[str] = []
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "link", "br", "input", "img"):
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1][0] == tag, f"</{tag}> closes <{self._open[-1][0]}>"
        self._open.pop()

    def handle_data(self, data):
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag == "script":
            self.scripts.append((attributes, data))
        elif tag != "style":
            self.words.append(data)
            if tag == "h2":
                self.headings.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def figures(self) -> dict[str, dict]:
        found = [(a, body) for a, body in self.scripts if "data-figure" in a]
        return {str(a["data-figure"]).removeprefix("figure-"): json.loads(body) for a, body in found}


@pytest.fixture
def parse() -> Callable[[Path], Parsed]:
    return lambda path: Parsed(path.read_text("utf-8"))


@pytest.fixture
def hostile() -> str:
    """A name that tries to be markup, script, template, plotly variable and more."""
    return HOSTILE


@pytest.fixture
def make_study(tmp_path: Path) -> StudyMaker:
    return StudyMaker(tmp_path)
