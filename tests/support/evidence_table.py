"""What the tests marked `evidence` found, as a dated table with the commit that they ran on."""

import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def evidence_table(reports: Iterable[pytest.TestReport]) -> str:
    """Return the table: what became of each test, what it measured (`record_property("measured", …)`), its seconds."""
    rows = []
    for report in reports:
        told = dict(report.user_properties).get("measured", "")
        if report.skipped and isinstance(report.longrepr, tuple):
            told = report.longrepr[2].removeprefix("Skipped: ")
        name = report.nodeid.removeprefix("tests/").replace("|", "\\|")
        rows.append(f"| `{name}` | {report.outcome} | {told} | {report.duration:.0f} |")
    head = [
        "# Evidence",
        "",
        f"Written by `make evidence` on {datetime.now(UTC):%Y-%m-%d}, on commit `{_commit()}`.",
        "",
        "| test | outcome | measured | seconds |",
        "| --- | --- | --- | ---: |",
    ]
    return "\n".join([*head, *rows]) + "\n"


def final(stages: Mapping[str, pytest.TestReport]) -> pytest.TestReport:
    """Return the report that says what became of a test: of its call, or of what kept it from being called."""
    return next(
        (report for report in stages.values() if report.outcome != "passed"), stages.get("call", stages["setup"])
    )


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + (", with changes" if git("status", "--porcelain") else "")
