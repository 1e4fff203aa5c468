"""`--fail-if`: conditions on a result that make a command fail, so that a CI job does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.core.terminal import say

if TYPE_CHECKING:
    from lastbit.studies.frame.condition import Condition

__all__ = ["FailIf", "conditions_of", "conditions_on", "judged", "judged_alone"]

FailIf: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="Exit with code 7 if this holds of the result: a field of its JSON, a comparison and a number, as in "
        "'last_bit_variance_share > 0.5'; may be repeated.",
        rich_help_panel="Output",
        show_default=False,
    ),
]


def conditions_on(texts: Sequence[str] | None, schema: Mapping[str, Any], of: str) -> list[Condition]:
    """Return the conditions that were given, checked against what a result can hold.

    Raises:
        LastbitError: one is malformed, or on a field that no result of this kind has.
    """
    found = conditions_of(texts)
    for condition in found:
        condition.check(schema, of)
    return found


def conditions_of(texts: Sequence[str] | None) -> list[Condition]:
    """Return the conditions that were given.

    Raises:
        LastbitError: one is malformed.
    """
    from lastbit.studies.frame.condition import Condition

    return [Condition.parse(text) for text in texts or ()]


def judged_alone(conditions: Sequence[Condition], content: Mapping[str, Any]) -> ExitCode:
    """Return the exit code of an answer whose form depends on the problem, with the conditions counted in.

    Raises:
        LastbitError: a condition is on a field that this answer does not have.
    """
    for condition in conditions:
        if condition.path[0] not in content:
            fields = ", ".join(content)
            raise LastbitError(f"{condition.text!r}: {condition.path[0]} is no field of this answer; it has {fields}")
    return judged(conditions, content, ExitCode.ANSWERED)


def judged(conditions: Sequence[Condition], content: Mapping[str, Any], code: ExitCode) -> ExitCode:
    """Return the exit code with the conditions counted in, and say on standard error which one decided.

    Failed controls and diverged runs stay what they are: the numbers are not what they are called. Else a condition
    that holds makes the code 7, and one that cannot be judged makes an answer undecided: it must not pass in silence.

    Args:
        conditions: the conditions.
        content: JSON of the result.
        code: that of the result itself.
    """
    hold = unknown = False
    for condition in conditions:
        found = condition.holds(content)
        if found:
            say(f"--fail-if {condition.text}: holds, the value is {condition.value(content)}", error=True)
        elif found is None:
            say(f"--fail-if {condition.text}: cannot be judged, it is not measured", error=True)
        hold, unknown = hold or bool(found), unknown or found is None
    if code in (ExitCode.NOT_REPRODUCIBLE, ExitCode.ALL_DIVERGED):
        return code
    if hold:
        return ExitCode.FAIL_IF
    return ExitCode.UNDECIDED if unknown and code == ExitCode.ANSWERED else code
