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
from lastbit.studies.frame.settings import read_study_file, study_keywords

__all__ = ["compare_command"]

_ARMS = "The arms"

_NAMED = ("arms", "a", "b", "arm")
"""What a study file calls its arms."""

Arms: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[A B ...|STUDY.toml]",
        help="Arms that were measured before: folders of audits, or CSV files (seed,value in rows, or a run a column); "
        "or a file with the same names as the flags, which override it.",
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
    files = [one for one in arms or () if one.endswith(".toml")]
    if files:
        if len(arms or ()) > 1:
            raise LastbitError(f"{files[0]} is a study file, which stands alone: name the arms in it, arms = [...]")
        settings = {**_read(Path(files[0]), resumes="resume" in settings), **settings}
        arms, a, b = settings.pop("arms", None), a or settings.pop("a", None), b or settings.pop("b", None)
        arm = arm or settings.pop("arm", None)
        for name in ("a", "b", "arm"):
            settings.pop(name, None)
    named = [*(arms or []), *(one for one in (a, b) if one is not None), *(arm or [])]
    folders = [Path(settings[name]) for name in ("out", "resume") if name in settings]
    check_writable(json, reads=named, studies=folders)
    from lastbit.studies.compare.kind import COMPARE, compare

    conditions = conditions_on(fail_if, COMPARE.result.json_schema(), COMPARE.called) if fail_if else []
    with json_alone(json) as writer:
        study = compare(*named, **settings, quiet=quiet)
        present(study, json=writer, quiet=quiet)
    return judged(conditions, study.to_json(), study.result.exit_code)


def _read(path: Path, *, resumes: bool) -> dict[str, Any]:
    """Return what a study file says: `arms`, those that were measured, or `a`, `b` and `arm`, and settings.

    Raises:
        LastbitError: it cannot be read, or a value is none that a flag could have.
    """
    known = [one.name for one in study_keywords(CompareSettings) if one.name != "resume"]
    told = read_study_file(path, [*_NAMED, *known])
    for name in ("arms", "arm"):
        value = told.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise LastbitError(f"{name} = {value!r} in {path}: give texts in [brackets]")
    if resumes:
        told.pop("out", None)
    return told
