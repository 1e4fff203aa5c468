"""Tapes written by hand, an operation a line, for tests of what is read from them."""

from dataclasses import replace

from lastbit.launch.pair.outcome import Difference, Pair, ProcessPair
from lastbit.launch.pair.tapes import Leaf, Line, Op, Origin, ProcessFacts, Tap, Tape, Value

FACTS = ProcessFacts("train.py", 1, "train.py", None, {}, {"threads": "1", "PYTHONHASHSEED": "0"})


def line(number, path="train.py"):
    return Line(path, number, "<module>", "")


class Written:
    """A tape being written; memory has numbers, what is in it has any text for a hash.

    Args:
        count: exchanges before it.
        before: what earlier tapes left in memory: the tape, which is asked for who wrote it.
    """

    def __init__(self, count=0, before=None):
        self.count = count
        self.ops, self.taps = [], []
        self.holds = {} if before is None else dict(before.holds)

    def op(self, name, inputs=(), outputs=(), number=1, scalars=(), generator=None, thread=0, threads=1, shape=(2,)):
        """Add an operation that reads memories and leaves `(memory, hash)`; a view leaves `(memory, None)`."""
        index = len(self.ops)
        view = not name.startswith("c10d") and any(memory in inputs for memory, left in outputs if left is None)
        read = tuple(self._value(memory, f"args.{place}", view, shape) for place, memory in enumerate(inputs))
        here = Origin(self.count, index, f"aten.{name}", line(number))
        given = tuple(
            Value(memory, left, shape, "float32", f"out.{place}", here) for place, (memory, left) in enumerate(outputs)
        )
        for memory, left in outputs:
            if not view:
                self.holds[memory] = left, here
        full = name if name.startswith(("c10d", "inductor")) else f"aten.{name}"
        drawn = generator is not None
        self.ops.append(
            Op(index, full, line(number), False, thread, threads, drawn, generator, read, given, tuple(scalars))
        )
        return self

    def _value(self, memory, place, view, shape):
        left, origin = self.holds.get(memory, (f"outside {memory}", None))
        return Value(memory, None if view else left, shape, "float32", place, origin)

    def tap(self, kind, said, number=1, digest="", op=0):
        self.taps.append(Tap(kind, line(number), said, digest or said, 1, self.count, op))
        return self

    def tape(self, grad=None, param="p", hyper=(), number=1, settings=()):
        """End it, with one parameter: `grad` is the memory of its gradient."""
        left = self.holds.get(grad, (None, None))[0]
        leaf = Leaf("weight", (2,), "float32", 99, "w", param, grad, left)
        facts = replace(FACTS, settings=dict(FACTS.settings) | dict(settings))
        return Tape(facts, self.count, 0, number, (leaf,), dict(hyper), {}, tuple(self.taps), tuple(self.ops), 0)


def pair_of(first, second, kind="values", suspects=(), met=((), ()), key="train.py", rank=None, more=()):
    """Return a pair of one process, and `more`, with what it left behind."""
    count = first.count
    found = Difference(kind, key, 0, count, ((0, count + 1), (0, count + 1)), (first, second))
    kept = tuple(Difference("operations", key, 0, one.count, ((0, 1), (0, 1)), (one, two)) for one, two in suspects)
    process = ProcessPair(key, 0, rank, key, (1, 2), count, 1, 8, False, (False, False), found, kept, count)
    return Pair((None, None), (process, *more), 1.0, False, met)
