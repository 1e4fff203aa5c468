"""Every operation of a process since its last optimizer step, kept in memory until the next.

A `TorchDispatchMode` lies at the bottom of each thread's stack of modes, below whatever the program enters, and passes
every operation on as it came. While it is on, it notes what went in and what came out.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from zlib import crc32

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lastbit.launch.pair.values import Memories, crc_of_object
from lastbit.launch.site.lines import Place, place_of

__all__ = ["OpRecorder", "RawOp", "RawValue"]

MOST = 100_000
"""Operations that are kept; where a step has more, the oldest half is dropped."""

RawValue = tuple[int, int | None, Any, Any, str, tuple[int, int] | None]
"""Number of the memory, CRC-32, shape, type, place and writer."""

_NUMBERS = (bool, int, float, complex)


class _Kind:
    """What is known of an operation whatever it is called with."""

    __slots__ = ("arrives", "empty", "name", "seeded", "written")

    def __init__(self, func: Any) -> None:
        self.name = str(func)
        schema = getattr(func, "_schema", None)
        arguments = schema.arguments if schema is not None else ()
        self.written: tuple[int | str, ...] = tuple(
            argument.name if argument.kwarg_only else place
            for place, argument in enumerate(arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        )
        self.seeded = torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())
        base = self.name.split(".")[1] if "." in self.name else self.name
        # What such memory holds is nobody's, and reading it would say that two runs differ.
        self.empty = base.startswith(("empty", "new_empty", "resize_"))
        # Collectives go on after they have returned; who reads the result has waited for it.
        self.arrives = self.name.startswith(("c10d.", "_c10d_functional."))


class RawOp:
    """An operation as it was met."""

    __slots__ = ("backward", "generator", "inputs", "kind", "line", "outputs", "scalars", "thread", "threads")

    def __init__(
        self,
        kind: _Kind,
        line: Place | None,
        backward: bool,
        thread: int,
        generator: int | None,
        inputs: list[RawValue],
        scalars: list[tuple[str, Any]],
    ) -> None:
        self.kind, self.line, self.backward, self.thread = kind, line, backward, thread
        self.threads = torch.get_num_threads()
        self.generator, self.inputs, self.scalars = generator, inputs, scalars
        self.outputs: list[RawValue] = []


class OpRecorder:
    """The tape of this process: what happened since the last cut.

    Args:
        on_trouble: called once with an error of the recorder's own, after which it is off.
    """

    def __init__(self, on_trouble: Callable[[Exception], None]) -> None:
        self.on = False
        self.memories = Memories()
        self.count = 0
        """How often it was cut."""
        self.ignored: set[tuple[str, str, Place | None]] = set()
        """Outputs, by operation, place and line, that are known to differ without any consequence."""
        self._on_trouble = on_trouble
        self._lock = threading.Lock()
        self._threads = 0
        self._kinds: dict[Any, _Kind] = {}
        self._clear()

    def _clear(self) -> None:
        self.ops: list[RawOp] = []
        self.lost = 0
        self._chains: dict[int, int] = {}
        self._lines: dict[int, Place | None] = {}
        self._older: dict[int, Place | None] = {}

    def enter(self) -> None:
        """Begin in this thread, for as long as it lives."""
        _Mode(self, self._threads).__enter__()  # type: ignore[no-untyped-call]
        self._threads += 1

    def wrap_threads(self) -> None:
        """Begin in every thread that is started from now on."""
        bootstrap = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]
        recorder = self

        def _bootstrap_inner(thread: threading.Thread) -> None:
            recorder.enter()
            bootstrap(thread)

        threading.Thread._bootstrap_inner = _bootstrap_inner  # type: ignore[attr-defined]

    def cut(self) -> None:
        """Begin the next step's tape."""
        with self._lock:
            lines = self._lines
            self._clear()
            self._older = lines
            self.count += 1
        self.memories.sweep()

    def forked(self) -> None:
        """Begin anew in a child."""
        self._lock = threading.Lock()
        self._clear()
        self.count = 0

    @property
    def digest(self) -> int:
        """Of all that the operations gave back; the order in which threads came does not matter."""
        return sum(self._chains.values()) & 0xFFFFFFFF

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], thread: int, frame: Any) -> Any:
        """Run an operation and note it."""
        try:
            op = self._before(func, args, kwargs, thread, frame)
        except Exception as error:
            self._stop(error)
            return func(*args, **kwargs)
        result = func(*args, **kwargs)
        try:
            self._after(op, args, kwargs, result)
        except Exception as error:
            self._stop(error)
        return result

    def _stop(self, error: Exception) -> None:
        self.on = False
        self._on_trouble(error)

    def _before(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], thread: int, frame: Any) -> RawOp:
        kind = self._kinds.get(func)
        if kind is None:
            kind = self._kinds[func] = _Kind(func)
        inputs: list[RawValue] = []
        scalars: list[tuple[str, Any]] = []
        device: torch.device | None = None
        for place, value in _arguments(args, kwargs):
            if isinstance(value, Tensor):
                inputs.append(self._value(value, place))
                device = value.device
            elif value is not None:
                scalars.append((place, value))
        generator = _drawn_from(args, kwargs, device) if kind.seeded else None
        line, backward = self._line(frame)
        return RawOp(kind, line, backward, thread, generator, inputs, scalars)

    def _line(self, frame: Any) -> tuple[Place | None, bool]:
        line, engine, _ = place_of(frame)
        node = torch._C._current_autograd_node()
        if node is None:
            sequence = torch.autograd._get_sequence_nr() - 1
            # The first operation after a node was made is the one that it is made for.
            self._lines.setdefault(sequence, line)
            return line, False
        if not engine and line is not None:  # inside a backward function of the user's
            return line, True
        sequence = node._sequence_nr()
        found = self._lines.get(sequence) or self._older.get(sequence)
        return found or line, True

    def _value(self, tensor: Tensor, place: str, *, fresh: bool = False) -> RawValue:
        memories = self.memories
        memory = memories.of(tensor)
        if memory is None:
            return -1, None, tensor.shape, tensor.dtype, place, None
        crc = memories.crc(tensor, memory, fresh=fresh)
        return memory.number, crc, tensor.shape, tensor.dtype, place, memory.writer

    def _after(self, op: RawOp, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        kind, memories = op.kind, self.memories
        written: list[tuple[str, Tensor]] = []
        for key in kind.written:
            value = args[key] if isinstance(key, int) and key < len(args) else kwargs.get(_name(key))
            written.extend(_tensors(value, f"args.{key}" if isinstance(key, int) else f"kwargs.{key}"))
        if kind.arrives:
            for _, value in _arguments(args, kwargs):
                if isinstance(value, Tensor):
                    memories.touched(value)
        with self._lock:
            here = self.count, len(self.ops) + self.lost
            self.ops.append(op)
            if len(self.ops) > MOST:
                del self.ops[: MOST // 2]
                self.lost += MOST // 2
        theirs = {id(tensor) for _, tensor in written}
        mine = {value[0] for value in op.inputs}
        chain = self._chains.get(op.thread, 0)
        returned = [(place, value) for place, value in _leaves(result, "out")]
        shown = {id(value) for _, value in returned}
        for place, value in (*returned, *((place, tensor) for place, tensor in written if id(tensor) not in shown)):
            if isinstance(value, Tensor):
                memory = memories.of(value)
                if memory is None:
                    op.outputs.append((-1, None, value.shape, value.dtype, place, here))
                    continue
                changes = id(value) in theirs
                if kind.arrives or kind.empty:
                    memory.version, crc = None, None
                else:
                    crc = memories.crc(value, memory, fresh=changes, written=changes)
                # A view is whose memory it shows.
                if changes or memory.number not in mine:
                    memory.writer = here
                op.outputs.append((memory.number, crc, value.shape, value.dtype, place, here))
            elif isinstance(value, _NUMBERS):
                crc = crc_of_object(value)
                op.outputs.append((-1, crc, (), type(value).__name__, place, here))
            else:
                continue
            if crc is not None and (not self.ignored or (kind.name, place, op.line) not in self.ignored):
                chain = crc32(crc.to_bytes(4, "little"), chain)
        self._chains[op.thread] = chain


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands every operation of one thread to the recorder, while that is on."""

    supports_higher_order_operators = True

    def __init__(self, recorder: OpRecorder, thread: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder, self._thread = recorder, thread

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Let `torch.compile` compile: without this it leaves out whatever runs under a mode."""
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        recorder = self._recorder
        if not recorder.on:
            return func(*args, **kwargs) if kwargs else func(*args)
        return recorder.run(func, args, kwargs or {}, self._thread, sys._getframe(1))


@cache
def _place(*parts: int | str) -> str:
    return ".".join(map(str, parts))


def _name(key: int | str) -> str:
    return str(key)


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for place, value in enumerate(args):
        if isinstance(value, (list, tuple)) and value and not isinstance(value[0], _NUMBERS):
            yield from _leaves(value, _place("args", place))
        else:
            yield _place("args", place), value
    for name, value in kwargs.items():
        yield from _leaves(value, _place("kwargs", name))


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from _leaves(one, _place(place, index))
    else:
        yield (place, value) if place != "out" else ("out.0", value)


def _tensors(value: Any, place: str) -> list[tuple[str, Tensor]]:
    return [(where, one) for where, one in _leaves(value, place) if isinstance(one, Tensor)]


def _drawn_from(args: tuple[Any, ...], kwargs: dict[str, Any], device: torch.device | None) -> int | None:
    """Return the CRC-32 of the state of the generator that an operation is about to draw from."""
    given = kwargs.get("generator") or next((one for one in args if isinstance(one, torch.Generator)), None)
    if given is None:
        where = kwargs.get("device") or device or "cpu"
        if torch.device(where).type == "cuda":
            given = torch.cuda.default_generators[torch.cuda.current_device()]
        else:
            given = torch.default_generator
    return crc32(given.get_state().cpu().numpy().tobytes())
