"""The reference of Python, from the docstrings: the front, each kind of study with its result, rooms with a front."""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

import lastbit
from lastbit.studies.kinds import KINDS

__all__ = ["python_pages"]

ROOMS = (
    "lastbit.testing",
    "lastbit.curvature",
    "lastbit.optimizers",
    "lastbit.pde",
    "lastbit.pde.linear",
    "lastbit.pde.cnn",
    "lastbit.pde.deep",
    "lastbit.stats",
    "lastbit.studies.remedy.remedies",
)
"""Modules whose names are meant to be imported, besides `lastbit` itself."""


def python_pages() -> dict[str, str]:
    """Return the pages by their names, in reStructuredText, which the generator fills in from the docstrings.

    What is found under several names is described once, where it is found first.
    """
    described: dict[int, str] = {}
    pages = {}
    for name, where in KINDS.items():
        kind = resolve_name(where)
        own = [kind.study, kind.result]
        parts = [entry(f"lastbit.{name}", getattr(lastbit, name), described)]
        parts += [entry(f"{one.__module__}.{one.__qualname__}", one, described, inherited=True) for one in own]
        pages[f"python-{name}"] = page(f"lastbit.{name}", "The call, the study that it returns, and its result.", parts)
    for module in ("lastbit", *ROOMS):
        found = import_module(module)
        names = sorted({*found.__all__} - {"__version__", *(KINDS if module == "lastbit" else ())}, key=str.lower)
        parts = [entry(f"{module}.{name}", getattr(found, name), described) for name in names]
        title = "import lastbit as lb" if module == "lastbit" else module
        pages["-".join(["python", *module.split(".")[1:]])] = page(title, f".. automodule:: {module}", parts)
    return {name: pages[name] for name in sorted(pages, key=lambda name: (name != "python", name))}


def page(title: str, said: str, parts: list[str]) -> str:
    """Return a page."""
    return "\n".join([title, "=" * len(title), "", said, "", *parts])


def entry(name: str, thing: Any, described: dict[int, str], inherited: bool = False) -> str:
    """Return what describes one thing, or where it is described already.

    Args:
        name: under which it is imported.
        thing: what that is.
        described: names of what is described, by identity; this one is added.
        inherited: whether what a class has of its bases is described too.
    """
    if (before := described.setdefault(id(thing), name)) != name:
        return f"``{name}`` is :py:obj:`{before}`.\n"
    if inspect.isclass(thing):
        more = "   :inherited-members: object, Mapping, tuple, Exception\n" if inherited else ""
        return f".. autoclass:: {name}\n   :members:\n{more}"
    if inspect.isroutine(thing):
        return f".. autofunction:: {name}\n"
    return f".. py:data:: {name}\n   :type: {type(thing).__name__}\n"
