"""Flags that take several values, which the parser knows as one word."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

__all__ = ["join_values"]

_FLAG = re.compile(r"--|-[a-z]")


def join_values(words: Sequence[str], flags: Collection[str]) -> list[str]:
    """Join the values of a flag that takes several: `--lr 0.1 0.2` becomes `--lr 0.1,0.2`.

    Beside flags these commands take a study file alone, so every other word up to the next flag belongs to the flag
    before it.

    Args:
        words: what follows the command's name.
        flags: those that take several values.

    Example:
        >>> join_values(["--lr", "0.1", "0.2", "study.toml", "--quiet"], {"--lr"})
        ['--lr', '0.1,0.2', 'study.toml', '--quiet']
    """
    found: list[str] = []
    flag, values = "", 0
    for word in words:
        if _FLAG.match(word):
            flag, values = word, 0
        elif flag in flags and not word.endswith(".toml"):
            values += 1
            if values > 1:
                found[-1] += f",{word}"
                continue
        else:
            flag = ""
        found.append(word)
    return found
