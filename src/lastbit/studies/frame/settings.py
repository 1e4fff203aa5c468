"""The settings of a study: what the flags, a TOML file and Python keywords are checked against.

Nothing here imports PyTorch: the command line reads these classes to show its help.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict

from lastbit.core.config import Config
from lastbit.core.errors import LastbitError, choose
from lastbit.core.keywords import Keyword, keywords, setting, several
from lastbit.core.words import command_text, typed
from lastbit.tasks.config import TaskConfig
from lastbit.tasks.shown import shown_defaults

__all__ = [
    "CI_FILES",
    "CommandSettings",
    "Deterministic",
    "Device",
    "Format",
    "Perturb",
    "PerturbAny",
    "StudySettings",
    "Timeout",
    "command_keywords",
    "command_line",
    "command_words",
    "read_study_file",
    "study_keywords",
]

_PANEL = "The arithmetic"

Format = Literal["float32", "float64", "bfloat16"]
_Perturbation = Literal["rescale", "ulp", "rounding", "reorder", "auto"]
_PERTURB = "how the last bit is perturbed"
Perturb = Annotated[_Perturbation, setting(_PERTURB, panel=_PANEL)]
PerturbAny = Annotated[
    _Perturbation,
    setting(
        _PERTURB,
        panel=_PANEL,
        remarks={
            "rescale": "default of a task",
            "reorder": "a task alone",
            "auto": "default of a function or command: rescale, or rounding where an optimizer's direction is unknown",
        },
    ),
]
"""Of a study that repeats functions and commands too."""
Device = Annotated[str, setting("where to train: auto, cpu, cuda or cuda:N", panel=_PANEL)]
Deterministic = Annotated[
    bool,
    setting(
        "set PyTorch's deterministic mode, threads and hash seed; as-is: touch none", flags=("--deterministic/--as-is",)
    ),
]
Timeout = Annotated[float | None, setting("seconds after which a run is ended", shown="none", gt=0)]


CI_FILES: Mapping[str, str] = {
    "junit": "Write the answer as JUnit XML to this file too, for what shows the tests of a CI job.",
    "markdown": "Write the answer as Markdown to this file too, for a pull request.",
}
"""What a command that answers a question of CI can write, by the name of what makes it, with help."""


class StudySettings(Config):
    """What a kind of study has besides its program, and what it asks of the program's settings."""

    sweeps: ClassVar[tuple[str, ...]] = ()
    """Settings of the task that may hold several values, an axis of a sweep each."""
    arguments: ClassVar[tuple[str, ...]] = ()
    """Settings that a task in a file takes as arguments of its function."""
    decides: ClassVar[tuple[str, ...]] = ()
    """Settings of the task that this kind sets itself."""
    of_tasks: ClassVar[tuple[str, ...]] = ()
    """Settings of its own that a function or command decides itself, or that need a Task."""
    commands: ClassVar[bool] = False
    """Whether it repeats commands, and takes what is to be known of one."""
    reads_audits: ClassVar[bool] = False
    """Whether it can be made of an audit's runs."""
    lays_out: ClassVar[bool] = False
    """Whether its networks may have another memory format than their task's own."""
    unasked: ClassVar[tuple[str, ...]] = ()
    """Settings of commands that it does not take."""
    files: ClassVar[Mapping[str, str]] = {}
    """What its command can write beside the report and the JSON, methods of its study that return text, with help."""
    shown: ClassVar[Mapping[str, str]] = shown_defaults()
    """Defaults of the task's settings in words, where this kind prefers none of its own."""

    def check_of_tasks(self, program: str) -> None:
        """Refuse, for a function or command of this name, a setting that it decides itself.

        Raises:
            LastbitError: such a setting is not at its default.
        """
        for name in self.of_tasks:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise LastbitError(f"--{name} belongs to tasks: {program} decides it itself")


