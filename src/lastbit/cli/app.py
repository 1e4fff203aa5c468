"""`lastbit`: the commands together, and what happens when one of them cannot go on."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.exceptions import Abort, TyperException

from lastbit.cli import paper, pde, report, serve
from lastbit.cli.compare import compare_command
from lastbit.cli.fields import SeveralValues
from lastbit.cli.gate import gate_command
from lastbit.cli.log import log
from lastbit.cli.same import same_command
from lastbit.cli.studies import add_studies
from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode, exit_codes_help
from lastbit.core.refused import first_refusal
from lastbit.core.terminal import flush, say

__all__ = ["app", "main"]

app = typer.Typer(
    name="lastbit",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="How much of a trained network's result is the last floating-point bit, where in training that bit was "
    "amplified, why, and which learning rates and weight decays would not have amplified it.",
    epilog=exit_codes_help(),
)
add_studies(app)
app.command("compare", cls=SeveralValues)(compare_command())
app.command("gate", cls=SeveralValues)(gate_command())
app.command("same", cls=SeveralValues)(same_command())
app.command("report", cls=report.MarkdownAlone)(report.report)
app.command("log")(log)
app.command("serve")(serve.serve)
app.add_typer(pde.app, name="pde")
app.add_typer(paper.app, name="paper")


def _version(wanted: bool) -> None:
    if wanted:
        say(f"lastbit {version('lastbit')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="On an error, print the traceback too.")] = False,
) -> None:
    """Take the options that stand before a command; without a command print the help."""
    pde.help_without_command(context)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: the words after `lastbit`; those of this process by default.
    """
    # Threads that wait for each other give their core to other programs; PyTorch reads this as it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    # What follows -- is the user's own command, untouched.
    end = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:end]
    words = [*(word for word in words[:end] if word != "--debug"), *words[end:]]
    try:
        with _stopped_like_ctrl_c():
            code: Any = app(words, standalone_mode=False, prog_name="lastbit")
        flush(sys.stdout)
    except LastbitError as error:
        return _fail(str(error), error.exit_code, debug)
    except TyperException as error:
        return _fail(_told(error), ExitCode.BAD_INPUT, debug)
    except (KeyboardInterrupt, Abort):
        return _fail("stopped", ExitCode.INTERRUPTED, debug)
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):  # the parser's word for a reader that has gone
            raise
        return ExitCode.ANSWERED
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in (errno.ENOSPC, errno.EIO):
            return _fail(f"cannot print the help ({error.strerror})", ExitCode.BAD_INPUT, debug)
        if _lacks_memory(error):
            return _fail(f"too large for this machine ({error}): use smaller sizes", ExitCode.BAD_INPUT, debug)
        hint = "" if debug else " (a defect in lastbit: run again with --debug for the traceback, and report it)"
        return _fail(f"{type(error).__name__}: {error}{hint}", ExitCode.DEFECT, debug)
    if code == ExitCode.INTERRUPTED:  # typer's word for Ctrl-C
        return _fail("stopped", code, debug)
    if code == ExitCode.DEFECT:  # typer's word for a shell that it cannot complete, or does not recognise
        return _fail("this shell is not known: run it from bash, zsh, fish or powershell", ExitCode.BAD_INPUT, debug)
    return code if isinstance(code, int) else ExitCode.ANSWERED


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does: one line, and every finished run safe.

    Who ignores them (nohup) or handles them goes on doing so.
    """
    replaced = []
    if threading.current_thread() is threading.main_thread():
        numbers = (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP"))
        replaced = [number for number in numbers if number and signal.getsignal(number) == signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _lacks_memory(error: Exception) -> bool:
    """Whether an allocator refused: Python's, NumPy's, or PyTorch's on a GPU; on a CPU that has no type of its own."""
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and isinstance(error, torch.OutOfMemoryError)
    on_cpu = type(error) is RuntimeError and "DefaultCPUAllocator: " in str(error)
    return isinstance(error, MemoryError) or on_gpu or on_cpu


def _told(error: TyperException) -> str:
    """Return what the parser says, with the option that it speaks of and where to read more."""
    option = getattr(getattr(error, "param", None), "opts", [""])[0]
    if option and isinstance(error.__cause__, ValidationError):
        return first_refusal(option, error.__cause__)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    said = message if option in message else f"{option}: {message}"
    context = getattr(error, "ctx", None)
    return said if context is None else f"{said.rstrip('.')} ({context.command_path} --help says what it takes)"


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        say(traceback.format_exc(), error=True, keep="\n")
    first, *listed = message.split("\n  ")
    for line in listed:
        say(f"  {line.rstrip()}", error=True)
    say(f"error: {' '.join(first.split())}", error=True)
    return code
