"""What the two runs met otherwise, and how well it fits the root.

Taps fire in every run, also in ones that repeat: a clock that is logged differs too. So each is weighed by where it
stands: on the root's line, on a line that the root's depends on, just before the root; what stands beside the point
weighs less than nothing.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lastbit.launch.pair.outcome import Met
from lastbit.launch.pair.tapes import Line, Tap, Tape
from lastbit.launch.site.lines import packaged
from lastbit.studies.doctor.cut import Break
from lastbit.studies.doctor.diagnosis import Root
from lastbit.studies.doctor.source import Statement, distances, imported, statements
from lastbit.studies.doctor.steps import Step
from lastbit.studies.doctor.unfilled import unfilled

__all__ = ["Hint", "dated", "differing", "differing_in_workers", "hints", "in_place", "seeding", "seeds"]

LEAST = 3.0
"""What a hint must weigh."""

_NEAR = (8.0, 6.0, 4.5, 3.0, 2.0, 1.0, 0.5)
"""By steps of dependence from the root's line."""

_BESIDE = -4.0

_JUST_BEFORE = 3.0

_KINDS = {
    "draw": 2.0,
    "seed": 2.0,
    "entropy": 2.0,
    "folder": 1.5,
    "file": 1.0,
    "machine": 1.0,
    "taken": 1.0,
    "time": 0.5,
    "process": 0.0,
    "network": 0.0,
}

_DATES = ("now", "utcnow", "today")
"""Methods that ask the clock and cannot be heard: those of datetime and date."""

_TIMES = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")
"""Functions that ask a clock, by their names in the source."""

_GIVEN_SEED = re.compile(r"\bRandomState\((?!\s*(None\s*)?\))")
"""NumPy's RandomState asks for entropy even where it is given a number, and does not use it then."""

_COURSE = 12
"""Operations of another course that are taken to belong to what was decided."""

_WORKER = 5.0


@dataclass(frozen=True)
class Hint:
    """Something that may have caused a difference."""

    id: str
    """The kind of tap; `torch` for a draw of torch's own; `hash`, `set`, `address` for what an order may come from;
    `empty` for memory of NumPy's."""
    line: Line | None
    said: str
    weight: float
    tap: Tap | None = None


def _what(tap: Tap) -> str:
    return tap.said.partition(": ")[0]


def differing(first: Iterable[Tap], second: Iterable[Tap]) -> tuple[Tap, ...]:
    """Return what only one run met, or each run otherwise."""
    ours, theirs = ({(tap.kind, _what(tap), tap.line): tap for tap in taps} for taps in (first, second))
    found = [tap for key, tap in ours.items() if key not in theirs or theirs[key].all != tap.all]
    return (*found, *(tap for key, tap in theirs.items() if key not in ours))


def seeds(tape: Tape, library: str) -> tuple[Tap, ...]:
    """Return the calls that seed a library's global generator: `torch`, `numpy.random` or `random`."""
    names = {
        "torch": ("torch.manual_seed", "torch.seed"),
        "numpy.random": ("numpy.random.seed",),
        "random": ("random.seed",),
    }
    return tuple(tap for tap in tape.taps if tap.kind == "seed" and _what(tap) in names[library])


def hints(found: Break, root: Root, steps: Sequence[Step], workers: tuple[Met, Met]) -> list[Hint]:
    """Return what may have caused a difference, that which fits best first.

    Args:
        found: the root, as it was found.
        root: the same, as it is said.
        steps: all that was kept of the process.
        workers: what processes met in each run that only load data.
    """
    latest = steps[-1].tapes
    setting = found.chain.label if found.kind == "hyper" else None
    lines = {} if root.line is None else distances(root.line.path, _lines(found, root.line), setting)
    weighed = [_tap(tap, found, root, lines) for tap in differing(latest[0].taps, latest[1].taps)]
    weighed += [_tap(tap, found, root, lines) for tap in latest[0].taps if _unseeded(tap) or _state(tap)]
    weighed += _draws(found, root, steps, lines)
    if root.line is not None:
        hashed = latest[0].process.settings.get("PYTHONHASHSEED") == "random"
        # Of sets that are as near, that which is made last is nearest to what uses it.
        weighed += reversed(list(_orders(root.line, lines, hashed)))
        weighed += [*_dates(root.line, lines), *_empties(root, root.line, lines)]
    if root.kind in ("load", "order", "arrival", "made"):
        weighed += [hint for hint in _loading(workers) if hint.line != root.line]
    kept = [hint for hint in weighed if hint.weight >= LEAST and hint.id not in ("batch", "program", "thread")]
    reordered = _reordered(latest[0].taps, latest[1].taps)
    if any(hint.id == "folder" and hint.line in reordered for hint in kept):
        # That another file is read first follows from the order in which they were listed.
        both = {_what(tap) for tap in latest[0].taps} & {_what(tap) for tap in latest[1].taps}
        kept = [hint for hint in kept if hint.id != "file" or hint.tap is None or _what(hint.tap) in both]
    return sorted(kept, key=lambda hint: (_in_vain(hint), -hint.weight))


