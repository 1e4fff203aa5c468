"""What an optimizer holds at a step: parameters by name, gradients, states, counters, settings; how to set them."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lastbit.launch.forced.flat import near
from lastbit.launch.pair.leaves import names_of

__all__ = ["Counter", "Trained", "by_place", "filled", "plain_name"]

_WRAPPERS = re.compile(r"(^|\.)(_orig_mod|module|_fsdp_wrapped_module)(?=\.)")
"""What `torch.compile` and the wrappers of several processes put into names."""

_HOW = frozenset({"params", "param_names", "foreach", "fused", "capturable", "differentiable", "initial_lr"})
"""Entries of a group that say how a step is computed, or what it was once."""


@dataclass(frozen=True)
class Counter:
    """A number in an optimizer's state."""

    value: float
    put: Callable[[float], None]


@dataclass
class Trained:
    """An optimizer that is there, known by the order of first steps."""

    optimizer: weakref.ref[Optimizer]
    index: int = -1
    """-1 before its first step."""
    steps: int = 0
    _ids: tuple[int, ...] = ()
    _names: dict[int, str] = field(default_factory=dict)

    def alive(self) -> Optimizer:
        """Return it, in one of its own hooks."""
        optimizer = self.optimizer()
        assert optimizer is not None
        return optimizer

    def parameters(self) -> dict[str, Tensor]:
        """Return what it trains by the names of the program's modules."""
        every = by_place(self.alive())
        ids = tuple(map(id, every.values()))
        if ids != self._ids:
            known = names_of(self.alive())
            self._ids = ids
            self._names = {id(param): _name(place, known.get(place)) for place, param in every.items()}
            if len(set(self._names.values())) < len(ids):
                self._names = {id(param): _name(place, None) for place, param in every.items()}
        return {self._names[id(param)]: param for param in every.values()}

    def gradients(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the gradients that there are, as if a scaler had not scaled them."""
        scale = getattr(self.alive(), "grad_scale", None)  # of a fused step, which takes it out itself
        found = {name: param.grad for name, param in parameters.items() if param.grad is not None}
        return found if scale is None else {name: grad / scale.to(grad.device) for name, grad in found.items()}

    def set_gradient(self, parameter: Tensor, value: Tensor | None) -> None:
        """Put a gradient where one was computed; a sparse one keeps the places that it has."""
        grad = parameter.grad
        if value is None:
            parameter.grad = None
            return
        scale = getattr(self.alive(), "grad_scale", None)
        if scale is not None:
            value = value * scale.cpu()
        with torch.no_grad():
            if grad is None:
                parameter.grad = torch.empty_like(parameter)
                near(parameter.grad).copy_(value)
            elif grad.layout is torch.sparse_coo:
                parameter.grad = value.to(grad.device).sparse_mask(grad.coalesce())
            else:
                near(grad).copy_(value)

    def states(self) -> tuple[dict[str, Tensor], dict[str, Counter]]:
        """Return tensors and numbers of its state, by `PARAM.key`."""
        tensors: dict[str, Tensor] = {}
        counters: dict[str, Counter] = {}
        for param, state in self.alive().state.items():
            name = self._names.get(id(param))
            if name is not None:
                for path, container, key, value in _leaves(state, name):
                    if not isinstance(value, Tensor):
                        counters[path] = Counter(value, partial(_put, container, key))
                    elif value.dim() == 0 and (key == "step" or not value.is_floating_point()):
                        counters[path] = Counter(value.item(), partial(filled, value))
                    elif value.is_floating_point() or value.is_complex():
                        tensors[path] = value
        return tensors, counters

    def settings(self, parameters: Mapping[str, Tensor]) -> dict[str, dict[str, list[str]]]:
        """Return which parameters have which value of each hyper-parameter, both as text."""
        names = {id(param): name for name, param in parameters.items()}
        found: dict[str, dict[str, list[str]]] = {}
        for group in self.alive().param_groups:
            mine = [names[id(param)] for param in group["params"]]
            for key, value in group.items():
                if key not in _HOW:
                    found.setdefault(key, {}).setdefault(_text(value), []).extend(mine)
        return found


def by_place(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return what an optimizer trains, by `group.place`."""
    return {
        f"{group}.{place}": param
        for group, settings in enumerate(optimizer.param_groups)
        for place, param in enumerate(settings["params"])
    }


def _name(place: str, name: str | None) -> str:
    if name is None:
        group, _, parameter = place.partition(".")
        return f"group {group}, parameter {parameter}"
    return plain_name(name)


def plain_name(name: str) -> str:
    """Return the name of a tensor in a module without what wraps it."""
    return _WRAPPERS.sub("", f".{name}").lstrip(".")


def _leaves(value: Any, path: str, container: Any = None, key: Any = None) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield tensors and numbers, with their paths and with what holds them."""
    if isinstance(value, dict):
        for one, inner in value.items():
            yield from _leaves(inner, f"{path}.{one}", value, one)
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{place}", value, place)
    elif isinstance(value, (Tensor, int, float)) and not isinstance(value, bool):
        yield path, container, key, value


def _put(container: Any, key: Any, value: float) -> None:
    if not isinstance(container, tuple):
        container[key] = value


def filled(tensor: Tensor, value: float) -> None:
    """Write a number into a tensor."""
    with torch.no_grad():
        tensor.fill_(value)


def _text(value: Any) -> str:
    if isinstance(value, Tensor) and value.numel() == 1:
        return repr(value.item())
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_text, value))})"
    return repr(value) if value is None or isinstance(value, (bool, int, float, complex, str)) else type(value).__name__
