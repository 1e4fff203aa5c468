"""What the arms of a search for a remedy are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lastbit.core.errors import LastbitError

__all__ = ["BASE", "names_of", "split_variant"]

BASE = "base"
"""What the training as it is is called."""

_VARIANT = re.compile(r"\s*([^\s=][^=]*?)\s*=\s*(\S.*)", re.DOTALL)


def split_variant(text: str) -> tuple[str, str]:
    """Return the name and the program of a variant.

    Raises:
        LastbitError: it has no name, or no program.

    Example:
        >>> split_variant("gelu=python train.py --act=gelu")
        ('gelu', 'python train.py --act=gelu')
    """
    found = _VARIANT.fullmatch(text)
    if found is None or found[1] == BASE or len(found[1]) > 60:
        raise LastbitError(f"--variant {text!r}: write NAME=PROGRAM, such as 'gelu=python train.py --act gelu'")
    return found[1], found[2]


def names_of(specs: Sequence[Mapping[str, Any]], variants: Sequence[str]) -> list[str]:
    """Return what each arm is called.

    Args:
        specs: what `study.json` keeps of each program.
        variants: as they were written, where there are such.
    """
    named = [split_variant(text)[0] for text in variants] or [str(spec["change"]) for spec in specs[1:]]
    return [BASE, *named]
