"""The defaults of the built-in tasks in words, for the help of the commands that train them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lastbit.core.keywords import default_words
from lastbit.optimizers.registry import OPTIMIZERS
from lastbit.tasks.registry import TASKS

__all__ = ["shown_defaults"]

_OTHERS = {
    "train_size": "all",
    "depth": "the network's own",
    "kernel": "3 where a depth is given",
    "loss": "cross-entropy",
    "data_root": "that of LASTBIT_DATA, or the user's cache",
}
"""Defaults that stand in no table."""


def shown_defaults() -> dict[str, str]:
    """Return the default of each setting of a built-in task, by name: by task, and by optimizer, where they differ.

    Example:
        >>> found = shown_defaults()
        >>> found["schedule"], found["width"]
        ('linear', '8 for digits and fashion-mnist, 16 for cifar10')
        >>> found["lr"]
        '0.3 for digits, 0.1 for fashion-mnist and cifar10; 0.001 for adam, adamw and rmsprop'
    """
    by_task = {name: spec.defaults for name, spec in TASKS.items()}
    by_optimizer = {name: choice.defaults for name, choice in OPTIMIZERS.items()}
    names = dict.fromkeys(name for defaults in by_task.values() for name in defaults)
    found = {name: "; ".join(filter(None, (_words(by_task, name), _words(by_optimizer, name)))) for name in names}
    return found | _OTHERS


def _words(tables: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """Return the values of a setting, each with those that have it; a value that all have alone."""
    havers: dict[str, list[str]] = {}
    for who, defaults in tables.items():
        if name in defaults:
            havers.setdefault(default_words(defaults[name]), []).append(who)
    if len(havers) == 1 and len(next(iter(havers.values()))) == len(tables):
        return next(iter(havers))
    return ", ".join(f"{value} for {_all_of(who)}" for value, who in havers.items())


def _all_of(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
