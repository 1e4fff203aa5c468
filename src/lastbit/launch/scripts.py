"""The files that a command runs, as far as its words and the shell scripts among them tell."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["module_folders", "scripts_of"]

_SHELL = (".sh", ".bash", ".zsh")
_MOST = 1 << 20
"""Bytes of a script that is looked into."""

_PYTHON = re.compile(r"[^\s'\"=;|&()<>]+\.py\b")
_MODULE = re.compile(r"-m\s+([A-Za-z_][\w.]*)")


def scripts_of(words: Sequence[str], folder: Path) -> list[Path]:
    """Return the scripts and modules that a command names, and those that its shell scripts name.

    Args:
        words: the command, word by word.
        folder: where it runs.
    """
    found = list(_named(words, folder))
    for script in [file for file in found if file.suffix != ".py"]:
        text = script.read_text("utf-8", "replace")
        found += [path for word in _PYTHON.findall(text) if (path := folder / word).is_file()]
        found += [path for module in _MODULE.findall(text) for path in _module(module, folder)]
    return list(dict.fromkeys(found))


def module_folders(scripts: Sequence[Path], folder: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return where the Python of a command looks for modules of the user's: beside its scripts, here, `PYTHONPATH`."""
    path = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    beside = [script.parent for script in scripts if script.suffix == ".py"]
    return list(dict.fromkeys([*beside, folder, *(folder / entry for entry in path)]))


def _named(words: Sequence[str], folder: Path) -> Iterator[Path]:
    for place, word in enumerate(words):
        if place and words[place - 1] == "-m":
            yield from _module(word, folder)
        try:
            path = folder / word
            if path.is_file() and (path.suffix == ".py" or _is_script(path)):
                yield path
        except (OSError, ValueError):  # a word that is no path
            continue


def _is_script(path: Path) -> bool:
    if path.stat().st_size > _MOST or {"bin", "Scripts"} & {path.parent.name}:
        return False  # what is installed: its text says where its package is
    return path.suffix in _SHELL or path.read_bytes()[:2] == b"#!"


def _module(name: str, folder: Path) -> list[Path]:
    place = folder.joinpath(*name.split("."))
    found = (place.with_name(f"{place.name}.py"), place / "__init__.py", place / "__main__.py")
    return [path for path in found if path.is_file()]
