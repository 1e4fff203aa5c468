"""The command line: parses, calls `studies` or `report`, turns errors into one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lastbit.core.exit_codes import ExitCode

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, also where Ctrl-C comes before the commands are there.

    Args:
        arguments: the words after `lastbit`; those of this process by default.
    """
    try:
        from lastbit.cli.app import main as commands
    except KeyboardInterrupt:
        print("error: stopped", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return commands(arguments)
