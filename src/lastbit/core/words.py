"""How many, what part and what was typed, in words: for `report.formatting`, and for rooms that cannot import it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Any

__all__ = ["capitalised", "command_text", "part", "plural", "typed"]


def plural(value: float | str, one: str, several: str = "") -> str:
    """Return how many there are of something; a number that is worded already is taken as it is.

    Example:
        >>> plural(1, "seed"), plural(0, "seed"), plural(1200, "process", "processes"), plural("1.5", "step")
        ('1 seed', '0 seeds', '1,200 processes', '1.5 steps')
    """
    text = value if isinstance(value, str) else f"{value:,.0f}"
    return f"{text} {one if text == '1' else several or one + 's'}"


def part(share: float) -> str:
    """Return a finite share as a percentage to two significant digits; a part is never the whole, or nothing.

    Example:
        >>> part(0.9996), part(1.0), part(0.093), part(0.00012)
        ('99.96%', '100%', '9.3%', '0.012%')
    """
    if 0.995 <= share < 1:
        return f"{min(100 * share, 99.99):.2f}%"
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.2g}%"


def capitalised(text: str) -> str:
    """Return the text with its first letter large."""
    return text[:1].upper() + text[1:]


def command_text(words: Iterable[str]) -> str:
    """Return words as a command that a shell takes, with no more quotes than a person would type.

    Example:
        >>> print(command_text(["python", "train.py", "--seed", "{seed}", "--name", "a b"]))
        python train.py --seed {seed} --name 'a b'
        >>> print(command_text(["lastbit", "same", "--reference", "python train.py --name 'a b'"]))
        lastbit same --reference "python train.py --name 'a b'"
    """
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    plain = word.replace("{seed}", "seed")
    if shlex.quote(plain) == plain:
        return word
    return f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)


def typed(value: Any) -> str:
    """Return a value as a user would type it, with every digit and none that says nothing.

    Example:
        >>> typed(2.0), typed(0.1), typed(1e-05), typed(3), typed("last")
        ('2', '0.1', '1e-05', '3', 'last')
    """
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
