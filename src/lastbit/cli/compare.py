"""`lastbit compare`: arms that were measured before, or programs that are trained now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from lastbit.cli.fail_if import FailIf, conditions_on, judged
from lastbit.cli.fields import COMMAND, command_from, option
from lastbit.cli.output import check_writable, json_alone, present
from lastbit.cli.studies import Json, Quiet
from lastbit.core.errors import LastbitError
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.frame.settings import study_keywords

__all__ = ["compare_command"]

_ARMS = "The arms"

Arms: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[A B ...]",
        help="Arms that were measured before: folders of audits, or CSV files (seed,value in rows, or a run a column).",
        show_default=False,
    ),
]
Program: TypeAlias = Annotated[
    str | None, option("A program to train, a command or a task: 'digits --lr 0.1' (none).", _ARMS)
]
Further: TypeAlias = Annotated[list[str] | None, option("A further program; may be given several times.", _ARMS)]


def compare_command() -> Callable[..., Any]:
    """Return the command; register it with `cls=SeveralValues`."""
    return command_from(_compare, study_keywords(CompareSettings))


def _compare(
    context: typer.Context,
    arms: Arms = None,
    *,
    a: Program = None,
    b: Program = None,
    arm: Further = None,
    json: Json = None,
    fail_if: FailIf = None,
    quiet: Quiet = False,
    **settings: Any,
) -> int:
    """Is B better than A? The difference with its interval, and a decision with a stated error rate.

    Reads arms that were measured before, lastbit compare STUDY-A STUDY-B or lastbit compare a.csv b.csv;
    or trains programs with fresh seeds beside each other, --a 'python train.py --seed {seed}' --b '...'.
    Options of tasks that stand here hold for every arm that is a task; an arm's own stand in its text, as
    in --b 'digits --lr 0.1'.

    Ends with 0 where it is decided, real or no difference, and with 4 where it is not.
    """
    if context.meta.get(COMMAND) is not None:
        raise LastbitError(
            "a comparison has several programs: write each in quotes, --a 'python a.py' --b 'python b.py'"
        )
    named = [*(arms or []), *(one for one in (a, b) if one is not None), *(arm or [])]
    folders = [Path(settings[name]) for name in ("out", "resume") if name in settings]
    check_writable(json, reads=named, studies=folders)
    from lastbit.studies.compare.kind import COMPARE, compare

    conditions = conditions_on(fail_if, COMPARE.result.json_schema(), COMPARE.called) if fail_if else []
    with json_alone(json) as writer:
        study = compare(*named, **settings, quiet=quiet)
        present(study, json=writer, quiet=quiet)
    return judged(conditions, study.to_json(), study.result.exit_code)
