"""The only place that writes to a terminal: what is said is shown and never obeyed, and no stream can end a command."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

from lastbit.core.errors import LastbitError

__all__ = ["flush", "printed_aside", "say", "standard_error", "standard_output", "visible", "write"]

_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str, keep: str = "") -> str:
    r"""Return the text with control characters and signs of direction as escapes, but for those in `keep`.

    Names come from files that others wrote: an escape in them could move the cursor, recolour the screen or rename the
    window.

    Example:
        >>> visible("a\x1b[31mb\n")
        'a\\x1b[31mb\\n'
    """
    if text.isprintable():  # a picture of a megabyte, in base64, is
        return text

    def shown(character: str) -> str:
        hidden = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _DIRECTION
        return ascii(character)[1:-1] if hidden and character not in keep else character

    return "".join(map(shown, text))


def say(message: str, *, error: bool = False, keep: str = "") -> None:
    """Print a message and end the line, to standard error where it is about the work and not its answer.

    Args:
        message: whatever stands in it is shown and never obeyed.
        error: whether it goes to standard error.
        keep: control characters that are the message's own, such as the ends of its lines.

    Raises:
        LastbitError: standard output cannot be written, and not because its reader has gone.
    """
    write(visible(message, keep) + "\n", sys.stderr if error else sys.stdout)


def write(text: str, stream: TextIO | None) -> None:
    """Write text that is safe to show, with escapes for what the encoding of the stream does not have.

    Raises:
        LastbitError: standard output cannot be written, and not because its reader has gone. Nothing is raised for
            standard error: there is nobody left to tell.
    """
    if stream is None:  # closed before Python began
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except OSError as error:
        _give_up(stream, error)
    flush(stream)


def flush(stream: TextIO | None) -> None:
    """Bring what was written to its reader.

    Raises:
        LastbitError: as for `write`.
    """
    if stream is None:
        return
    try:
        stream.flush()
    except OSError as error:
        _give_up(stream, error)


class _Stream:
    """A standard stream as a file, for rich: what is written goes through `write`."""

    def __init__(self, stream: TextIO | None) -> None:
        # Held, not looked up: rich puts itself in the place of the standard streams while its bars are shown.
        self._stream = stream

    def write(self, text: str) -> int:
        write(text, self._stream)
        return len(text)

    def flush(self) -> None:
        flush(self._stream)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError("the stream is closed")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"


@contextmanager
def printed_aside() -> Iterator[None]:
    """Let all that is printed meanwhile, by code in C and by child processes too, go to standard error."""
    out, kept = sys.stdout, -1
    flush(out)
    with suppress(OSError):
        kept = os.dup(1) if out is not None else -1
    sys.stdout = sys.stderr
    try:
        if kept >= 0:
            with suppress(OSError):
                os.dup2(2, 1)
        yield
    finally:
        sys.stdout = out
        if kept >= 0:
            os.dup2(kept, 1)
            os.close(kept)


def standard_output() -> TextIO:
    """Return standard output as a file for rich, which raises what `write` raises."""
    return cast(TextIO, _Stream(sys.stdout))


def standard_error() -> TextIO:
    """Return standard error as a file for rich's bars: a terminal closed under them must not stop a training."""
    return cast(TextIO, _Stream(sys.stderr))


def _give_up(stream: TextIO, error: OSError) -> None:
    """Let nothing more be written to the stream, by Python at its end either; a reader that has gone is no error."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    if stream is sys.stdout and not isinstance(error, BrokenPipeError):
        raise LastbitError(
            f"cannot print the answer ({error.strerror or error}): standard output takes nothing"
        ) from None
