"""A command running: in a session of its own, with lastbit in its way, and ended whatever happens to this process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch import warden
from lastbit.launch.settings import LaunchSettings
from lastbit.launch.words import check_command

__all__ = ["SITE", "Launched", "launched"]

SITE = Path(__file__).parent / "site"
"""The folder that goes to the front of `PYTHONPATH`."""

_SETTLE = 1.0
"""Seconds that what a program leaves running is given to end by itself."""


@dataclass
class Launched:
    """A command that runs, or ran."""

    words: tuple[str, ...]
    """With the seed put in."""
    folder: Path
    process: subprocess.Popen[bytes]
    timed_out: bool = False
    """Set by who waits for it."""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    """That it took, when it has ended."""

    @property
    def records(self) -> Path:
        """The folder of what its processes wrote."""
        return self.folder / "records"

    @property
    def stdout(self) -> Path:
        """What it printed."""
        return self.folder / "stdout.txt"

    @property
    def stderr(self) -> Path:
        """What it printed as errors."""
        return self.folder / "stderr.txt"

    @property
    def exit_code(self) -> int:
        """When it has ended; negative: the signal that ended it."""
        return self.process.returncode

    def wait(self, timeout: float | None) -> None:
        """Wait for its end, or for the time to run out."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.timed_out = True


@contextmanager
def launched(
    words: Sequence[str],
    *,
    settings: LaunchSettings,
    folder: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    told: Mapping[str, Any] | None = None,
    given: bytes | None = None,
) -> Iterator[Launched]:
    """Run a command; whatever it started has ended when this is left, and ends too where this process is killed.

    Args:
        words: the command, word by word.
        settings: what happens to its optimizers and seeds.
        folder: takes `stdout.txt`, `stderr.txt` and the records; made where it is missing.
        cwd: where it runs; here by default.
        environment: all of it; this process's by default.
        told: more that its processes are told than the settings.
        given: to its standard input, which is closed without.

    Raises:
        LastbitError: there is no such program, or lastbit would not be reached in it.
    """
    if os.name != "posix":
        raise LastbitError("commands are run on Linux and macOS; on Windows, audit a Python function instead")
    place = (cwd or Path.cwd()).absolute()
    command = settings.words(list(words))
    held = dict(os.environ if environment is None else environment)
    check_command(command, cwd=place, environment=held)
    folder = folder.absolute()
    records = folder / "records"
    records.mkdir(parents=True, exist_ok=True)
    for old in records.iterdir():
        old.unlink()
    mark = uuid.uuid4().hex
    more = _added(settings, settings.message(records, mark, told), held)
    with (folder / "stdout.txt").open("wb") as out, (folder / "stderr.txt").open("wb") as err:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
                stdout=out,
                stderr=err,
                cwd=place,
                env=held | more,
                start_new_session=True,
            )
        except OSError as error:
            raise LastbitError(f"{command[0]} cannot be run: {error.strerror}") from None
    with _guarded(process.pid, mark):
        one = Launched(tuple(command), folder, process)
        if given is not None:
            Thread(target=_give, args=(process, given), daemon=True).start()
        try:
            yield one
        finally:
            _end(process, mark)
            one.seconds = time.monotonic() - one.began


def _give(process: subprocess.Popen[bytes], given: bytes) -> None:
    """Write to the standard input, which may be closed before all is read."""
    assert process.stdin is not None
    try:
        with process.stdin as file:
            file.write(given)
    except OSError:
        pass


def _added(settings: LaunchSettings, message: str, held: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment gets beside what it holds."""
    path = held.get("PYTHONPATH", "")
    added = {
        # An empty entry would be the working directory.
        "PYTHONPATH": f"{SITE}{os.pathsep}{path}" if path else str(SITE),
        "LASTBIT_LAUNCH": message,
    }
    if settings.deterministic:
        added["CUBLAS_WORKSPACE_CONFIG"] = held.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        chosen = held.get("PYTHONHASHSEED", "")
        added["PYTHONHASHSEED"] = chosen if chosen.isdigit() else "0"
    if settings.threads is not None:
        added |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(settings.threads))
    return added


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """End what is left of a program; what ends by itself a moment after it is given that moment."""
    deadline = time.monotonic() + _SETTLE
    while process.returncode is not None and warden.left(process.pid, mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    warden.end_all(process.pid, mark, grace=warden.GRACE)
    process.wait()


@contextmanager
def _guarded(group: int, mark: str) -> Iterator[None]:
    """Have a process beside this one end the program, should this one be killed before it can."""
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", warden.__file__, str(group), mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        guard.communicate(b"done")