class CommandSettings(Config):
    """What a study must be told of the user's command after `--`."""

    model_config = ConfigDict(json_schema_extra={"panel": "A command after --"})

    metric: Annotated[
        tuple[str, ...],
        setting("name of a number in the command's output, or a /pattern/ with one group", verbatim=True),
    ] = ()
    metric_file: Annotated[
        tuple[str, ...], setting("number in a JSON, JSON lines or CSV file, as PATH:key.path", verbatim=True)
    ] = ()
    metric_tag: Annotated[tuple[str, ...], setting("tag of a scalar in TensorBoard's event files", verbatim=True)] = ()
    metric_mlflow: Annotated[tuple[str, ...], setting("key of a metric in MLflow's store", verbatim=True)] = ()
    metric_of: Annotated[
        tuple[str, ...],
        setting("which value of a series counts: last, best or mean:N", shown="last", verbatim=True),
    ] = ()
    better: Annotated[
        tuple[str, ...], setting("whether higher or lower is better", shown="not said", verbatim=True)
    ] = ()
    reseed: Annotated[
        bool,
        setting("shift every seed that the program sets, and set those that it does not", flags=("--reseed",)),
    ] = False
    deterministic: Deterministic = True
    timeout: Timeout = None


class AgainSettings(Config):
    """The runs of an earlier study, read in place of new ones."""

    model_config = ConfigDict(json_schema_extra={"panel": "Output"})

    from_audit: Annotated[
        str | Path | None,
        setting("the audit of a function or command whose runs are read; nothing is trained", flags=("--from",)),
    ] = None


class LayoutSettings(Config):
    """How the networks of a task lie in memory."""

    model_config = ConfigDict(json_schema_extra={"panel": _PANEL})

    memory_format: Annotated[
        Literal["contiguous", "channels_last"] | None,
        setting(
            "layout of the networks' weights, which decides the last bits; contiguous is as the task makes them",
            shown="measured where the threads are, for larger convolutions",
        ),
    ] = None


class ClusterSettings(Config):
    """Where on a cluster runs are executed: nothing of what they measure."""

    ray_address: Annotated[
        str | None,
        setting(
            "with --executor ray, the cluster: local, auto, or HOST:PORT of its head",
            panel=_PANEL,
            shown="what RAY_ADDRESS says, else local",
        ),
    ] = None
    per_run_cpus: Annotated[
        float | None, setting("with --executor ray, CPUs that a run takes", panel=_PANEL, shown="its threads", gt=0)
    ] = None
    per_run_gpus: Annotated[
        float | None,
        setting(
            "with --executor ray, GPUs that a run takes, or a part of one", panel=_PANEL, shown="0, or 1 on cuda", ge=0
        ),
    ] = None


class _AnyExecutor(Config):
    executor: Annotated[
        Literal["serial", "processes", "replicas", "ray"] | None,
        setting(
            "how runs are executed: one after another, in processes, in step with each other in this one, or on a Ray "
            "cluster",
            panel=_PANEL,
            shown="measured",
        ),
    ] = None


class _ApartExecutor(Config):
    executor: Annotated[
        Literal["serial", "processes", "ray"] | None,
        setting("how runs are executed: one after another, in processes, or on a Ray cluster", panel=_PANEL),
    ] = None


class ExecutorSettings(ClusterSettings, _ApartExecutor):
    """What runs are executed on that are not those of one study, of which none go in step."""


