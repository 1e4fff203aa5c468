"""Which lines of a file a line depends on, by the names in them: a hint as to which evidence fits, never a proof.

The flow of control is left out, and so is what a name stands for: lines that write a name which is read, the functions
that are called, the callers of the function that a line stands in, and the conditions around it.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

__all__ = ["Statement", "distances", "imported", "statements"]

FARTHEST = 6


@dataclass
class Statement:
    """A statement, or the head of one that holds others."""

    first: int
    last: int
    node: ast.stmt
    function: str | None
    """In which it stands."""
    kind: str | None = None
    """The class in which that function stands."""
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    around: tuple[int, ...] = ()
    """The places of the heads that it stands under, in the list of all."""
    parameters: frozenset[str] = frozenset()
    """Of its function."""

    @property
    def own(self) -> Iterator[ast.AST]:
        """What stands in it itself."""
        return _own(self.node)


def _own(node: ast.stmt) -> Iterator[ast.AST]:
    """Yield what stands in a statement itself, without the statements that it holds."""
    left: list[ast.AST] = [node]
    while left:
        one = left.pop()
        yield one
        left += [child for child in ast.iter_child_nodes(one) if not isinstance(child, (ast.stmt, ast.ExceptHandler))]


def distances(path: str, numbers: Iterable[int], setting: str | None = None) -> dict[int, int]:
    """Return how many steps of dependence lines are away from one of them: those that it depends on.

    Args:
        path: of the file.
        numbers: of the lines.
        setting: of an optimizer; the lines that write it count as that line.
    """
    every = statements(path)
    begin = []
    for number in numbers:
        begin += [place for place, one in enumerate(every) if one.first <= number <= one.last][-1:]
    begin += [place for place, one in enumerate(every) if setting is not None and _sets(one.node, setting)]
    writers: dict[str, list[int]] = {}
    bodies: dict[str, list[int]] = {}
    readers: dict[str, list[int]] = {}
    for place, one in enumerate(every):
        for name in one.writes:
            writers.setdefault(name, []).append(place)
        for name in one.reads:
            readers.setdefault(name, []).append(place)
        if one.function is not None:
            bodies.setdefault(one.function, []).append(place)
        if one.kind is not None:
            bodies.setdefault(one.kind, []).append(place)
    found = dict.fromkeys(begin, 0)
    left = deque(found)
    while left:
        place = left.popleft()
        one, far = every[place], found[place]
        if far >= FARTHEST:
            continue
        near = [*one.around]
        for name in one.reads:
            near += [other for other in writers.get(name, ()) if _sees(one, every[other])]
            near += bodies.get(name, ())
        if one.function is not None and one.reads & one.parameters:
            near += readers.get(one.function, ())
        for other in near:
            if other not in found:
                found[other] = far + 1
                left.append(other)
    lines: dict[int, int] = {}
    for place, far in found.items():
        for line in range(every[place].first, every[place].last + 1):
            lines[line] = min(far, lines.get(line, far))
    return lines


def imported(path: str, lines: Mapping[int, int]) -> dict[str, int]:
    """Return the modules, by the last part of their names, that some lines of a file use, with the nearest distance.

    Args:
        path: of the file.
        lines: their numbers, with their distances.
    """
    named: dict[str, set[str]] = {}
    for one in statements(path):
        if isinstance(one.node, (ast.Import, ast.ImportFrom)):
            module = getattr(one.node, "module", None) or ""
            for alias in one.node.names:
                name = alias.asname or alias.name.partition(".")[0]
                named.setdefault(name, set()).update(part.rpartition(".")[2] for part in (module, alias.name) if part)
    found: dict[str, int] = {}
    for one in statements(path):
        far = lines.get(one.first)
        if far is None:
            continue
        for node in one.own:
            for module in named.get(node.id, ()) if isinstance(node, ast.Name) else ():
                found[module] = min(far, found.get(module, far))
    return found


def _sees(one: Statement, other: Statement) -> bool:
    """Tell whether what one statement writes may be what another reads, by where they stand."""
    return other.function is None or other.function == one.function or bool(other.writes & _attributes(one))


def _sets(node: ast.stmt, setting: str) -> bool:
    """Tell whether a statement writes `...["setting"]`, hands over `setting=...`, or makes a schedule of it."""
    for part in _own(node):
        if isinstance(part, ast.Subscript) and not isinstance(part.ctx, ast.Load):
            if isinstance(part.slice, ast.Constant) and part.slice.value == setting:
                return True
        elif isinstance(part, ast.keyword) and part.arg == setting:
            return True
        elif isinstance(part, ast.Call) and setting == "lr":
            name = part.func.attr if isinstance(part.func, ast.Attribute) else getattr(part.func, "id", "")
            if name.endswith("LR"):
                return True
    return False


def _attributes(one: Statement) -> set[str]:
    return {node.attr for node in _own(one.node) if isinstance(node, ast.Attribute)}


@lru_cache(maxsize=64)
def statements(path: str) -> tuple[Statement, ...]:
    """Return the statements of a file in turn; none where it cannot be read."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    found: list[Statement] = []
    _collect(tree.body, None, frozenset(), (), found)
    # What every line reads connects none of them.
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    for one in found:
        one.reads -= imported
        one.writes -= imported
    return tuple(found)


def _collect(
    body: list[ast.stmt],
    function: str | None,
    parameters: frozenset[str],
    around: tuple[int, ...],
    found: list[Statement],
    kind: str | None = None,
) -> None:
    for node in body:
        inner = [part for name in ("body", "orelse", "finalbody") for part in getattr(node, name, [])]
        inner += [part for handler in getattr(node, "handlers", []) for part in handler.body]
        last = max(node.lineno, inner[0].lineno - 1) if inner else node.end_lineno or node.lineno
        one = Statement(node.lineno, last, node, function, kind, around=around, parameters=parameters)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            _collect(inner, node.name, frozenset(arg.arg for arg in every) - {"self"}, (), found, kind)
            continue
        if isinstance(node, ast.ClassDef):
            _collect(inner, function, parameters, around, found, node.name)
            continue
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            _names(one)
        place = len(found)
        found.append(one)
        if inner:
            _collect(inner, function, parameters, (*around, place), found, kind)


def _names(one: Statement) -> None:
    """Take down what a statement reads and writes."""
    for node in _own(one.node):
        if isinstance(node, ast.Name):
            (one.reads if isinstance(node.ctx, ast.Load) else one.writes).add(node.id)
        elif isinstance(node, ast.Attribute):
            (one.reads if isinstance(node.ctx, ast.Load) else one.writes).add(node.attr)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            one.writes |= {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
    if isinstance(one.node, ast.AugAssign):
        one.reads |= one.writes
    if isinstance(one.node, ast.Expr) and isinstance(one.node.value, ast.Call):
        # What is called for its effect changes what it is called on, and what it is called with.
        call = one.node.value
        parts: list[ast.expr] = [*call.args]
        if isinstance(call.func, ast.Attribute):
            parts.append(call.func.value)
        for part in parts:
            if isinstance(part, ast.Name):
                one.writes.add(part.id)
            elif isinstance(part, ast.Attribute):
                one.writes.add(part.attr)
    one.reads.discard("self")
    one.writes.discard("self")
