"""The table of evidence says of every test what became of it."""

import re

import pytest
from evidence_table import evidence_table, final


def report(when, outcome, **more):
    settings = {"nodeid": "tests/a.py::test", "location": ("tests/a.py", 0, "test"), "keywords": {}, "longrepr": None}
    return pytest.TestReport(**{**settings, **more}, when=when, outcome=outcome)


def rows(*reports, before=""):
    """The rows without date and commit."""
    lines = [line for line in evidence_table(reports, before).splitlines() if line.startswith("| `")]
    return [" | ".join(line.split(" | ")[:4]) + " |" for line in lines]


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


def test_a_row_has_a_date_and_a_commit():
    table = evidence_table([report("call", "passed")])
    assert re.search(r"^\| `a.py::test` .* \| \d{4}-\d\d-\d\d \| `[0-9a-f]{12}(, with changes)?` \|$", table, re.M)


def test_what_was_not_run_or_skipped_is_kept():
    old = "| `a.py::test` | passed | 7 | 9 | 2026-01-02 | `0123456789ab` |"
    before = f"{evidence_table([])}{old}\n| `b.py::test` | passed | 8 | 1 | 2026-01-02 | `0123456789ab` |\n"
    other = report("call", "passed", nodeid="tests/c.py::test")
    skipped = report("setup", "skipped", longrepr=("a.py", 3, "Skipped: no checkout"))
    assert old in evidence_table([other, skipped], before).splitlines()
    assert [row.split(" | ")[0] for row in rows(other, skipped, before=before)] == [
        "| `a.py::test`",
        "| `b.py::test`",
        "| `c.py::test`",
    ]
    assert rows(report("call", "failed"), before=before)[0] == "| `a.py::test` | failed |  | 0 |"
