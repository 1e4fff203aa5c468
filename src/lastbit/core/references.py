"""Functions and classes named by text, so that what there is can be listed without importing it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["resolved"]


def resolved(reference: str) -> Any:
    """Return what `"module:name"` names, importing the module.

    Example:
        >>> resolved("math:sqrt")(9.0)
        3.0
    """
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
