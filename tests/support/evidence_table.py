"""What the tests marked `evidence` found, as a table whose rows have the date and the commit that they ran on."""

import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


HEAD = """# Evidence

Written by `make evidence`, which takes over from the table before what it did not run, or skipped: each row says when
it was measured, and on which commit.

| test | outcome | measured | seconds | date | commit |
| --- | --- | --- | ---: | --- | --- |
"""


def evidence_table(reports: Iterable[pytest.TestReport], before: str = "") -> str:
    """Return the table: what became of each test, what it measured (`record_property("measured", …)`), its seconds.

    Args:
        reports: one of each test.
        before: the table as it was, whose rows are kept where no report has run their test.
    """
    rows = {line.split(" | ")[0]: line for line in before.splitlines() if line.startswith("| `")}
    day, commit = f"{datetime.now(UTC):%Y-%m-%d}", _commit()
    for report in reports:
        told = dict(report.user_properties).get("measured", "")
        if report.skipped and isinstance(report.longrepr, tuple):
            told = report.longrepr[2].removeprefix("Skipped: ")
        name = report.nodeid.removeprefix("tests/").replace("|", "\\|")
        key = f"| `{name}`"
        if not (report.skipped and key in rows):
            rows[key] = f"{key} | {report.outcome} | {told} | {report.duration:.0f} | {day} | `{commit}` |"
    return HEAD + "".join(f"{row}\n" for row in rows.values())


def final(stages: Mapping[str, pytest.TestReport]) -> pytest.TestReport:
    """Return the report that says what became of a test: of its call, or of what kept it from being called."""
    return next(
        (report for report in stages.values() if report.outcome != "passed"), stages.get("call", stages["setup"])
    )


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + (", with changes" if git("status", "--porcelain") else "")
