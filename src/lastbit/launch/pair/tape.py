"""Every operation of a process since its last optimizer step, kept in memory until the next.

A `TorchDispatchMode` lies at the bottom of each thread's stack of modes, below whatever the program enters, and passes
every operation on as it came. While it is on, it notes what went in and what came out.
"""

from __future__ import annotations

import sys
import threading
from array import array
from collections.abc import Callable
from functools import cache, partial
from time import monotonic  # bound here: the one that a program finds there may be replaced
from typing import Any, Protocol
from zlib import crc32

import torch
from torch import Tensor
from torch._C._dynamo.eval_frame import _FrameAction, _FrameExecStrategy, set_code_exec_strategy
from torch._compile import _disable_dynamo
from torch.utils._python_dispatch import TorchDispatchMode

from lastbit.launch.pair.operations import Operation
from lastbit.launch.pair.values import Memories, Writer, crc_of_object
from lastbit.launch.site.lines import Place, place_of

__all__ = ["BottomMode", "Noted", "OpRecorder", "PassingOn", "RawOp", "RawValue"]

MOST = 100_000
"""Operations that are kept; where a step has more, the oldest half is dropped."""

RawValue = tuple[int, int | None, Any, Any, str, Writer | None]
"""Number of the memory, CRC-32, shape, type, place and writer."""

_NUMBERS = (bool, int, float, complex)

_ARGS = tuple(f"args.{place}" for place in range(64))


class Noted(Protocol):
    """What the tape asks of whatever it notes, as in `Operation`."""

    name: str
    written: tuple[tuple[int, str], ...]
    seeded: bool
    received: bool
    views: bool
    empty: bool
    arrives: bool

    def writes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Tensor]]:
        """Return the tensors that it was given to write, with their places."""


