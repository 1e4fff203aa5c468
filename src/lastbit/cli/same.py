"""`lastbit same`: a candidate held against its reference, step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from lastbit.cli.fail_if import FailIf, conditions_on, judged
from lastbit.cli.fields import COMMAND, command_from, option
from lastbit.cli.output import check_writable, json_alone, present
from lastbit.cli.studies import Json, Quiet, texts_from, written_keywords
from lastbit.core.errors import LastbitError
from lastbit.studies.frame.settings import study_keywords
from lastbit.studies.same.settings import SameSettings

__all__ = ["same_command"]

_SIDES = "The two trainings"

Reference: TypeAlias = Annotated[
    str | None, option("The training as it was, a command or a task: 'python train.py' (none).", _SIDES)
]
Candidate: TypeAlias = Annotated[
    str | None, option("The training as it is now (the reference, under --candidate-env).", _SIDES)
]


def same_command() -> Callable[..., Any]:
    """Return the command; register it with `cls=SeveralValues`."""
    return command_from(_same, [*study_keywords(SameSettings), *written_keywords(SameSettings.files)])


def _same(
    context: typer.Context,
    *,
    reference: Reference = None,
    candidate: Candidate = None,
    json: Json = None,
    fail_if: FailIf = None,
    quiet: Quiet = False,
    **settings: Any,
) -> int:
    """Did my change alter training? Bit for bit, up to rounding, in another arithmetic, or from which step on not.

    Runs both, the candidate put onto the reference's weights, states and generators at every step, and holds
    what each step computes against what rounding alone does to it: lastbit same --reference 'python train.py'
    --candidate 'python train.py --compile'.

    Ends with 0 where they are the same, bit for bit, up to rounding or in another arithmetic, with 5 where they
    are not, with 4 where it is undecided, and with 3 where the reference does not repeat itself.
    """
    if context.meta.get(COMMAND) is not None:
        raise LastbitError(
            "this compares two programs: write each in quotes, --reference 'python a.py' --candidate 'python b.py'"
        )
    folders = [Path(settings[name]) for name in ("out", "resume") if name in settings]
    record, texts = settings.get("record"), texts_from(settings, SameSettings.files)
    reads = [*(one for one in (reference, candidate) if one), settings.get("against")]
    targets = [json, *texts.values(), None if record is None else Path(record)]
    check_writable(*targets, reads=reads, studies=folders)
    from lastbit.studies.same.kind import SAME, same

    conditions = conditions_on(fail_if, SAME.result.json_schema(), SAME.called) if fail_if else []
    with json_alone(json) as writer:
        study = same(reference, candidate, **settings, quiet=quiet)
        present(study, json=writer, texts=texts, quiet=quiet)
    return judged(conditions, study.to_json(), study.result.exit_code)
