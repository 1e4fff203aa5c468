"""Hypothesis draws anew each time at a developer's desk; in CI it draws the same examples every time.

Folders of tests lie in memory where there is room: hundreds of small studies sync every file that they write to disk.

Where `LASTBIT_EVIDENCE` names a file, what the tests found is written there as a table.
"""

import os
import shutil
import signal
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
import typer.main
from evidence_table import evidence_table, final
from hypothesis import settings

# Without a deadline for one example, which a busy machine misses.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# Threads that wait for each other give their core to the other worker; PyTorch reads this as it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# As in an activated environment: there is a `python`, and it is this one.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

LIGHT = str(Path(__file__).parent / "support" / "light")
# What imports a trainer's library is imported by the tests that have it.
collect_ignore = [LIGHT, "support/hugging_face_trainings.py", "support/lightning_trainings.py"]
WHOLE = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", LIGHT)]


@pytest.fixture
def whole_torch(monkeypatch):
    """Let the processes that a test starts have torch as users have it, and as tests marked `evidence` have it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(WHOLE))


@pytest.fixture(autouse=True, scope="session")
def no_strangers():
    """Skip the two processes that every study of a file begins with; test_users_code.py has them back.

    For the whole session, so that the studies that a file of tests shares have it too.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lastbit.studies.frame.make.check_processes", lambda *_: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def one_parser():
    """Build the parser of a command line once: typer builds every command's anew, in 20 ms, whenever one is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.main.get_command", cache(typer.main.get_command))
        yield


class EvidenceWriter:
    """Writes what became of each test as soon as it is over, so that nothing is lost with those that follow."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.tests: dict[str, dict[str, pytest.TestReport]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the report of a stage, and write the row when it is the last."""
        self.tests[report.nodeid][report.when] = report
        if report.when == "teardown":
            before = self.target.read_text("utf-8") if self.target.exists() else ""
            self.target.write_text(evidence_table([final(self.tests.pop(report.nodeid))], before), "utf-8")


def pytest_configure(config):
    # A job in the background ignores Ctrl-C from its birth, and so would all that the tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("markexpr") != "evidence":
        os.environ["PYTHONPATH"] = os.pathsep.join([LIGHT, *WHOLE])
    if target := os.environ.get("LASTBIT_EVIDENCE"):
        config.pluginmanager.register(EvidenceWriter(config.rootpath / target))
