"""Nested state (of optimizers, schedules, generators) as named tensors and JSON, and back, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = ["pack", "unpack"]


def pack(tree: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return `tree` as JSON-able nested lists, with its tensors and arrays put into `tensors` under `name/…`.

    Raises:
        LastbitError: the tree holds something that is neither a number, text, None, tensor, array, nor a list, tuple
            or dict of those.
    """
    if isinstance(tree, Tensor):
        tensors[name] = tree
        return ["tensor", name]
    if isinstance(tree, np.ndarray):
        # Unsigned integers above 8 bits have no safetensors name in every version: their bytes have.
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
        return ["dict", [[pack(k, "", {}), pack(v, f"{name}/{k}", tensors)] for k, v in tree.items()]]
    raise LastbitError(
        f"cannot write {name} to a checkpoint: a {type(tree).__name__} is no number, text, tensor or container of those"
    )


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Inverse of `pack`."""
    kind, value, *rest = packed
    if kind == "tensor":
        return tensors[value]
    if kind == "array":
        return np.frombuffer(tensors[value].numpy().tobytes(), dtype=rest[0]).reshape(rest[1]).copy()
    if kind == "float":
        return float(value)
    if kind in ("list", "tuple"):
        items = [unpack(item, tensors) for item in value]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {unpack(k, tensors): unpack(v, tensors) for k, v in value}
    return value
