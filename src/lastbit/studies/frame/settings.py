"""The settings of a study: what the flags, a TOML file and Python keywords are checked against."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError, choose

__all__ = ["command_line", "read_study_file"]


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
