"""The exit codes of every command: one table, which the help and docs/exit-codes.md repeat."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitCode", "exit_codes_help"]


class ExitCode(IntEnum):
    """How a command ended; `meaning` says it in a few words.

    Example:
        >>> int(ExitCode.NO), ExitCode.UNDECIDED.meaning
        (5, 'undecided (commands that decide, --fail-if on what is not measured)')
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """Make a member that is an integer and carries its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    ANSWERED = 0, "answered"
    DEFECT = 1, "a defect of lastbit"
    BAD_INPUT = 2, "bad input, explained in one line"
    NOT_REPRODUCIBLE = 3, "not reproducible here"
    UNDECIDED = 4, "undecided (commands that decide, --fail-if on what is not measured)"
    NO = 5, "the answer is no (gate: discard, same: different)"
    ALL_DIVERGED = 6, "every run diverged"
    FAIL_IF = 7, "a --fail-if condition holds"
    INTERRUPTED = 130, "interrupted"


def exit_codes_help() -> str:
    """Return the table as the one sentence that stands at the end of a command's help."""
    return "Exit codes: " + "; ".join(f"{int(code)} {code.meaning}" for code in ExitCode) + "."
