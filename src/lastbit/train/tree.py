"""Nested state (of optimizers, schedules, generators) as named tensors and JSON, and back, bit for bit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = ["pack", "unpack"]


def pack(tree: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return `tree` as JSON-able nested lists, with its tensors and arrays put into `tensors` under `name/…`.

    Tensors are copied: the result stays what it is when training goes on.

    Raises:
        LastbitError: the tree holds something that is neither a number, text, None, tensor, array of numbers, nor a
            list, tuple or dict of those; or a dict's key is not a number, text, None or tuple of those.
    """
    if isinstance(tree, Tensor):
        name = _free(name, tensors)
        tensors[name] = tree.detach().clone(memory_format=torch.contiguous_format)
        return ["tensor", name]
    if isinstance(tree, np.ndarray) and tree.dtype.kind in "biufcmMSU":
        # Unsigned integers above 8 bits have no safetensors name in every version: their bytes have.
        name = _free(name, tensors)
        tensors[name] = torch.from_numpy(np.frombuffer(tree.tobytes(), dtype=np.uint8).copy())
        return ["array", name, tree.dtype.str, list(tree.shape)]
    if isinstance(tree, bool | int | str) or tree is None:
        return ["value", tree]
    if isinstance(tree, float):
        return ["value", tree] if math.isfinite(tree) else ["float", repr(tree)]
    if isinstance(tree, list | tuple):
        kind = "list" if isinstance(tree, list) else "tuple"
        return [kind, [pack(item, f"{name}/{index}", tensors) for index, item in enumerate(tree)]]
    if isinstance(tree, Mapping):
        kind = "counter" if isinstance(tree, Counter) else "dict"  # MultiStepLR asks its milestones for `elements()`
        return [kind, [[_pack_key(k, name), pack(v, f"{name}/{k}", tensors)] for k, v in tree.items()]]
    raise LastbitError(
        f"cannot write {name} to a checkpoint: a {type(tree).__name__} is not a number, text, tensor or container "
        "of those"
    )


def _free(name: str, tensors: Mapping[str, Tensor]) -> str:
    """Return `name`, or a variant of it where it is taken: the keys 1 and "1" of a dict both write `name/1`."""
    while name in tensors:
        name += "'"
    return name


def _pack_key(key: Any, name: str) -> Any:
    inside: dict[str, Tensor] = {}
    packed = pack(key, f"a key of {name}", inside)
    if inside:
        raise LastbitError(f"cannot write {name} to a checkpoint: a {type(key).__name__} is a key of it")
    return packed


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Inverse of `pack`: new tensors and arrays that share no memory with `tensors`."""
    kind, value, *rest = packed
    if kind == "tensor":
        return tensors[value].clone()
    if kind == "array":
        return np.frombuffer(tensors[value].numpy().tobytes(), dtype=rest[0]).reshape(rest[1]).copy()
    if kind == "float":
        return float(value)
    if kind in ("list", "tuple"):
        items = [unpack(item, tensors) for item in value]
        return items if kind == "list" else tuple(items)
    if kind in ("dict", "counter"):
        pairs = {unpack(k, tensors): unpack(v, tensors) for k, v in value}
        return pairs if kind == "dict" else Counter(pairs)
    return value
