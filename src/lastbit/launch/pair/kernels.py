"""The kernels of `torch.compile`, noted like operations: what goes in and what comes out, and nothing of their inside.

TorchInductor's kernels for a CPU are C functions that are called with tensors and never pass the dispatcher. They are
taken up where they are made, and called as they came.

References:
    torch/_inductor/async_compile.py, `AsyncCompile.cpp_pybinding` and `AsyncCompile.wait`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from lastbit.launch.pair.tape import OpRecorder, PassingOn

__all__ = ["Kernel", "follow_kernels"]


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
        modes = (one for one in _get_current_dispatch_mode_stack() if isinstance(one, PassingOn))
        thread = next((one.thread for one in modes), 0)
        with torch._C._DisableTorchDispatch():
            return recorder.note(self, lambda: self._plain(*args), taken, filled, thread, sys._getframe(1))

    def writes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Tensor]]:
        """Return the tensors that it was given to write, with their places."""
        return [
            (f"kwargs.{name}", kwargs[name]) if name in kwargs else (f"args.{place}", args[place])
            for place, name in self.written
        ]

    def _made_for_it(self, value: Any) -> bool:
        memory = self._recorder.memories.of(value)
        return memory is not None and memory.writer is None


def follow_kernels(recorder: OpRecorder) -> None:
    """Have the kernels that are compiled from now on noted; `torch._inductor.async_compile` has been imported."""
    module: Any = sys.modules["torch._inductor.async_compile"]
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
