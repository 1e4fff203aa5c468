"""Lines that ask NumPy for memory which nobody has filled, as they are read in the source."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

__all__ = ["unfilled"]

_MAKERS = frozenset(("empty", "empty_like"))


@lru_cache(maxsize=64)
def unfilled(path: str) -> frozenset[int]:
    """Return the lines of a file that call `numpy.empty` or `numpy.empty_like`, whatever they are called there."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    nodes = list(ast.walk(tree))
    modules, makers = set(), set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {one.asname or one.name for one in node.names if one.name == "numpy"}
        elif isinstance(node, ast.ImportFrom) and node.module == "numpy":
            makers |= {one.asname or one.name for one in node.names if one.name in _MAKERS}
    calls = [node for node in nodes if isinstance(node, ast.Call) and _asks(node.func, modules, makers)]
    return frozenset(node.lineno for node in calls)


def _asks(called: ast.expr, modules: set[str], makers: set[str]) -> bool:
    if isinstance(called, ast.Attribute):
        return called.attr in _MAKERS and isinstance(called.value, ast.Name) and called.value.id in modules
    return isinstance(called, ast.Name) and called.id in makers
