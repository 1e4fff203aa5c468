"""What `torch.compile` made, noted like operations: what goes in and what comes out, and nothing of its inside.

TorchInductor's kernels for a CPU are C functions that are called with tensors and never pass the dispatcher. They are
taken up where they are made, and called as they came. Of other kernels the call of the whole compiled graph is noted.

References:
    torch/_inductor/async_compile.py, `AsyncCompile.cpp_pybinding` and `AsyncCompile.wait`;
    torch/_inductor/output_code.py, `CompiledFxGraph.__call__`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from lastbit.launch.pair.tape import OpRecorder, PassingOn
from lastbit.launch.pair.values import Writer

__all__ = ["Kernel", "follow"]


class Kernel:
    """A compiled kernel, which takes the place of the one that it calls.

    It is what the tape asks of an operation, too: it returns nothing, and writes what it is given.

    Args:
        plain: the kernel.
        argtypes: of its arguments as C has them, `const float*`: what points to anything else is written.
        recorder: of this process.
    """

    seeded = received = silent = views = empty = arrives = False

    def __init__(self, plain: Callable[..., Any], argtypes: Sequence[str], recorder: OpRecorder) -> None:
        self.name = "inductor.kernel"
        self._plain, self._recorder = plain, recorder
        self.written = tuple(
            (place, f"out{place}")
            for place, kind in enumerate(argtypes)
            if kind.endswith("*") and not kind.startswith("const ")
        )

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        recorder = self._recorder
        if not recorder.on:
            return self._plain(*args)
        # What is written and was written by nobody before is memory that was made for it, and is not read.
        fresh = {place for place, _ in self.written if self._made_for_it(args[place])}
        taken = tuple(None if place in fresh else value for place, value in enumerate(args))
        filled = {name: args[place] for place, name in self.written if place in fresh}
        with torch._C._DisableTorchDispatch():
            return recorder.note(self, lambda: self._plain(*args), taken, filled, _thread(), sys._getframe(1))

    def writes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Tensor]]:
        """Return the tensors that it was given to write, with their places."""
        given = [
            (f"kwargs.{name}", kwargs[name]) if name in kwargs else (f"args.{place}", args[place])
            for place, name in self.written
        ]
        return [one for one in given if isinstance(one[1], Tensor)]

    def _made_for_it(self, value: Any) -> bool:
        memory = self._recorder.memories.of(value) if isinstance(value, Tensor) else None
        return memory is not None and memory.writer is None


class Graph:
    """A call of what was compiled, as a whole: noted where what it gives was written by nothing that is followed.

    Triton's kernels and C++ wrappers are not.

    Args:
        recorder: of this process.
        inputs: what it is called with.
        mutated: the places of those that it writes.
    """

    name = "inductor.graph"
    seeded = received = silent = views = empty = arrives = False

    def __init__(self, recorder: OpRecorder, inputs: Sequence[Any], mutated: Iterable[int]) -> None:
        self._recorder = recorder
        # What is saved for a backward pass is let go of as it is used, so that nothing else is held.
        self._kept = {place: inputs[place] for place in mutated if isinstance(inputs[place], Tensor)}
        self.written = tuple((place, f"args.{place}") for place in self._kept)
        self._op = recorder.begin(self, tuple(inputs), {}, sys._getframe(2))
        self._writers = {place: self._writer(value) for place, value in self._kept.items()}

    def writes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Tensor]]:
        """Return the inputs that it writes, with their places."""
        return [(name, self._kept[place]) for place, name in self.written]

    def gave(self, results: Sequence[Any]) -> None:
        """Note what came out, where nobody else has."""
        taken = set() if self._op is None else {value[0] for value in self._op.inputs}
        memories = [self._recorder.memories.of(one) if isinstance(one, Tensor) else None for one in results]
        # What is only handed through is nobody's result.
        made = tuple(
            one if memory is not None and memory.number not in taken else None
            for one, memory in zip(results, memories, strict=True)
        )
        new = any(one is not None and self._writer(one) is None for one in made)
        if new or any(self._writer(value) is self._writers[place] for place, value in self._kept.items()):
            self._recorder.end(self._op, (), {}, _thread(), made)

    def _writer(self, value: Tensor) -> Writer | None:
        memory = self._recorder.memories.of(value)
        return None if memory is None else memory.writer


def follow(recorder: OpRecorder, name: str) -> None:
    """Have what is compiled from now on noted.

    Args:
        recorder: of this process.
        name: the part of the compiler that has just been imported.
    """
    follows = {"async_compile": _follow_kernels, "output_code": _follow_graphs}
    follows[name.rpartition(".")[2]](recorder, sys.modules[name])


def _thread() -> int:
    modes = (one for one in _get_current_dispatch_mode_stack() if isinstance(one, PassingOn))
    return next((one.thread for one in modes), 0)


def _follow_graphs(recorder: OpRecorder, module: Any) -> None:
    compiled: Any = module.CompiledFxGraph
    plain = compiled.__call__

    @wraps(plain)
    def called(graph: Any, inputs: Sequence[Any]) -> Any:
        if not recorder.on:
            return plain(graph, inputs)
        with torch._C._DisableTorchDispatch():
            noted = _tried(recorder, lambda: Graph(recorder, inputs, graph.mutated_input_idxs))
        results = plain(graph, inputs)
        if noted is not None:
            with torch._C._DisableTorchDispatch():
                _tried(recorder, lambda: noted.gave(results))
        return results

    compiled.__call__ = called


def _tried(recorder: OpRecorder, work: Callable[[], Graph | None]) -> Graph | None:
    try:
        return work()
    except Exception as error:
        recorder.stop(error)
        return None


def _follow_kernels(recorder: OpRecorder, module: Any) -> None:
    compiler: Any = module.AsyncCompile
    make, wait = compiler.cpp_pybinding, compiler.wait

    @wraps(make)
    def cpp_pybinding(inst: Any, argtypes: Sequence[str], *args: Any, **kwargs: Any) -> Any:
        made = make(inst, argtypes, *args, **kwargs)
        if hasattr(made, "result"):
            return module.LambdaFuture(lambda: Kernel(made.result(), argtypes, recorder))
        return Kernel(made, argtypes, recorder)

    @wraps(wait)
    def waited(inst: Any, scope: dict[str, Any]) -> None:
        wait(inst, scope)
        for name, value in scope.items():
            if isinstance(value, Kernel):
                value.name = f"inductor.{name}"

    compiler.cpp_pybinding, compiler.wait = cpp_pybinding, waited
