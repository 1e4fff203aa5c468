"""`lastbit gate`: keep or discard one candidate of many, with an exit code that a loop can act on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from lastbit.cli.fields import COMMAND, command_from, option
from lastbit.cli.output import check_writable, json_alone, present
from lastbit.cli.studies import Json, Quiet, texts_from, written_keywords
from lastbit.core.errors import LastbitError
from lastbit.studies.frame.settings import CI_FILES
from lastbit.studies.gate.settings import gate_keywords

__all__ = ["gate_command"]

_SESSION = "The session"

Against: TypeAlias = Annotated[
    str | None,
    option("The first baseline: an audit's folder, a task, or a command in quotes, 'python train.py'.", _SESSION),
]
Folder: TypeAlias = Annotated[
    Path | None,
    option("Folder of the session (default beside the audit, or lastbit-studies/gate-NAME).", _SESSION),
]
Status: TypeAlias = Annotated[
    bool, typer.Option("--status", help="Print what the session holds, and run nothing.", rich_help_panel=_SESSION)
]


def gate_command() -> Callable[..., Any]:
    """Return the command; register it with `cls=SeveralValues`."""
    return command_from(_gate, [*gate_keywords(), *written_keywords(CI_FILES)])


def _gate(
    context: typer.Context,
    *,
    baseline: Against = None,
    ledger: Folder = None,
    status: Status = False,
    json: Json = None,
    quiet: Quiet = False,
    **settings: Any,
) -> int:
    """Keep or discard one candidate of many, so that of all keeps of a session at most 5% are false in expectation.

    Runs the candidate behind -- and the baseline as often as the decision needs, a candidate 16 times at
    most: lastbit gate --baseline 'python train.py --seed {seed}' --metric val_acc --better higher -- python
    new.py --seed {seed}. A ledger remembers the session: what is kept is the baseline of what comes next.
    The same command goes on where it was stopped. lastbit gate --status prints the session.

    Ends with 0 for keep, 5 for discard and 4 for undecided.
    """
    words = context.meta.get(COMMAND)
    texts = texts_from(settings, CI_FILES)
    check_writable(json, *texts.values(), studies=[ledger] if ledger else [])
    if status and "junit" in texts:
        raise LastbitError("--junit is for the decision on a candidate, and --status asks for none: leave one of them")
    from lastbit.studies.gate.gate import gate, gate_status

    with json_alone(json) as writer:
        if status:
            if words is not None or settings:
                raise LastbitError(
                    "--status prints a session and runs nothing: give --ledger or --baseline alone with it"
                )
            answer = gate_status(ledger, baseline=baseline)
        elif words is None:
            raise LastbitError("there is no candidate: write it behind --, as in lastbit gate ... -- python train.py")
        elif baseline is None:
            raise LastbitError(
                "there is no baseline: give --baseline, an audit's folder, a task or a command in quotes"
            )
        else:
            answer = gate(baseline, words, ledger=ledger, quiet=quiet, **settings)
        present(answer, json=writer, texts=texts, quiet=quiet)
    return answer.exit_code
