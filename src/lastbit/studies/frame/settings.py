"""The settings of a study: what the flags, a TOML file and Python keywords are checked against."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from lastbit.core.config import Config, validated
from lastbit.core.errors import LastbitError, choose
from lastbit.tasks import TaskConfig

__all__ = ["DTYPES", "AuditConfig", "command_line", "read_study_file", "split_settings"]

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


class AuditConfig(Config):
    """The grid and the numerics of an audit; what is trained stands in a `TaskConfig`."""

    seeds: int = Field(default=6, ge=1, le=10_000, description="seeds, the rows of the grid")
    perturbations: int = Field(default=6, ge=1, le=10_000, description="runs per seed, the unperturbed one included")
    perturb: Literal["rescale", "ulp", "rounding", "reorder"] = Field(
        default="rescale", description="how the last bit is perturbed"
    )
    vary: Literal["all", "order", "init", "augment"] = Field(default="all", description="what differs between seeds")
    dtype: Literal["float32", "float64", "bfloat16"] = Field(default="float32", description="format of the weights")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")


def split_settings(
    settings: Mapping[str, Any], config: type[Config] = AuditConfig
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split flat settings into those of the task and those of the study, leaving out those that are None.

    Args:
        settings: by name.
        config: the settings that the study has besides its task's.

    Raises:
        LastbitError: a name that is neither.
    """
    names = [*TaskConfig.model_fields, *config.model_fields]
    task: dict[str, Any] = {}
    study: dict[str, Any] = {}
    for name, value in settings.items():
        choose(name, names, "setting")
        if value is not None:
            (task if name in TaskConfig.model_fields else study)[name] = value
    return task, study


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
        raise LastbitError(f"there is no study file {path} (a task is named with --task)") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LastbitError(f"{path} is not a TOML study file: {error}") from None
    settings = {name.replace("-", "_"): value for name, value in content.items()}
    for name, value in settings.items():
        choose(name, known, f"setting in {path}")
        if name in ("task", "out") and not isinstance(value, str):
            raise LastbitError(f"{name} = {value!r} in {path}: give text")
        if value == [] or isinstance(value, dict):
            raise LastbitError(f"{name} = {value!r} in {path}: give a value, or several in [brackets]")
    return settings


def audit_config(settings: Mapping[str, Any]) -> AuditConfig:
    """Validate the audit's settings, naming flags in messages."""
    return validated(AuditConfig, settings, flag="--")


def command_line(command: str, settings: Mapping[str, Any]) -> str:
    """Return the command that repeats a study exactly: every setting spelled out; a sequence as several words."""
    words = ["lastbit", command]
    for name, value in settings.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{name.replace('_', '-')}")
        elif isinstance(value, tuple):
            words += [flag, *map(str, value)] if value else []
        elif value is not None:
            words += [flag, str(value)]
    return shlex.join(words)
