"""What the arms of a comparison are called: whole in tables, and in a sentence by what tells them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lastbit.core.words import command_text
from lastbit.studies.frame.settings import command_words

__all__ = ["names_of_files", "names_of_programs", "told_apart"]

_LONGEST = 48
"""Characters of a name that a sentence has room for, twice."""


def names_of_programs(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what each arm is: a command, a name, or a task with the settings that are not the same in all."""
    every = [spec.get("program", {}) for spec in specs]
    known = dict.fromkeys(name for one in every for name in one if name != "task")
    other = [name for name in known if any(one.get(name) != every[0].get(name) for one in every if one)]
    tasks = {one["task"]: one["task"].rpartition("/")[2] for one in every if one}
    short = len({*tasks.values()}) == len(tasks)
    return [_name(spec, other, tasks if short else {}) for spec in specs]


def _name(spec: Mapping[str, Any], other: Sequence[str], short: Mapping[str, str]) -> str:
    if "command" in spec:
        return command_text(spec["command"]["words"])
    if "object" in spec:
        return str(spec["object"])
    task = spec["program"]["task"]
    told = {name: spec["program"].get(name) for name in other}
    return command_text([short.get(task, task), *command_words(told)])


def names_of_files(paths: Sequence[Path]) -> list[str]:
    """Return the name of each file or folder, with the folders above it where two are called alike.

    Example:
        >>> names_of_files([Path("old/a.csv"), Path("b.csv")]), names_of_files([Path("old/a"), Path("new/a")])
        (['a', 'b'], ['old/a', 'new/a'])
    """
    short = [path.resolve().name if path.is_dir() else path.stem for path in paths]
    return short if len(set(short)) == len(short) else [path.as_posix() for path in paths]


def told_apart(names: Sequence[str]) -> list[str]:
    """Return of each name the words that are not the same in all, an option with its value; "" where they are too long.

    Example:
        >>> told_apart(["python train.py --lr 0.1 --seed {seed}", "python train.py --lr 0.2 --seed {seed}"])
        ['--lr 0.1', '--lr 0.2']
        >>> told_apart(["digits", "digits --lr 0.1"]), told_apart(["baseline", "x" * 99])
        (['digits', 'digits --lr 0.1'], ['', ''])
    """
    words = [name.split() for name in names]
    begins = _alike(words)
    ends = _alike([each[begins:][::-1] for each in words])
    if begins and words[0][begins - 1].startswith("--"):
        begins -= 1
    parts = [" ".join(each[begins : len(each) - ends]) for each in words]
    told = parts if all(parts) else list(names)
    return told if max(map(len, told)) <= _LONGEST else [""] * len(names)


def _alike(words: Sequence[Sequence[str]]) -> int:
    """Return how many words all begin with."""
    alike = [len(set(column)) == 1 for column in zip(*words, strict=False)]
    return [*alike, False].index(False)
