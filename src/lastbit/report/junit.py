"""A page as JUnit XML, in which CI systems read the tests of a job: one suite with one test case, the question.

The dialect is what pytest writes and Jenkins' xUnit schema describes: `testsuites`, `testsuite`, `testcase`, and in it
`failure` or `error` with a type and a message, or `system-out`.
"""

from __future__ import annotations

import re
from typing import Literal
from xml.etree import ElementTree

from lastbit.core.terminal import visible
from lastbit.report.blocks import Page
from lastbit.report.text import render_text

__all__ = ["Outcome", "render_junit"]

Outcome = Literal["passed", "failure", "error"]
"""What becomes of the test case: the answer is good, it is bad, or there is none."""

_UNWRITABLE = re.compile("[\ufffe\uffff]")


def render_junit(page: Page, *, question: str, of: str, outcome: Outcome, kind: str, seconds: float) -> str:
    """Return one suite named `lastbit` with a test case for the question.

    Its failure or error has the verdict as message and the summary as text; one that passed has the summary as its
    output. It is never `skipped`, which every reader counts as no failure: a question without an answer must not pass
    in silence.

    Args:
        page: of the answer.
        question: the command that asks it: `lastbit same`.
        of: what it is asked of, in a few words.
        outcome: what becomes of the test case.
        kind: of the verdict, one word.
        seconds: that it took.
    """
    took = str(round(seconds, 3))
    failed, wrong = (str(int(outcome == told)) for told in ("failure", "error"))
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        root, "testsuite", name="lastbit", tests="1", failures=failed, errors=wrong, skipped="0", time=took
    )
    case = ElementTree.SubElement(suite, "testcase", classname=_legal(question), name=_legal(of), time=took)
    summary = _legal(render_text(page))
    if outcome == "passed":
        ElementTree.SubElement(case, "system-out").text = summary
    else:
        ElementTree.SubElement(case, outcome, type=kind, message=_legal(page.verdict)).text = summary
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _legal(text: str) -> str:
    """Return text without the characters that no XML can hold."""
    return _UNWRITABLE.sub(lambda found: ascii(found[0])[1:-1], visible(text, keep="\n\t"))