def _in_vain(hint: Hint) -> bool:
    return hint.id == "entropy" and hint.line is not None and _GIVEN_SEED.search(hint.line.text) is not None


def _reordered(first: Iterable[Tap], second: Iterable[Tap]) -> set[Line | None]:
    """Return the lines that listed the same names in another order, in whatever folders."""

    def listed(taps: Iterable[Tap]) -> dict[Line | None, list[str]]:
        found = [tap for tap in taps if tap.kind == "folder"]
        return {tap.line: tap.said.rpartition(" entries, order crc32 ")[2].split(", names crc32 ") for tap in found}

    ours, theirs = listed(first), listed(second)
    return {line for line in ours.keys() & theirs.keys() if _swapped(ours[line], theirs[line])}


def _swapped(one: list[str], other: list[str]) -> bool:
    return one[0] != other[0] and one[1:] == other[1:]


def differing_in_workers(workers: tuple[Met, Met]) -> tuple[Tap, ...]:
    """Return what processes that only load data met otherwise, each held against the one of its key."""
    first, second = map(dict, workers)
    return tuple(tap for key in sorted(first.keys() & second.keys()) for tap in differing(first[key], second[key]))


def _loading(workers: tuple[Met, Met]) -> Iterator[Hint]:
    """Yield what workers met otherwise, each held against the one of its key."""
    first, second = map(dict, workers)
    for key in sorted(first.keys() & second.keys()):
        found = [*differing(first[key], second[key]), *(tap for tap in first[key] if _unseeded(tap))]
        for tap in found:
            weight = _KINDS.get(tap.kind, 0.0) + _WORKER + (0.5 if _unseeded(tap) else 0.0)
            yield Hint(tap.kind, tap.line, tap.said, weight, tap)


def seeding(line: Line) -> Hint | None:
    """Return the call of `seed()`, without a number, that a line depends on most closely."""
    lines = distances(line.path, [line.number])
    found = [
        (lines[one.first], one)
        for one in statements(line.path)
        if one.first == one.last and one.first in lines and any(map(_seeds_itself, ast.walk(one.node)))
    ]
    if not found:
        return None
    far, one = min(found, key=lambda near: near[0])
    return Hint("generator", _line(line, one), ast.unparse(one.node), _NEAR[min(far, len(_NEAR) - 1)])


def _line(near: Line, one: Statement) -> Line:
    text = linecache.getline(near.path, one.first).strip()
    return Line(near.path, one.first, one.function or "<module>", text)


def dated(line: Line) -> Hint | None:
    """Return the line, of those that a line depends on, that most closely asks for the date or the time of day."""
    return max(_dates(line, distances(line.path, [line.number])), key=lambda hint: hint.weight, default=None)


def _dates(line: Line, lines: dict[int, int]) -> Iterator[Hint]:
    """Yield lines that ask for the date, as `datetime.now()`, whatever it was."""
    for one in statements(line.path):
        far = lines.get(one.first)
        if far is not None and any(map(_asks_date, one.own)):
            yield Hint("time", _line(line, one), "the date", _NEAR[min(far, len(_NEAR) - 1)])


def in_place(line: Line) -> Hint | None:
    """Return the line, of those that a line depends on, that asks a clock in place of what is 0 or None."""
    lines = distances(line.path, [line.number])
    found = [one for one in statements(line.path) if one.first in lines and any(map(_falls_back, one.own))]
    near = min(found, key=lambda one: lines[one.first], default=None)
    return None if near is None else Hint("time", _line(line, near), "the time", _NEAR[0])


def _falls_back(node: ast.AST) -> bool:
    if not isinstance(node, ast.BoolOp) or not isinstance(node.op, ast.Or):
        return False
    return any(_asks_date(part) or _asks_time(part) for value in node.values[1:] for part in ast.walk(value))


def _asks_time(node: ast.AST) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in _TIMES


def _empties(root: Root, line: Line, lines: dict[int, int]) -> Iterator[Hint]:
    """Yield lines that ask NumPy for memory which nobody has filled.

    What came in from NumPy may have been handed on as an argument, so that any such line of the file may have made it.
    """
    for one in statements(line.path):
        far = lines.get(one.first)
        if any(one.first <= number <= one.last for number in unfilled(line.path)):
            apart = LEAST if root.kind == "made" else 0.0
            weight = apart if far is None else _NEAR[min(far, len(_NEAR) - 1)]
            yield Hint("empty", _line(line, one), "numpy.empty", weight)


