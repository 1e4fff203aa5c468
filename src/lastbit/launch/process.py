"""A command running with lastbit in its way, and ended whatever happens to this process."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.guarded import Guarded, alone_in, guarded
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.launch.words import check_command

__all__ = ["SITE", "Launched", "launched"]

SITE = Path(__file__).parent / "site"
"""The folder that goes to the front of `PYTHONPATH`."""


@dataclass
class Launched:
    """A command that runs, or ran."""

    words: tuple[str, ...]
    """With the seed put in."""
    folder: Path
    program: Guarded
    timed_out: bool = False
    """Set by who waits for it."""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    """That it took, when it has ended."""
    own: tuple[int, int] | None = None
    """Bytes of stdout and stderr when it was told to end; None where it ended by itself."""

    @property
    def outputs(self) -> tuple[Path, Path]:
        """The files of its stdout and stderr."""
        return self.folder / "stdout.txt", self.folder / "stderr.txt"

    @property
    def records(self) -> Path:
        """The folder of what its processes wrote."""
        return self.folder / "records"

    @property
    def over(self) -> bool:
        """Whether it and whatever it started have ended."""
        return self.program.wait(0)

    def wait(self, timeout: float | None) -> None:
        """Wait for its end, or for the time to run out."""
        self.timed_out = not self.program.wait(timeout)


@contextmanager
def launched(
    words: Sequence[str],
    launch: Launch,
    *,
    told: Mapping[str, Any] | None = None,
    given: bytes | None = None,
) -> Iterator[Launched]:
    """Run a command; whatever it started has ended when this is left, and ends too where this process is killed.

    Args:
        words: the command, word by word.
        launch: how it is run; its time is for the caller to watch.
        told: more that its processes are told than the settings.
        given: to its standard input, which is empty without.

    Raises:
        LastbitError: there is no such program, or lastbit would not be reached in it.
    """
    if os.name != "posix":
        raise LastbitError("commands are run on Linux and macOS; on Windows, audit a Python function instead")
    settings, place, folder = launch.settings, (launch.cwd or Path.cwd()).absolute(), launch.folder.absolute()
    command = settings.words(list(words))
    held = dict(os.environ if launch.environment is None else launch.environment)
    check_command(command, cwd=place, environment=held)
    records = folder / "records"
    records.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = stack.enter_context(alone_in(records))
        out, err = (stack.enter_context((folder / name).open("wb")) for name in ("stdout.txt", "stderr.txt"))
        for old in records.iterdir():
            old.unlink()
        began, mark = time.monotonic(), uuid.uuid4().hex
        source = None if given is None else _source(given)
        try:
            program = stack.enter_context(
                guarded(
                    command,
                    (source, out.fileno(), err.fileno(), lock),
                    cwd=place,
                    environment=held | _added(settings, settings.message(records, mark, told), held),
                    mark=mark,
                )
            )
        finally:
            if source is not None:
                os.close(source)
        one = Launched(tuple(command), folder, program, began=began)
        try:
            yield one
        finally:
            if not one.over:  # what follows is what a shell says of a process that was ended
                stdout, stderr = one.outputs
                one.own = stdout.stat().st_size, stderr.stat().st_size
            program.end()
            one.seconds = time.monotonic() - began


def _source(given: bytes) -> int:
    """Return a descriptor from which the bytes can be read, once."""
    source, into = os.pipe()

    def give() -> None:
        with suppress(OSError), os.fdopen(into, "wb") as file:  # not all of it may be read
            file.write(given)

    Thread(target=give, daemon=True).start()
    return source


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
