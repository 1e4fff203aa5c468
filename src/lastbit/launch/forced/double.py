"""Every float32 operation computed in float64 and rounded: what an operation loses inside itself is then seen.

Sums, products of matrices, exponentials and logarithms are computed from the same float32 numbers as before; their
results become float32 again. Operations that draw at random, that only move numbers, or whose float32 result is the
rounded one anyway (a sum, product or quotient of two numbers) run as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from lastbit.launch.pair.operations import Operation
from lastbit.launch.pair.tape import BottomMode

__all__ = ["Double"]

_MOVES = frozenset(
    {"alias", "cat", "clone", "constant_pad_nd", "copy", "copy_", "detach", "expand", "fill", "fill_", "flip", "gather"}
    | {"index_select", "item", "lift", "lift_fresh", "masked_fill", "masked_fill_", "repeat", "roll", "select_backward"}
    | {"slice_backward", "squeeze", "stack", "to_copy", "tril", "triu", "unsqueeze", "where", "zero_"}
)
"""Operations that move numbers, by their names without an underscore ahead."""

_CHOOSES = frozenset(
    {
        "abs",
        "amax",
        "amin",
        "argmax",
        "argmin",
        "clamp",
        "clamp_max",
        "clamp_min",
        "eq",
        "ge",
        "gt",
        "isfinite",
        "isinf",
    }
    | {
        "isnan",
        "le",
        "lt",
        "max_pool2d_with_indices",
        "maximum",
        "minimum",
        "ne",
        "neg",
        "relu",
        "relu_",
        "sgn",
        "sign",
    }
    | {"sort", "threshold", "threshold_backward", "topk"}
)
"""Operations that compare and choose."""

_ROUNDED = frozenset({"div", "div_", "mul", "mul_", "sqrt", "sqrt_"})
"""Operations whose result is the rounded one already; sums of two numbers are too."""


class Double:
    """Computes the operations of a thread in float64, while `on`."""

    def __init__(self) -> None:
        self.on = False
        self._left: dict[str, str] = {}
        self._kinds: dict[Any, Operation | None] = {}
        """None of those that run as they are."""
        _Computing(self).__enter__()  # type: ignore[no-untyped-call]

    def facts(self) -> dict[str, Any]:
        """Return which operations could not be computed so, and why."""
        return {"not in double": dict(self._left)}

    @_disable_dynamo
    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation."""
        if func not in self._kinds:
            self._kinds[func] = _kind(func)
        kind = self._kinds[func]
        if kind is None or (_adds(func) and float(kwargs.get("alpha", args[2] if len(args) > 2 else 1)) == 1.0):
            return func(*args, **kwargs)
        widened: list[tuple[Tensor, Tensor]] = []
        wide = [_mapped(value, lambda one: _wide(one, widened)) for value in args]
        named = {name: _mapped(value, lambda one: _wide(one, widened)) for name, value in kwargs.items()}
        if not widened:
            return func(*args, **kwargs)
        if named.get("dtype") is torch.float32:
            named["dtype"] = torch.float64
        try:
            result = func(*wide, **named)
        except (RuntimeError, NotImplementedError) as error:
            self._left.setdefault(str(func), next(iter(str(error).splitlines()), ""))
            return func(*args, **kwargs)
        written = {id(after) for _, after in kind.writes(tuple(wide), named)}
        for before, after in widened:
            # Batch norms write what their schema does not say they do.
            if id(after) in written or "batch_norm" in kind.name:
                before.copy_(after)
        originals = {id(after): before for before, after in widened}
        return _mapped(result, lambda one: originals.get(id(one), one.float() if one.dtype is torch.float64 else one))


class _Computing(BottomMode):
    """Hands every operation of one thread to `Double`, while that is on."""

    def __init__(self, double: Double) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._double = double

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self._double.on:
            return func(*args, **kwargs) if kwargs else func(*args)
        return self._double.run(func, args, kwargs or {})


def _kind(func: Any) -> Operation | None:
    """Return what is known of an operation; None where it runs as it is."""
    kind = Operation(func)
    name = func.__name__.split(".")[0].lstrip("_")
    exact = name in _MOVES | _CHOOSES | _ROUNDED or name.startswith("amp_") or not hasattr(func, "_schema")
    return None if exact or kind.seeded or kind.views or kind.empty or kind.arrives else kind


def _adds(func: Any) -> bool:
    return func.__name__.split(".")[0] in ("add", "add_", "sub", "sub_")


def _wide(tensor: Tensor, widened: list[tuple[Tensor, Tensor]]) -> Tensor:
    if tensor.dtype is not torch.float32 or tensor.layout is not torch.strided:
        return tensor
    for before, after in widened:
        if before is tensor:
            return after
    widened.append((tensor, tensor.double()))
    return widened[-1][1]


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a value with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(one, change) for one in value)
    return value
