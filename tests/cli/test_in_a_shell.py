"""The command line as a shell runs it: pipes that close early, a full disk behind them, and a signal to the parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LASTBIT = [sys.executable, "-m", "lastbit"]
FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_help_onto_a_full_disk_is_one_line():
    with FULL.open("w") as full:
        done = subprocess.run([*LASTBIT, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: cannot print the help (No space left on device)\n"


@pytest.mark.parametrize("words", [["--help"], ["audit", "--help"]])
def test_help_for_a_reader_that_goes_away_is_silent(words):
    read, write = os.pipe()
    os.close(read)  # gone before the first byte: no timing decides
    try:
        done = subprocess.run([*LASTBIT, *words], stdout=write, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
    piped = '{ "$@"; echo "code $?" >&2; } | head -1'
    done = subprocess.run(["sh", "-c", piped, "sh", *LASTBIT, *words], capture_output=True, text=True)
    assert (done.stdout.count("\n"), done.stderr) == (1, "code 0\n")


def test_a_script_with_the_name_of_a_standard_module_is_not_run(here):
    (here / "html.py").write_text("print('imported')")
    done = subprocess.run([*LASTBIT, "report", "nowhere"], capture_output=True, text=True, cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: there is no study at nowhere: give the folder that --out named; one that was stopped before its first "
        "run began is not there, so run its command again\n"
    )


SLOW = """
import time
import torch
from toy import X, Y, make


class Slow(torch.nn.Linear):
    def forward(self, x):
        time.sleep(0.02 * self.training)
        return super().forward(x)


def slow():
    return make(model=lambda: Slow(4, 2), epochs=25)
"""


def in_session(session):
    """The processes of a session that are not zombies; those of workers stay in it."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, theirs = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(theirs) == session and state != "Z":
            found.add(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")
def test_sigterm_to_the_parent_ends_every_worker_and_the_study_goes_on_later(here):
    (here / "slow.py").write_text(SLOW)
    words = ["audit", "slow.py:slow", "--seeds", "2", "--perturbations", "2", "--workers", "2", "--out", "S"]
    process = subprocess.Popen(
        [*LASTBIT, *words, "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while not list((here / "S" / "arrays").glob("*.npz")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert len(in_session(process.pid)) > 2, "two workers at least are there to be left behind"
        process.send_signal(signal.SIGTERM)
        out, told = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, "")
        assert len(told.splitlines()) == 1
        assert told.startswith("error: ")
        assert "--resume S" in told
        while left := in_session(process.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
    finally:
        if process.poll() is None or in_session(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    done = subprocess.run(
        [*LASTBIT, "audit", "--resume", "S", "--workers", "1", "--quiet"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"finished": true' in (here / "S" / "result.json").read_text()