class RawOp:
    """An operation as it was met."""

    __slots__ = ("backward", "generator", "inputs", "kind", "line", "outputs", "scalars", "thread", "threads")

    kind: Noted
    line: Place | None
    backward: bool
    thread: int
    threads: int
    generator: int | None
    inputs: list[RawValue]
    outputs: list[RawValue]
    scalars: list[tuple[str, Any]]


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
        self.spent = 0.0
        """Seconds that recording took, beside the operations themselves."""
        self.ignored: set[tuple[str, str, Place | None]] = set()
        """Outputs, by operation, place and line, that are known to differ without any consequence."""
        self._on_trouble = on_trouble
        self._lock = threading.Lock()
        self._threads = 0
        self._kinds: dict[Any, Operation] = {}
        self._clear()

    def _clear(self) -> None:
        self.ops: list[RawOp] = []
        self.lost = 0
        self._said: dict[int, list[int]] = {}
        self._lines: dict[int, Place | None] = {}
        self._older: dict[int, Place | None] = {}

    def mode(self) -> TorchDispatchMode:
        """Return what hands this recorder the operations of one thread, while it is entered there."""
        with self._lock:
            thread = self._threads
            self._threads += 1
        return PassingOn(self, thread)

    def enter(self) -> None:
        """Begin in this thread, for as long as it lives."""
        self.mode().__enter__()  # type: ignore[no-untyped-call]

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
        self.count, self.spent = 0, 0.0

    @property
    def digest(self) -> int:
        """Of all that the operations gave back; the order in which threads came does not matter."""
        return sum(crc32(array("L", said)) for said in self._said.values()) & 0xFFFFFFFF

    @_disable_dynamo
    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], thread: int, frame: Any) -> Any:
        """Run an operation and note it."""
        kind = self._kinds.get(func)
        if kind is None:
            kind = self._kinds[func] = Operation(func)
        if kind.silent:
            return func(*args, **kwargs)
        return self.note(kind, partial(func, *args, **kwargs), args, kwargs, thread, frame)

    def note(
        self,
        kind: Noted,
        call: Callable[[], Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        thread: int,
        frame: Any,
    ) -> Any:
        """Call something, and note what goes in and what comes out.

        Args:
            kind: what is known of it whatever it is called with.
            call: calls it.
            args: what it reads, and what of it is written.
            kwargs: the same, by name; what begins with `out` is not read.
            thread: in which it runs.
            frame: from which it is called.
        """
        op = self.begin(kind, args, kwargs, frame)
        result = call()
        self.end(op, args, kwargs, thread, result)
        return result

    def begin(self, kind: Noted, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Any) -> RawOp | None:
        """Note what goes in; None where that fails, after which nothing more is noted."""
        began = monotonic()
        try:
            return self._before(kind, args, kwargs, frame)
        except Exception as error:
            self.stop(error)
            return None
        finally:
            self.spent += monotonic() - began

    def end(self, op: RawOp | None, args: tuple[Any, ...], kwargs: dict[str, Any], thread: int, result: Any) -> None:
        """Note what came out."""
        if op is None:
            return
        began = monotonic()
        try:
            op.thread = thread
            self._after(op, args, kwargs, result)
        except Exception as error:
            self.stop(error)
        finally:
            self.spent += monotonic() - began

    def stop(self, error: Exception) -> None:
        """Be off for good, after an error of the recorder's own."""
        self.on = False
        self._on_trouble(error)

    def _before(self, kind: Noted, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Any) -> RawOp:
        op = RawOp()
        op.kind = kind
        op.inputs, op.outputs, op.scalars = [], [], []
        for place, value in enumerate(args):
            self._take(op, value, _ARGS[place] if place < 64 else f"args.{place}")
        if kwargs:
            for name, value in kwargs.items():
                self._take(op, value, _below("kwargs", name))
        op.generator = _drawn_from(args, kwargs) if kind.seeded else None
        op.threads = torch.get_num_threads()
        line, engine, _ = place_of(frame)
        node = torch._C._current_autograd_node()
        op.backward = node is not None
        if node is None:
            # The first operation after a node was made is the one that it is made for.
            self._lines.setdefault(torch.autograd._get_sequence_nr() - 1, line)
        elif engine or line is None:  # else inside a backward function of the user's
            sequence = node._sequence_nr()
            line = self._lines.get(sequence) or self._older.get(sequence) or line
        op.line = line
        return op

    def _take(self, op: RawOp, value: Any, place: str) -> None:
        """Note an argument."""
        if isinstance(value, Tensor):
            memory = self.memories.of(value)
            if memory is None:
                op.inputs.append((-1, None, value.shape, value.dtype, place, None))
            else:
                crc = None if op.kind.views else self.memories.crc(value, memory)
                op.inputs.append((memory.number, crc, value.shape, value.dtype, place, memory.writer))
        elif isinstance(value, (list, tuple)):
            if value and isinstance(value[0], _NUMBERS):
                op.scalars.append((place, tuple(value)))
            else:
                for index, one in enumerate(value):
                    self._take(op, one, _below(place, index))
        elif value is not None:
            op.scalars.append((place, value))

    def _after(self, op: RawOp, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        kind = op.kind
        with self._lock:
            here = self.count, len(self.ops) + self.lost, kind.name, op.line
            self.ops.append(op)
            if len(self.ops) > MOST:
                del self.ops[: MOST // 2]
                self.lost += MOST // 2
            said = self._said.setdefault(op.thread, [])
        if not kind.written and isinstance(result, Tensor):
            self._gave(op, result, "out.0", here, said, changed=False)
            return
        written = {id(tensor): (place, tensor) for place, tensor in kind.writes(args, kwargs)}
        for place, value in _leaves(result, "out"):
            if isinstance(value, Tensor):
                self._gave(op, value, place, here, said, changed=written.pop(id(value), None) is not None)
            elif isinstance(value, _NUMBERS):
                crc = crc_of_object(value)
                op.outputs.append((-1, crc, (), type(value).__name__, place, here))
                said.append(crc)
        for place, tensor in written.values():
            self._gave(op, tensor, place, here, said, changed=True)

    def _gave(self, op: RawOp, value: Tensor, place: str, here: Writer, said: list[int], *, changed: bool) -> None:
        """Note a tensor that an operation gave back or wrote."""
        memory = self.memories.of(value)
        if memory is None:
            op.outputs.append((-1, None, value.shape, value.dtype, place, here))
            return
        kind, crc = op.kind, None
        if kind.arrives or kind.empty:
            memory.version = -1
        elif changed or not kind.views:
            crc = self.memories.crc(value, memory, fresh=changed, written=changed)
            if (
                crc is not None
                and not kind.received
                and not (self.ignored and (kind.name, place, op.line) in self.ignored)
            ):
                said.append(crc)
        if not kind.views or changed:
            memory.writer = here
        op.outputs.append((memory.number, crc, value.shape, value.dtype, place, here))


class BottomMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that lies below all others of a thread for good, with as little cost as can be."""

    supports_higher_order_operators = True

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Let `torch.compile` compile: without this it leaves out whatever runs under a mode."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Have the frame passed over instead of wrapped, which an operation that only passes through need not pay."""
        return False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # type: ignore[no-untyped-call]
        code = cls.__torch_dispatch__.__code__
        set_code_exec_strategy(code, _FrameExecStrategy(_FrameAction.SKIP, _FrameAction.DEFAULT))


class PassingOn(BottomMode):
    """Hands every operation of one thread to the recorder, while that is on."""

    def __init__(self, recorder: OpRecorder, thread: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder, self.thread = recorder, thread

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        recorder = self._recorder
        if not recorder.on:
            return func(*args, **kwargs) if kwargs else func(*args)
        return recorder.run(func, args, kwargs or {}, self.thread, sys._getframe(1))


@cache
def _below(place: str, part: int | str) -> str:
    return f"{place}.{part}"


def _leaves(value: Any, place: str) -> list[tuple[str, Any]]:
    if not isinstance(value, (list, tuple)):
        return [(_below(place, 0), value)]
    found: list[tuple[str, Any]] = []
    for index, one in enumerate(value):
        below = _below(place, index)
        found += _leaves(one, below) if isinstance(one, (list, tuple)) else [(below, one)]
    return found


def _drawn_from(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Return the CRC-32 of the state of the generator that an operation is about to draw from."""
    given = kwargs.get("generator") or next((one for one in args if isinstance(one, torch.Generator)), None)
    if given is None:
        device = next((one.device for one in args if isinstance(one, Tensor)), kwargs.get("device") or "cpu")
        if torch.device(device).type == "cuda":
            given = torch.cuda.default_generators[torch.cuda.current_device()]
        else:
            given = torch.default_generator
    return crc32(given.get_state().numpy().data)