def _asks_date(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _DATES


def _seeds_itself(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "seed"
        and not node.args
    )


def _unseeded(tap: Tap) -> bool:
    known = tap.said in ("numpy.random.default_rng: None", "random.Random: None")
    return known and tap.line is not None and not packaged(tap.line.path)


def _state(tap: Tap) -> bool:
    """Tell whether a file of the system's own was read, whose contents are another at each time."""
    return tap.kind == "machine" and tap.said.endswith(": read")


def _lines(found: Break, line: Line) -> list[int]:
    """Return the root's lines: of another course all that its first operations were called from."""
    numbers = [line.number]
    if found.kind in ("path", "length"):
        for op, tape in zip(found.ops, found.step.tapes, strict=True):
            after = [] if op is None else tape.ops[op.index - tape.lost :][:_COURSE]
            numbers += [one.line.number for one in after if one.line is not None and one.line.path == line.path]
    return list(dict.fromkeys(numbers))


def _received(found: Break) -> bool:
    op = found.ops[0]
    return op is not None and op.name.startswith("aten.set_.source_Storage")


def _weight(line: Line | None, root: Root, lines: dict[int, int]) -> float:
    """Return what a line weighs by where it stands."""
    if line is None or root.line is None:
        return 0.0
    if line.path != root.line.path:
        return -2.0 if packaged(line.path) else 1.0
    if not lines:  # the source cannot be read
        return 0.4
    far = lines.get(line.number)
    return _BESIDE if far is None else _NEAR[min(far, len(_NEAR) - 1)]


def _tap(tap: Tap, found: Break, root: Root, lines: dict[int, int]) -> Hint:
    # Making such a generator asks for entropy too, on the same line.
    weight = _KINDS.get(tap.kind, 0.0) + _weight(tap.line, root, lines) + (0.5 if _unseeded(tap) else 0.0)
    if tap.kind == "machine" and tap.line is not None and root.line is not None and tap.line.path != root.line.path:
        # Memory that is logged elsewhere decides nothing: what the root depends on must use that file.
        far = imported(root.line.path, lines).get(Path(tap.line.path).stem)
        if far is None:
            return Hint(tap.kind, tap.line, tap.said, 0.0, tap)
        weight = _KINDS["machine"] + _NEAR[min(far + 1, len(_NEAR) - 1)]
    given = tap.kind == "seed" and not tap.said.endswith(": None")
    if given or (tap.kind == "taken" and root.kind == "made"):
        # Another number for a seed, or another order of what comes, is no accident, wherever it stands: what draws or
        # what came may be handed on as an argument.
        weight = max(weight, LEAST)
    if _received(found) and tap.line == root.line and tap.kind not in ("draw", "file", "taken"):
        return Hint(tap.kind, tap.line, tap.said, 0.0, tap)  # how processes talk to each other
    before = (tap.step, tap.op) <= (found.step.count, found.place)
    if tap.step == found.step.count and before and found.place - tap.op <= 2:
        weight += _JUST_BEFORE
    if not before and tap.count == 1:
        weight = 0.0
    return Hint(tap.kind, tap.line, tap.said, weight, tap)


def _draws(found: Break, root: Root, steps: Sequence[Step], lines: dict[int, int]) -> Iterator[Hint]:
    """Yield draws of torch's before the root whose generators stood elsewhere: a shuffled order reaches it unseen."""
    for step in steps:
        for op, twin in step.pairs():
            if (step.count, op.index) < (found.step.count, found.place) and op.generator != twin.generator:
                near = found.place - op.index <= 4 and step.count == found.step.count
                weight = 2.0 + _weight(op.line, root, lines) + (_JUST_BEFORE if near else 0.0)
                own = any(text.endswith("=generator") for text in op.scalars)
                yield Hint("generator" if own else "torch", op.line, op.name, weight)
                break


def _orders(line: Line, lines: dict[int, int], hashed: bool) -> Iterator[Hint]:
    """Yield lines whose values hang on hashes of strings, where those differ, or on addresses of objects."""
    for one in statements(line.path):
        far = lines.get(one.first)
        if far is None:
            continue
        named = (
            {node.id for node in ast.walk(one.node) if isinstance(node, ast.Name)} if one.first == one.last else set()
        )
        sets = any(isinstance(node, (ast.Set, ast.SetComp)) for node in ast.walk(one.node)) and one.first == one.last
        here = _line(line, one)
        weight = _NEAR[min(far, len(_NEAR) - 1)] + 0.5
        if "id" in named:
            yield Hint("address", here, "id()", weight)
        elif (named & {"set", "frozenset", "hash"} or sets) and "sorted" not in named:
            if hashed:
                yield Hint("hash", here, "hash() or a set", weight)
            elif named & {"set", "frozenset"} or sets:  # objects in a set are hashed by their addresses all the same
                yield Hint("set", here, "a set", weight)