class FolderSettings(ClusterSettings, _AnyExecutor):
    """Where a study lies and in how many processes it runs: nothing of what it measures."""

    workers: Annotated[
        int | None, setting("number of processes; 1 stays in this one", panel=_PANEL, shown="measured", ge=1)
    ] = None
    threads: Annotated[
        int | None,
        setting(
            "threads of each process, which decide the last bits",
            panel=_PANEL,
            shown="measured; 1 for small networks",
            ge=1,
        ),
    ] = None
    replicas: Annotated[
        int | None,
        setting(
            "runs that the executor replicas takes in step; in a stack the number decides the last bits",
            panel=_PANEL,
            shown="8, on a GPU 32",
            ge=1,
        ),
    ] = None
    progress: Annotated[
        Literal["bar", "plain", "json", "none"] | None,
        setting(
            "what the error stream is told of the runs, with json in a line of JSON for each event",
            panel="Output",
            shown="bar on a terminal, plain elsewhere, none with --quiet",
        ),
    ] = None
    out: Annotated[
        str | Path | None, setting("new folder of the study", panel="Output", shown="lastbit-studies/KIND-TASK-NNN")
    ] = None
    resume: Annotated[
        str | Path | None, setting("continue the study in this folder; its finished runs are kept", panel="Output")
    ] = None
    trust: Annotated[
        bool,
        setting(
            "run the task file of a study that another user or computer began, to resume it",
            panel="Output",
            flags=("--trust",),
        ),
    ] = False


def study_keywords(settings: type[StudySettings]) -> list[Keyword]:
    """Return what a study is asked: what its task may be told, the kind's own settings, and where and how it runs."""
    of_task = [one for one in keywords(TaskConfig, shown=settings.shown) if one.name not in settings.decides]
    of_task = [several(one) if one.name in settings.sweeps else one for one in of_task]
    known = command_keywords(settings)
    of_command = [
        one for one in keywords(CommandSettings) if one.name in known and one.name not in settings.model_fields
    ]
    again = keywords(AgainSettings) if settings.reads_audits else []
    laid_out = keywords(LayoutSettings) if settings.lays_out else []
    return [*of_task, *keywords(settings), *laid_out, *of_command, *again, *keywords(FolderSettings)]


def command_keywords(settings: type[StudySettings]) -> list[str]:
    """Return the names of what a study takes of commands."""
    return [name for name in CommandSettings.model_fields if settings.commands and name not in settings.unasked]


def read_study_file(path: Path, known: Iterable[str]) -> dict[str, Any]:
    """Read a TOML study file: the same names as the flags, without the hyphens in front.

    Args:
        path: the file.
        known: the names that the command takes.

    Raises:
        LastbitError: the file is missing, not TOML, has an unknown name, or a value that no flag could have.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except FileNotFoundError:
        raise LastbitError(f"there is no study file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LastbitError(f"{path} is not a TOML study file: {error}") from None
    settings = {name.replace("-", "_"): value for name, value in content.items()}
    for name, value in settings.items():
        choose(name, known, f"setting in {path}")
        if name in ("task", "out", "a", "b") and not isinstance(value, str):
            raise LastbitError(f"{name} = {value!r} in {path}: give text")
        if value == [] or isinstance(value, dict):
            raise LastbitError(f"{name} = {value!r} in {path}: give a value, or several in [brackets]")
    return settings


def command_line(command: str, settings: Mapping[str, Any], own: type[StudySettings] | None = None) -> str:
    """Return the command that repeats a study exactly: every setting spelled out, as in `command_words`."""
    return command_text(["lastbit", command, *command_words(settings, own)])


def command_words(settings: Mapping[str, Any], own: type[StudySettings] | None = None) -> list[str]:
    """Return the words that spell out every setting; a sequence as several words.

    A setting of commands after `--` that takes several values is a flag for each.

    Args:
        settings: by name.
        own: those of the kind of study, of which some may have no word for what is off.
    """
    words: list[str] = []
    known = {one.name: one for one in keywords(CommandSettings)}
    flagged = known | {one.name: one for one in (keywords(own) if own is not None else ())}
    for name, value in settings.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            flags = flagged[name].flags if name in flagged else ()
            yes, _, no = (flags[0] if flags else f"{flag}/--no{flag[1:]}").partition("/")
            words += [yes] if value else [no] if no else []
        elif isinstance(value, tuple) and name in known:
            words += [word for one in value for word in (flag, typed(one))]
        elif isinstance(value, tuple):
            words += [flag, *map(str, value)] if value else []
        elif value is not None:
            words += [flag, typed(value)]
    return words
