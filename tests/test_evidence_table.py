"""The table of evidence says of every test what became of it."""

import re

import pytest
from evidence_table import evidence_table, final


def report(when, outcome, **more):
    settings = {"nodeid": "tests/a.py::test", "location": ("tests/a.py", 0, "test"), "keywords": {}, "longrepr": None}
    return pytest.TestReport(**{**settings, **more}, when=when, outcome=outcome)


def rows(*reports):
    return evidence_table(reports).splitlines()[6:]


def test_a_row_says_what_was_measured():
    call = report("call", "passed", user_properties=[("measured", "0.95 of 400")], duration=61.4)
    assert rows(final({"setup": report("setup", "passed"), "call": call})) == [
        "| `a.py::test` | passed | 0.95 of 400 | 61 |"
    ]


def test_a_failure_outweighs_what_passed_and_a_skip_has_its_reason():
    passed = report("call", "passed")
    assert final({"setup": report("setup", "passed"), "call": passed, "teardown": report("teardown", "failed")}).failed
    skipped = report("setup", "skipped", longrepr=("a.py", 3, "Skipped: no checkout"))
    assert rows(final({"setup": skipped, "teardown": report("teardown", "passed")})) == [
        "| `a.py::test` | skipped | no checkout | 0 |"
    ]


def test_the_table_has_a_date_and_a_commit():
    assert re.search(r"on \d{4}-\d\d-\d\d, on commit `[0-9a-f]{12}", evidence_table([]))
