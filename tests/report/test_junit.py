"""The answer as JUnit XML: what any parser reads in it, and that no text can break it."""

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.exit_codes import ExitCode
from lastbit.core.terminal import visible
from lastbit.report.blocks import Page, Prose, Section
from lastbit.report.junit import render_junit
from lastbit.studies.frame.result import outcome_of


def rendered(outcome="failure", verdict="they differ.", of="train.py", kind="differs"):
    words = {"title": "t", "subtitle": "s", "badge": "b", "verdict": verdict, "advice": "Do."}
    page = Page(**words, tone="failure", sections=[Section("Why", [Prose(["because"])], brief=True)])
    return render_junit(page, question="lastbit doctor", of=of, outcome=outcome, kind=kind, seconds=1.2345)


@pytest.mark.parametrize("outcome", ["passed", "failure", "error"])
def test_one_suite_holds_one_case_with_the_verdict(outcome):
    root = ElementTree.fromstring(rendered(outcome).encode())
    assert (root.tag, [child.tag for child in root]) == ("testsuites", ["testsuite"])
    [suite] = root
    counts = {"failures": "0", "errors": "0", "skipped": "0"}
    counts |= {} if outcome == "passed" else {f"{outcome}s": "1"}
    assert suite.attrib == {"name": "lastbit", "tests": "1", "time": "1.234", **counts}
    [case] = suite
    assert case.attrib == {"classname": "lastbit doctor", "name": "train.py", "time": "1.234"}
    [told] = case
    assert told.text == "they differ.\nDo.\n\nbecause"
    if outcome == "passed":
        assert (told.tag, told.attrib) == ("system-out", {})
    else:
        assert (told.tag, told.attrib) == (outcome, {"type": "differs", "message": "they differ."})


@pytest.mark.parametrize("outcome", ["passed", "failure", "error"])
def test_a_library_that_reads_junit_reads_the_same(outcome):
    junitparser = pytest.importorskip("junitparser")
    [suite] = junitparser.JUnitXml.fromstring(rendered(outcome).encode())
    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == (
        "lastbit",
        1,
        int(outcome == "failure"),
        int(outcome == "error"),
        0,
    )
    [case] = suite
    assert (case.classname, case.name, case.time) == ("lastbit doctor", "train.py", 1.234)
    assert case.is_passed is (outcome == "passed")
    kinds = {"failure": junitparser.Failure, "error": junitparser.Error}
    told = [(type(one), one.message, one.type) for one in case.result]
    assert told == ([] if outcome == "passed" else [(kinds[outcome], "they differ.", "differs")])
    suite.update_statistics()
    assert (suite.tests, suite.failures, suite.errors) == (1, int(outcome == "failure"), int(outcome == "error"))


@settings(max_examples=30)
@given(st.text(max_size=40))
def test_any_text_survives(text):
    root = ElementTree.fromstring(rendered(verdict=text, of=text).encode("utf-8", "strict"))
    case = root[0][0]
    for found in (case.get("name"), case[0].get("message")):
        legal = visible(text, keep="\n\t").replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
        assert found == legal


@pytest.mark.parametrize(
    ("verdict", "code", "outcome"),
    [
        ("identical", ExitCode.ANSWERED, "passed"),
        ("same_up_to_rounding", ExitCode.ANSWERED, "passed"),
        ("keep", ExitCode.ANSWERED, "passed"),
        ("differs", ExitCode.NOT_REPRODUCIBLE, "failure"),
        ("different", ExitCode.NO, "failure"),
        ("discard", ExitCode.NO, "failure"),
        ("not_reproducible", ExitCode.NOT_REPRODUCIBLE, "error"),
        ("undecided", ExitCode.UNDECIDED, "error"),
        ("timed_out", ExitCode.UNDECIDED, "error"),
    ],
)
def test_no_is_a_failure_and_no_answer_an_error(verdict, code, outcome):
    assert outcome_of(verdict, code) == outcome
