"""What can be said of a command before it is run: whether there is such a program, and whether it can be reached."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from lastbit.core.errors import LastbitError
from lastbit.core.words import command_text

__all__ = ["check_command"]

_PYTHON = re.compile(r"python(\d+(\.\d+)*)?(t|d)?$")
_TAKES_VALUE = "WX"
"""Options of Python whose value is the rest of the word, or the next."""

_UNREACHED = {"E": "ignores PYTHONPATH", "I": "ignores PYTHONPATH", "S": "skips the site module"}


def check_command(words: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None) -> None:
    """Check that a command can be run, and that lastbit will be reached in it.

    Args:
        words: the command, word by word.
        cwd: where it is to run.
        environment: in which; this process's by default.

    Raises:
        LastbitError: there is none, its program or the script that it gives Python is not found, or it is a Python that
            leaves out what reaches it.
    """
    if not words:
        raise LastbitError("no command after --: write the command that trains, such as -- python train.py")
    if not cwd.is_dir():
        raise LastbitError(f"{cwd} is no folder to run a command in")
    held = os.environ if environment is None else environment
    program = _found(words[0], cwd, held.get("PATH", os.defpath))
    if _PYTHON.match(Path(program).name):
        _check_options(words[1:], command_text(words))
        _check_script(words, cwd)
    else:
        _check_options(_shebang(program), f"the first line of {words[0]}")


def _check_script(words: Sequence[str], cwd: Path) -> None:
    """Refuse a script that is not there, so that no other program is trained before Python says so."""
    named = next((word for word in words[1:] if not word.startswith("-")), "")
    if named.endswith(".py") and not (cwd / named).is_file():
        raise LastbitError(f"there is no {named} in {cwd}: name the script by its path from there")


def _found(word: str, cwd: Path, path: str) -> str:
    """Return the file that a shell would run for `word`."""
    if os.sep in word:
        found = shutil.which(str(cwd / word))
    else:
        found = shutil.which(word, path=os.pathsep.join(str(cwd / entry) for entry in path.split(os.pathsep)))
    if found is not None:
        return found
    file = cwd / word
    if file.suffix == ".py" and file.is_file():
        raise LastbitError(f"{word} is a file that cannot be run by itself: write -- python {word}")
    if file.is_file():
        raise LastbitError(f"{word} is a file that cannot be run by itself: write what runs it, such as -- sh {word}")
    hint = "" if " " not in word.strip() else " (one word for each argument: leave out the quotes around all of it)"
    raise LastbitError(f"{word}: command not found{hint}")


def _shebang(program: str) -> list[str]:
    """Return the options that a script gives its Python in its first line."""
    try:
        with open(program, "rb") as file:
            first = file.readline(256)
    except OSError:
        return []
    words = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    for place, word in enumerate(words):
        if _PYTHON.match(Path(word).name):
            return words[place + 1 :]
    return []


def _check_options(words: Sequence[str], shown: str) -> None:
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word.startswith("--") or word == "-":
            return
        for place, letter in enumerate(word[1:], 1):
            if letter in _UNREACHED:
                raise LastbitError(
                    f"{shown}: python -{letter} {_UNREACHED[letter]}, by which lastbit reaches a program: leave out "
                    f"-{letter}"
                )
            if letter in "cm":
                return
            if letter in _TAKES_VALUE:
                if place == len(word) - 1:
                    next(rest, None)
                break
