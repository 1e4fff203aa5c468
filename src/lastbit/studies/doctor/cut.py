"""Backwards from what differs, through the memory that operations share, to where everything was still equal.

An operation whose outputs differ is looked through to those of its inputs that differ, and from each to the operation
that wrote it. Where nothing that went in differs, the difference arose: a *break*. Operations whose outputs are equal
are never looked into, so that a clock which is only logged is not taken for the root.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

from lastbit.launch.pair.tapes import Leaf, Op, Origin, Value
from lastbit.studies.doctor.diagnosis import Link
from lastbit.studies.doctor.steps import Ops, Step, base_of, comes_in, fills, is_view, output_on

__all__ = ["Break", "Chain", "Cut"]

Values = tuple[Value | None, Value | None]


@dataclass(frozen=True)
class Chain:
    """How what is looked at leads to what is trained."""

    label: str
    """What is trained."""
    link: Link | None = None
    after: Chain | None = None

    @property
    def links(self) -> tuple[Link, ...]:
        """From here on."""
        found, one = [], self
        while one.link is not None and one.after is not None:
            found.append(one.link)
            one = one.after
        return tuple(found)


@dataclass(frozen=True)
class Break:
    """Where a difference arose."""

    kind: str
    """As in `Root`; `op`: an operation whose inputs were equal, to be classed by what it is; `earlier`: in a step of
    which nothing was kept."""
    step: Step
    ops: tuple[Op | None, Op | None]
    """At which it shows."""
    values: Values
    """The value that differs, where it is one."""
    chain: Chain
    place: int
    """Among the operations of the first run."""
    detail: tuple[str, str] = ("", "")
    """What differs, of each run, where it is text."""


class Cut:
    """Walks two aligned runs backwards.

    Args:
        steps: what was kept of the process, in turn.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = {step.count: step for step in steps}
        self._left: deque[tuple[Step, Ops, str, Chain]] = deque()
        self._seen: set[tuple[int, int, int, str]] = set()
        self.breaks: list[Break] = []

    def leaf(self, step: Step, leaves: tuple[Leaf, Leaf], label: str, storages: tuple[int | None, int | None]) -> None:
        """Look at a parameter or a gradient that differs after a step."""
        chain = Chain(label)
        first, second = storages
        if first is None or second is None:
            self._part(step, chain)
            return
        values = [
            Value(number, "", leaf.shape, leaf.dtype, "", self._writer(step, side, number))
            for side, (leaf, number) in enumerate(zip(leaves, (first, second), strict=True))
        ]
        self._trace(step, (None, None), (values[0], values[1]), chain)
        self._walk()

    def part(self, step: Step, label: str) -> None:
        """Look at where two runs went apart."""
        self._part(step, Chain(label))
        self._walk()

    def _writer(self, step: Step, side: int, storage: int) -> Origin | None:
        """Return who wrote a memory last, up to the end of a step."""
        for count in sorted((count for count in self._steps if count <= step.count), reverse=True):
            ops = self._steps[count].writers[side].get(storage)
            if ops:
                return Origin(count, ops[-1].index, ops[-1].name, ops[-1].line)
        return None

    def _walk(self) -> None:
        while self._left:
            step, ops, suffix, chain = self._left.popleft()
            key = step.count, ops[0].index, ops[1].index, suffix
            if key not in self._seen:
                self._seen.add(key)
                self._look(step, ops, suffix, chain)

    def _look(self, step: Step, ops: Ops, suffix: str, chain: Chain) -> None:
        """Look into an operation whose outputs differ."""
        first, second = ops
        if comes_in(first):
            self._break("op", step, ops, (None, None), chain)
            return
        found = False
        if first.generator != second.generator:
            self._break("draw", step, ops, (None, None), chain, (str(first.generator), str(second.generator)))
            found = True
        for mine, other in zip(first.scalars, second.scalars, strict=False):
            if mine != other:
                self._number(step, ops, (mine, other), chain)
                found = True
                break
        theirs = {value.place: value for value in second.inputs}
        for value in first.inputs:
            twin = theirs.get(value.place)
            if twin is None or fills(first, value) or not _concerns(first, value.place, suffix):
                continue
            if value.hash != twin.hash or value.shape != twin.shape:
                self._trace(step, ops, (value, twin), chain)
                found = True
        if not found and not self._elsewhere(step, ops, chain):
            self._break("op", step, ops, (None, None), chain)

    def _elsewhere(self, step: Step, ops: Ops, chain: Chain) -> bool:
        """Tell whether an operation wrote over another part of a memory in each run, as after a slice; look there."""
        theirs = {value.place: value for value in ops[1].inputs}
        pairs = [(value, theirs.get(value.place)) for value in ops[0].inputs if fills(ops[0], value)]
        return any(twin is not None and self._views(step, ops, (value, twin), chain) for value, twin in pairs)

    def _trace(self, step: Step, ops: tuple[Op | None, Op | None], values: tuple[Value, Value], chain: Chain) -> None:
        """Go from a value that differs to who wrote it."""
        mine, other = values[0].origin, values[1].origin
        if mine is None or other is None or mine.step != other.step:
            kind = "outside" if mine is None and other is None else "order"
            self._break(kind, step, ops, values, chain)
            return
        there = self._steps.get(mine.step)
        if mine.step != step.count and self._views(step, ops, values, chain):
            return
        if there is None:
            self._earlier(step, ops, values, chain)
            return
        first, second = there.ops[0].get(mine.op), there.ops[1].get(other.op)
        if first is None or second is None:
            self._break("earlier", step, ops, values, chain)
        elif not _share_draws(there) and self._handed(ops, (first, second), values):
            self._break("arrival", step, ops if ops[0] is not None else (first, second), values, chain)
        elif not there.coupled(first, second):
            self._cross(there, step, ops, (first, second), values, chain)
        else:
            self._written(there, step, ops, (first, second), values, chain)

    def _handed(self, ops: tuple[Op | None, Op | None], by: Ops, values: tuple[Value, Value]) -> bool:
        """Tell whether each run took what another thread had made, one of them what the other has elsewhere.

        Which of a pool makes what is chance, so that one is told by what it holds, where that is unmistakable.
        """
        readers = [0 if op is None else op.thread for op in ops]
        if any(op.thread in (0, reader) for op, reader in zip(by, readers, strict=True)) or by[0].name != by[1].name:
            return False
        left = [output_on(op, value.storage) for op, value in zip(by, values, strict=True)]
        if left[0] is None or left[1] is None or left[0].hash == left[1].hash:
            return False
        return any(value is not None and all(self._found(by[0], value, side) == 1 for side in (0, 1)) for value in left)

    def _found(self, like: Op, value: Value, side: int) -> int:
        """Return how often an operation gave a value in a run, in any step."""
        made = [op for step in self._steps.values() for op in step.hashes[side].get(value.hash or "", ())]
        return sum((op.name, op.line) == (like.name, like.line) for op in made)

    def _written(
        self,
        there: Step,
        step: Step,
        ops: tuple[Op | None, Op | None],
        by: Ops,
        values: tuple[Value, Value],
        chain: Chain,
    ) -> None:
        """Go on to the operation that wrote a value last, or to an earlier one that wrote another part of it."""
        left = [output_on(op, value.storage) for op, value in zip(by, values, strict=True)]
        if left[0] is None or left[1] is None or left[0].hash is None or left[0].hash != left[1].hash:
            self._push(there, by, (left[0], left[1]), chain)
            return
        ours = there.writers[0].get(values[0].storage, [])
        for op in reversed([op for op in ours if op.index < by[0].index]):
            twin = there.partner(op, 0)
            if twin is None:
                self._part(there, chain)
                return
            wrote = output_on(op, values[0].storage), output_on(twin, values[1].storage)
            if wrote[0] and wrote[1] and wrote[0].hash != wrote[1].hash:
                self._push(there, (op, twin), wrote, chain)
                return
        if self._views(step, ops, values, chain):
            return
        whole = left[0].shape == values[0].shape
        if (
            ours
            and output_on(ours[0], values[0].storage)
            and not whole
            and base_of(ours[0]).startswith(("empty", "new_empty"))
        ):
            twin = there.partner(ours[0], 0)
            self._break("uninitialised", there, (ours[0], twin), values, chain)
            return
        # A part of it that is shown by a view which was made elsewhere, or something that cannot be seen.
        shown = any(is_view(op) and output_on(op, values[0].storage) for op in step.tapes[0].ops)
        self._break("order" if shown and not whole else "outside", step, ops, values, chain)

    def _views(self, step: Step, ops: tuple[Op | None, Op | None], values: tuple[Value, Value], chain: Chain) -> bool:
        """Look for another part of equal memory: a view with other numbers."""
        end = ops[0].index if ops[0] is not None else None
        found: Ops | None = None
        for op in step.tapes[0].ops[: None if end is None else end - step.tapes[0].lost]:
            shown = output_on(op, values[0].storage) if is_view(op) else None
            if shown is None:
                continue
            twin = step.partner(op, 0)
            if twin is not None and op.scalars != twin.scalars and (found is None or shown.shape == values[0].shape):
                found = op, twin
        if found is None:
            return False
        link = Link(found[0].name, found[0].line, values[0].shape, (values[0].hash, values[1].hash), step.count + 1)
        after = Chain(chain.label, link, chain)
        numbers = next(
            (mine, other) for mine, other in zip(found[0].scalars, found[1].scalars, strict=False) if mine != other
        )
        self._number(step, found, numbers, after)
        return True

    def _cross(
        self,
        there: Step,
        step: Step,
        ops: tuple[Op | None, Op | None],
        by: Ops,
        values: tuple[Value, Value],
        chain: Chain,
    ) -> None:
        """Take note of a value that another operation wrote in each run."""
        partners = there.partner(by[0], 0), there.partner(by[1], 1)
        if partners[0] is None or partners[1] is None:
            self._part(there, chain)
            return
        drawing = {op.thread for op in there.tapes[0].ops if op.seeded}
        if len(drawing) > 1 and (by[0].name, by[0].line) == (by[1].name, by[1].line):
            # Masks that were drawn in another turn: go on to the draws.
            self._push(there, by, values, chain)
            return
        sharing = {op.thread for op in there.writers[0].get(values[0].storage, ())}
        if len(sharing - {0}) > 1:  # they write the same memory, one after the other
            self._break("arrival", there, by, values, chain)
            return
        threads = {by[0].thread, by[1].thread} | {op.thread for op in ops if op is not None}
        kind = "arrival" if len(threads) > 1 else "order"
        if kind == "order" and values[0].storage == values[1].storage:
            ops = by  # the same memory was written in another order; else other memory is read
        self._break(kind, step, ops if ops[0] is not None else by, values, chain)

    def _earlier(self, step: Step, ops: tuple[Op | None, Op | None], values: tuple[Value, Value], chain: Chain) -> None:
        """Go on in a step before, of those that were kept."""
        origin = values[0].origin
        assert origin is not None
        for count in sorted((count for count in self._steps if count < origin.step), reverse=True):
            there = self._steps[count]
            for op in reversed(there.tapes[0].ops):
                twin = there.partner(op, 0)
                if twin is None or op.name != origin.name or op.line != origin.line:
                    continue
                wrote = _differing(op, twin)
                if wrote is not None:
                    self._push(there, (op, twin), wrote, chain)
                    return
        self._break("earlier", step, ops, values, chain)

    def _number(self, step: Step, ops: Ops, texts: tuple[str, str], chain: Chain) -> None:
        """Look where a number came from: `.item()` gave it, or the program itself."""
        wanted = [f"{crc32(text.partition('=')[2].encode()):08x}" for text in texts]
        for op, twin in reversed(step.pairs()):
            if op.index < ops[0].index:
                gave = [[value for value in one.outputs if value.storage < 0] for one in (op, twin)]
                for mine, other in zip(*gave, strict=False):
                    if [mine.hash, other.hash] == wanted:
                        after = Chain(chain.label, _link(step, ops, (None, None)), chain)
                        self._push(step, (op, twin), (mine, other), after)
                        return
        if not self._drawn(step, ops, chain):
            self._break("scalar", step, ops, (None, None), chain, texts)

    def _drawn(self, step: Step, ops: Ops, chain: Chain) -> bool:
        """Look at the last draw before that came out otherwise from equal generators: `.tolist()` leaves no trace."""
        for op, twin in reversed(step.pairs()):
            if op.index < ops[0].index and op.seeded and op.generator == twin.generator:
                drew = _differing(op, twin)
                if drew is not None:
                    self._push(step, (op, twin), drew, Chain(chain.label, _link(step, ops, (None, None)), chain))
                    return True
        return False

    def _part(self, step: Step, chain: Chain) -> None:
        """Look at where two runs went apart: by a number that an operation gave, or by the program itself."""
        alone = step.alignment.alone
        ends = [op.index if op is not None else len(step.ops[side]) for side, op in enumerate(alone)]
        for op, twin in reversed(step.pairs()):
            if op.index < ends[0] and twin.index < ends[1]:
                for mine, other in zip(op.outputs, twin.outputs, strict=False):
                    if (mine.storage < 0 and mine.hash != other.hash) or mine.shape != other.shape:
                        self._push(step, (op, twin), (mine, other), chain)
                        return
        self._break("path", step, alone, (None, None), chain)

    def _push(self, step: Step, ops: Ops, values: Values, chain: Chain) -> None:
        place = (values[0] or values[1] or ops[0].outputs[0]).place if ops[0].outputs or values[0] else ""
        after = Chain(chain.label, _link(step, ops, values), chain)
        self._left.append((step, ops, place.rpartition(".")[2], after))

    def _break(
        self,
        kind: str,
        step: Step,
        ops: tuple[Op | None, Op | None],
        values: Values,
        chain: Chain,
        detail: tuple[str, str] = ("", ""),
    ) -> None:
        place = min((op.index for op in ops if op is not None), default=len(step.tapes[0].ops))
        self.breaks.append(Break(kind, step, ops, values, chain, place, detail))


def _share_draws(step: Step) -> bool:
    """Tell whether several threads draw from the global generator: the same masks go to other rows then."""
    ops = step.tapes[0].ops
    drawing = {op.thread for op in ops if op.seeded and not any(text.endswith("=generator") for text in op.scalars)}
    return len(drawing) > 1


def _link(step: Step, ops: Ops, values: Values) -> Link:
    mine, other = values
    shape = mine.shape if mine is not None else ()
    hashes = None if mine is None else mine.hash, None if other is None else other.hash
    return Link(ops[0].name, ops[0].line, shape, hashes, step.count + 1)


def _differing(op: Op, twin: Op) -> Values | None:
    """Return the first output that differs."""
    pairs: Iterable[tuple[Value, Value]] = zip(op.outputs, twin.outputs, strict=False)
    return next(((mine, other) for mine, other in pairs if mine.hash != other.hash), None)


def _concerns(op: Op, place: str, suffix: str) -> bool:
    """Tell whether an input goes into an output: of an operation on lists, those of the same place do."""
    if "_foreach" not in op.name and "_fused" not in op.name:
        return True
    parts = place.split(".")
    return len(parts) < 3 or not suffix or parts[2] == suffix
