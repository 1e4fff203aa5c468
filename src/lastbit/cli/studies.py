"""The commands that make a study, one for each kind: made from the fields of its settings and of its task's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from lastbit.cli.fail_if import FailIf, conditions_on, judged
from lastbit.cli.fields import COMMAND, SeveralValues, command_from, completing, option
from lastbit.cli.forgotten import NUMBER, TASKS, TakesCommands
from lastbit.cli.output import JSON_HELP, check_writable, json_alone, present
from lastbit.core.errors import LastbitError
from lastbit.core.keywords import Keyword
from lastbit.studies.audit.settings import AuditSettings
from lastbit.studies.doctor.settings import DoctorSettings
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.frame.settings import StudySettings, read_study_file, study_keywords
from lastbit.studies.kinds import KINDS
from lastbit.studies.remedy.settings import RemedySettings
from lastbit.studies.sharpness.settings import SharpnessSettings
from lastbit.studies.trace.settings import TraceSettings

if TYPE_CHECKING:
    from lastbit.studies.frame.kind import Kind

__all__ = ["Json", "Quiet", "add_studies", "refuse_dash", "study_command", "texts_from", "written_keywords"]

_OUTPUT = "Output"

What: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="TASK|STUDY.toml",
        help="A task, as --task names it, or a file with the same names as the flags, which override it; "
        "write it before flags of several values.",
        show_default=False,
        autocompletion=completing(TASKS),
    ),
]
Json: TypeAlias = Annotated[
    Path | None,
    option(JSON_HELP, _OUTPUT),
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.", rich_help_panel=_OUTPUT)]

_COMMANDS: dict[str, tuple[type[StudySettings], str]] = {
    "audit": (
        AuditSettings,
        "Is my result noise? Last-bit spread against seed spread, with intervals and a verdict.\n\n"
        "Trains a grid of seeds by last-bit perturbations, with one exact repeat per seed as control.\n\n"
        "With no options: a small network on handwritten digits, in about two minutes.",
    ),
    "trace": (
        TraceSettings,
        "Where and when was one bit amplified: which tensors, filters and steps; and is it restrained?\n\n"
        "Trains a base run, its exact repeat as control and a few twins perturbed in the last bit, in lock step, and "
        "measures tensor by tensor how they part. Your own training behind -- is run once for each: lastbit trace -- "
        "python train.py; --from AUDIT reads the runs that an audit of it has.\n\n"
        "With no options: a small network on handwritten digits, in about a minute.",
    ),
    "eos": (
        EosSettings,
        "How far past the stable step is a training? Sharpness against the limit, step by step, twins beside it.\n\n"
        "Several values of a flag (--weight-decay 0 0.1 1, or 0,0.1,1) train one network for each combination. A task "
        "in a file takes them as arguments: def FUNCTION(weight_decay=0.0): ...\n\n"
        "With no options: full-batch gradient descent of a small tanh mlp on the squared error of 600 handwritten "
        "digits, in about a minute.",
    ),
    "sharpness": (
        SharpnessSettings,
        "How sharp is a network now, by layer, and which learning rates would be stable?\n\n"
        "One measurement: the largest eigenvalues against the optimizer's limit, the spectrum, and a verdict.",
    ),
    "doctor": (
        DoctorSettings,
        "Why do two runs with the same seed differ? The step, tensor, operation, line, cause and cure.\n\n"
        "Runs your own training behind -- twice at once, as it is, and stops both where they first differ: lastbit "
        "doctor -- python train.py. Where they do not, it runs it twice more, one run after the other, for what a run "
        "leaves behind.\n\n"
        "With no options: a small network on handwritten digits.",
    ),
    "remedy": (
        RemedySettings,
        "What would calm it? Changes of a training, each held against it as it is; the best is confirmed.\n\n"
        "Each change (--change gelu decay/10 lr/2 float64) is made by itself and trained with the same seeds and "
        "perturbations; for scripts, --base 'python train.py --seed {seed}' --variant 'gelu=python train.py --act gelu "
        "--seed {seed}'. Ends with 4 where it is undecided.\n\n"
        "With no options: every known change of a small network on handwritten digits, in about an hour.",
    ),
}

_FRONTS = {"remedy": "lastbit.studies.remedy.kind:remedy"}
"""Of the commands whose programs are not one task or the command behind `--`."""


def add_studies(app: typer.Typer) -> None:
    """Add a command for each kind of study."""
    for name, (settings, text) in _COMMANDS.items():
        reads = TakesCommands if settings.commands else SeveralValues
        app.command(name, cls=reads)(study_command(KINDS[name], settings, text, _FRONTS.get(name)))


def study_command(kind: str, settings: type[StudySettings], text: str, front: str | None = None) -> Callable[..., Any]:
    """Return the command that makes a study of a kind; register it with `cls=SeveralValues` or `cls=TakesCommands`.

    It presents what was made and returns the exit code of its result.

    Args:
        kind: where the kind stands, `module:NAME`; imported when the command is run.
        settings: of the kind.
        text: help of the command.
        front: where the function stands that makes the study of what the command was given, `module:name`; `make` where
            nothing goes before that.
    """
    options, name = [*study_keywords(settings), *written_keywords(settings.files)], kind.rpartition(":")[2].lower()

    def command(
        context: typer.Context,
        what: What = None,
        *,
        json: Json = None,
        fail_if: FailIf = None,
        quiet: Quiet = False,
        **chosen: Any,
    ) -> int:
        given, words = dict(chosen), context.meta.get(COMMAND)
        if what is not None and what.endswith(".toml"):
            from_file = read_study_file(Path(what), [one.name for one in options if one.name != "resume"])
            if "resume" in given:
                from_file.pop("out", None)
            given = {**from_file, **given}
        elif what is not None and NUMBER.fullmatch(what):
            several = ", ".join(f"--{name.replace('_', '-')}" for name in settings.sweeps)
            takes = f"only {several} take several values" if several else "every flag takes one value"
            raise LastbitError(f"{what} is no task, and belongs to no flag: of lastbit {name}, {takes}")
        elif what is not None and given.setdefault("task", what) != what:
            raise LastbitError(f"two tasks, {what} and --task {given['task']}: name one")
        if words is not None and given.get("task"):
            raise LastbitError(f"{given['task']} and a command after --: give one of them")
        task, *others = (str(given.get(name) or "") for name in ("task", "data_root", "out", "resume", "from_audit"))
        reads = [what, task, task.rpartition(":")[0], others[0]]
        texts = texts_from(given, settings.files)
        if (record := given.get("record")) is not None:
            refuse_dash("record", record)
        targets = [json, *texts.values(), None if record is None else Path(record)]
        check_writable(*targets, reads=[*reads, given.get("against")], studies=[Path(one) for one in others[1:] if one])
        if words is not None:
            given["task"] = tuple(words)
        from lastbit.studies.frame.make import make

        made: Kind[Any, Any] = resolve_name(kind)
        conditions = conditions_on(fail_if, made.result.json_schema(), made.called) if fail_if else []
        with json_alone(json) as writer:
            study = make(made, **given, quiet=quiet) if front is None else resolve_name(front)(**given, quiet=quiet)
            present(study, json=writer, texts=texts, quiet=quiet)
        return judged(conditions, study.to_json(), study.result.exit_code)

    command.__doc__ = text
    return command_from(command, options)


def written_keywords(files: Mapping[str, str]) -> list[Keyword]:
    """Return the options for the files that a command can write besides.

    Args:
        files: the help of each, by its name.
    """
    return [
        Keyword(name=name, annotation=Path | None, default=None, required=False, help=told, panel=_OUTPUT, flags=())
        for name, told in files.items()
    ]


def texts_from(given: dict[str, Any], files: Iterable[str]) -> dict[str, Path]:
    """Take the files that are to be written out of what a command was given, and return them by name.

    Raises:
        LastbitError: one is `-`.
    """
    texts = {name: Path(given.pop(name)) for name in files if name in given}
    for name, path in texts.items():
        refuse_dash(name, path)
    return texts


def refuse_dash(name: str, path: str | Path) -> None:
    """Refuse standard output in place of a file.

    Raises:
        LastbitError: the path is `-`.
    """
    if str(path) == "-":
        raise LastbitError(f"--{name} - is no file: name one (--json - alone writes to standard output)")
