"""The answer as JUnit XML, which CI systems show among the tests of a job."""

from __future__ import annotations

from xml.etree import ElementTree

from lastbit.core.terminal import visible
from lastbit.studies.doctor.result import DoctorResult

__all__ = ["junit_xml"]


def junit_xml(result: DoctorResult, summary: str) -> str:
    """Return one suite with a test case for each comparison that was made.

    The last of them fails where the exit code is not 0: its message is the verdict, its text the summary.

    Args:
        result: of the examination.
        summary: as the terminal shows it.
    """
    name, failed = result.program, int(result.exit_code != 0)
    total = sum(one.seconds for one in result.outcomes)
    suite = ElementTree.Element(
        "testsuite",
        name="lastbit doctor",
        tests=str(len(result.outcomes)),
        failures=str(failed),
        errors="0",
        time=str(round(total, 3)),
    )
    for place, one in enumerate(result.outcomes, 1):
        case = ElementTree.SubElement(
            suite, "testcase", classname=_legal(name), name=one.how, time=str(round(one.seconds, 3))
        )
        if failed and place == len(result.outcomes):
            told = ElementTree.SubElement(case, "failure", type=result.verdict_kind, message=_legal(result.verdict))
            told.text = _legal(summary)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _legal(text: str) -> str:
    """Return text without the characters that no XML can hold."""
    return visible(text, keep="\n\t")
