"""Weights from a file into a task's network, without running anything that the file may hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lastbit.core.errors import LastbitError

__all__ = ["load_checkpoint"]

_MODEL = ("model", "model_state_dict", "state_dict")
_OPTIMIZER = ("optimizer", "optimizer_state_dict")
_PREFIXES = ("module.", "model.")
"""What data-parallel wrappers and Lightning's modules put before every name."""


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    """Load weights, and the optimizer's state where the file holds it, and tell whether it did.

    `.safetensors` files hold weights alone. Others are read by `torch.load(weights_only=True)`, which builds tensors
    and plain containers only: a state dict, or a dictionary with one under `model`, `model_state_dict` or
    `state_dict`, and the optimizer's under `optimizer` or `optimizer_state_dict`. What `torch.compile`,
    data-parallel wrappers and Lightning add to the names is left out; of tied weights one name is enough.

    Raises:
        LastbitError: there is no such file, it is none of these, or it does not fit the network.
    """
    if not path.is_file():
        raise LastbitError(f"there is no checkpoint {path}: give a file of torch.save or a .safetensors file")
    content = _read(path)
    weights: Any = next((content[name] for name in _MODEL if isinstance(content.get(name), Mapping)), content)
    state = next((content[name] for name in _OPTIMIZER if isinstance(content.get(name), Mapping)), None)
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise LastbitError(
            f"{path} holds no weights by name: save model.state_dict(), or {{'model': model.state_dict()}}"
        )
    _fit(path, model, {str(name): value for name, value in weights.items()})
    if state is None:
        return False
    try:
        optimizer.load_state_dict(dict(state))
        # torch takes the groups of another optimizer as they are, and misses their settings at the next step.
        for name in optimizer.defaults:
            if any(name not in group for group in optimizer.param_groups):
                raise ValueError(f"it has no {name!r}")
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise LastbitError(f"the optimizer state in {path} does not fit {type(optimizer).__name__}: {error}") from None
    return True


def _read(path: Path) -> Mapping[str, Any]:
    try:
        safe = path.suffix.lower() == ".safetensors"
        content: Any = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        why = str(error).strip().partition("\n")[0][:160]
        if isinstance(error, UnpicklingError | EOFError | KeyError):
            why = "it is no file of torch.save, or holds more than tensors and plain containers, and no code is run"
        raise LastbitError(
            f"{path} cannot be read as a checkpoint ({why}): save weights with torch.save(model.state_dict(), …) or "
            "safetensors"
        ) from None
    if not isinstance(content, Mapping):
        raise LastbitError(f"{path} holds a {type(content).__name__}, not weights by name: save model.state_dict()")
    return content


def _bare(weights: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the network's names: without what wrappers put before, tied ones under all theirs."""
    weights = {name.replace("_orig_mod.", ""): value for name, value in weights.items()}
    for prefix in _PREFIXES:
        if not weights.keys() & wanted.keys():
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    held = {id(wanted[name]): value for name, value in weights.items() if name in wanted}
    return {name: held[id(tensor)] for name, tensor in wanted.items() if id(tensor) in held} | weights


def _fit(path: Path, model: nn.Module, weights: dict[str, Tensor]) -> None:
    wanted = model.state_dict(keep_vars=True)
    weights = _bare(weights, wanted)
    missing, extra = [n for n in wanted if n not in weights], [n for n in weights if n not in wanted]
    if missing or extra:
        first = f"it lacks {missing[0]!r}" if missing else f"it has {extra[0]!r}, which the network has not"
        raise LastbitError(
            f"{path} does not fit the network: {first} ({len(missing)} missing, {len(extra)} unknown of {len(wanted)})"
        )
    for name, value in weights.items():
        if wanted[name].is_floating_point() and not value.is_floating_point():
            raise LastbitError(f"{path} does not fit the network: {name} is {value.dtype} there; save it unquantised")
        if value.shape != wanted[name].shape:
            raise LastbitError(
                f"{path} does not fit the network: {name} is {tuple(value.shape)} there and "
                f"{tuple(wanted[name].shape)} here; check --width, --depth and --model"
            )
    model.load_state_dict(weights)
