"""What a batch of examples is: tensors in any nesting of tuples and mappings, and how a model is called on one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lastbit.core.errors import LastbitError

__all__ = [
    "apply_model",
    "arrived",
    "call_names",
    "joined",
    "leaves_of",
    "mapped",
    "pair_of",
    "pinned",
    "placed",
    "size_of",
    "tensors_of",
    "widened",
]


def apply_model(model: nn.Module, inputs: Any) -> Any:
    """Call `model` on inputs as a batch carries them: one tensor, a tuple of arguments or a mapping of keywords."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, tuple | list):
        return model(*inputs)
    return model(inputs)


def mapped(value: Any, change: Callable[[Any], Any], kind: type | tuple[type, ...] = Tensor) -> Any:
    """Return `value` with every tensor in its tuples, lists and mappings changed; what else it holds stays as it is.

    Args:
        value: a nesting of tuples, lists and mappings.
        change: what to make of a tensor.
        kind: what is changed in place of tensors.
    """
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(each, change, kind) for each in value))
    if isinstance(value, tuple | list):
        return type(value)(mapped(each, change, kind) for each in value)
    if isinstance(value, Mapping):
        items = {key: mapped(each, change, kind) for key, each in value.items()}
        return items if type(value) is dict else type(value)(items)  # type: ignore[call-arg]
    return value


def leaves_of(value: Any) -> list[Any]:
    """Return what a nesting of tuples, lists and mappings holds: tensors and whatever else is there."""
    if isinstance(value, tuple | list):
        return [leaf for each in value for leaf in leaves_of(each)]
    if isinstance(value, Mapping):
        return [leaf for each in value.values() for leaf in leaves_of(each)]
    return [value]


def tensors_of(value: Any) -> list[Tensor]:
    """Return every tensor in a nesting of tuples, lists and mappings."""
    return [leaf for leaf in leaves_of(value) if isinstance(leaf, Tensor)]


def size_of(value: Any) -> int:
    """Return the number of examples of a batch: the length of its first tensor that has a first axis; 0 without one."""
    return next((len(tensor) for tensor in tensors_of(value) if tensor.ndim), 0)


def placed(value: Any, device: torch.device | str | None, dtype: torch.dtype | None) -> Any:
    """Return `value` with its tensors on `device`, in `dtype` those that hold floats; others keep their type.

    A copy from pinned memory to a GPU is not waited for: what computes with it there comes after it.
    """
    return mapped(
        value,
        lambda x: x.to(
            device=device,
            dtype=dtype if x.is_floating_point() else x.dtype,
            non_blocking=x.device.type == "cpu" and x.is_pinned(),
        ),
    )


def pinned(value: Any, device: torch.device | str | None) -> Any:
    """Return `value` with its tensors in pinned memory where `device` is a GPU, which then copies them by itself."""
    if device is None or torch.device(device).type != "cuda":
        return value
    return mapped(value, lambda x: x.pin_memory() if x.device.type == "cpu" else x)


def widened(value: Any) -> Any:
    """Return `value` with its tensors of half precision converted to float32."""
    return mapped(value, lambda x: x.float() if x.dtype in (torch.bfloat16, torch.float16) else x)


def joined(values: Sequence[Any]) -> Any:
    """Return batches of one form as one, every tensor joined along its first axis."""
    parts = iter([torch.cat(leaves) for leaves in zip(*map(tensors_of, values), strict=True)])
    return mapped(values[0], lambda _: next(parts))


def call_names(model: nn.Module) -> frozenset[str] | None:
    """Return the names by which `model` takes its inputs; None where it takes any."""
    parameters = inspect.signature(model.forward).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)


def pair_of(batch: Any, names: frozenset[str] | None, what: str = "a batch") -> tuple[Any, Any]:
    """Return what the model is called on, and what its outputs are compared with.

    Of `(inputs, targets)` these are the two; of a longer sequence all but the last, which the model takes in that
    order, and the last; of a mapping the entries that the model takes by name, and the whole mapping.

    Args:
        batch: as the examples give it.
        names: from `call_names`.
        what: what to call the batch in a message.

    Raises:
        LastbitError: it is none of these.

    Example:
        >>> pair_of((1, 2, 3), None), pair_of({"x": 1, "y": 2}, frozenset(["x"]))
        (((1, 2), 3), ({'x': 1}, {'x': 1, 'y': 2}))
    """
    if isinstance(batch, Mapping):
        inputs = {name: value for name, value in batch.items() if names is None or name in names}
        if not inputs:
            raise LastbitError(
                f"{what} has the entries {', '.join(map(str, batch))}, of which the model takes none by name: it takes "
                f"{', '.join(sorted(names or ()))}"
            )
        return inputs, batch
    if isinstance(batch, Sequence) and not isinstance(batch, str) and len(batch) >= 2:
        return (batch[0] if len(batch) == 2 else tuple(batch[:-1])), batch[-1]
    raise LastbitError(f"{what} must be (inputs, targets) or a mapping of tensors, got {arrived(batch)}")


def arrived(value: Any) -> str:
    """Return the shape and format of a tensor, or what else it is and what is in it."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    said = type(value).__name__
    if isinstance(value, Mapping) and value:
        said += f" of {', '.join(f'{name}: {type(part).__name__}' for name, part in list(value.items())[:4])}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        said += f" of {', '.join(type(part).__name__ for part in value[:4])}"
    return said
