"""The command line: parses, calls `studies` or `report`, turns errors into one line and an exit code."""

from lastbit.cli.app import main

__all__ = ["main"]
