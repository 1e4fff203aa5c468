"""Buffers of what is trained, and copies of it (averages, teachers): found among living modules, or named."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lastbit.launch.forced.standing import Counter, filled, plain_name
from lastbit.launch.forced.table import Role
from lastbit.launch.pair.leaves import living_modules

__all__ = ["Found", "Objects"]

_DEPTH = 4
"""Of lists, dictionaries and attributes in one another, in which the tensors of a named object are looked for."""

_LOOKS = frozenset({1, 2, 8, 64})
"""Steps at which living modules are looked through: what is made after the first step is there at the second."""


@dataclass
class Found:
    """Tensors and numbers of the objects at one moment, by name."""

    tensors: dict[Role, dict[str, Tensor]] = field(default_factory=lambda: {Role.BUFFER: {}, Role.COPY: {}})
    counters: dict[str, Counter] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """Neither floating-point tensors nor single numbers."""

    def has(self, name: str) -> bool:
        """Tell whether there is a buffer or number of this name."""
        return name in self.tensors[Role.BUFFER] or name in self.counters

    def add(self, role: Role, name: str, tensor: Tensor) -> None:
        """Take a tensor."""
        if tensor.is_floating_point():
            self.tensors[role][name] = tensor
        elif tensor.numel() == 1 and not tensor.is_complex():
            self.counters[name] = Counter(tensor.item(), partial(filled, tensor))
        else:
            self.left_out.append(name)


class Objects:
    """The objects of this process.

    Args:
        named: `FILE:NAME,NAME` or `NAME,NAME`, each the name of a variable, with attributes behind dots.
    """

    def __init__(self, named: Sequence[str]) -> None:
        self._named = [(file, name) for one in named for file, name in _names(one)]
        self._known: dict[str, Any] = {}
        """What the names stood for last: a function's variables are gone when it has returned."""
        self._left_out: list[str] = []
        self._models: list[tuple[str, nn.Module]] = []
        self._copies: list[tuple[str, nn.Module]] = []
        self._layers: list[str] = []
        self._seen: dict[str, bool] = {}
        """Whether a named object that was there holds any tensor."""

    def now(self, step: int, trained: Mapping[int, int]) -> Found:
        """Return what there is.

        Args:
            step: that is about to be made.
            trained: the places of what is trained, by `id`.
        """
        if step in _LOOKS:
            self._look(trained)
        found = Found()
        for prefix, module in self._models:
            for name, tensor in module.named_buffers():
                short = plain_name(name)
                found.add(Role.BUFFER, prefix + short if found.has(short) else short, tensor)
        for prefix, module in self._copies:
            for name, tensor in _state(module):
                found.add(Role.COPY, prefix + plain_name(name), tensor)
        for file, name in self._named:
            value = self._named_now(file, name)
            held = list(_tensors(value, name, _DEPTH))
            if value is not None:
                self._seen[name] = bool(held) or self._seen.get(name, False)
            role = Role.BUFFER if _holds(value, trained) else Role.COPY
            for path, tensor in held:
                if id(tensor) not in trained:
                    found.add(role, path, tensor)
        self._left_out = found.left_out
        return found

    def _named_now(self, file: str, name: str) -> Any:
        value = _looked_up(file, name)
        if value is not None:
            self._known[name] = value
        return self._known.get(name)

    def facts(self) -> dict[str, Any]:
        """Return what was found and what was not."""
        return {
            "models": [f"{prefix}{type(module).__name__}" for prefix, module in self._models],
            "copies": [f"{prefix}{type(module).__name__}" for prefix, module in self._copies],
            "layers": self._layers,
            "objects": list(self._seen),
            "objects not found": [name for _, name in self._named if name not in self._seen],
            "objects without tensors": [name for name, holds in self._seen.items() if not holds],
            "left out": self._left_out,
        }

    def _look(self, trained: Mapping[int, int]) -> None:
        # Without the compiler's own.
        modules = [one for one in living_modules() if not type(one).__module__.startswith("torch.fx.")]
        children = {id(child) for module in modules for child in module._modules.values() if child is not None}
        roots = [module for module in modules if id(module) not in children]
        named = {id(one) for file, name in self._named for one in _modules(self._named_now(file, name))}
        places = {id(root): min(_places(root, trained), default=-1) for root in roots if id(root) not in named}
        models = sorted((root for root in roots if places.get(id(root), -1) >= 0), key=lambda root: places[id(root)])
        copies = [root for root in roots if places.get(id(root)) == -1 and next(root.parameters(), None) is not None]
        shapes = {tuple(one.shape) for model in models for one in model.parameters()}
        copies = [root for root in copies if {tuple(one.shape) for one in root.parameters()} & shapes]
        trains = [root for root in roots if next(_places(root, trained), None) is not None]
        self._layers = sorted({type(one).__name__ for root in trains for one in root.modules() if not _is_idle(one)})
        self._models = [(f"model {place}: ", one) for place, one in enumerate(models, 1)]
        self._copies = [(f"copy {place}: ", one) for place, one in enumerate(copies, 1)]


def _places(module: nn.Module, trained: Mapping[int, int]) -> Iterator[int]:
    return (trained[id(param)] for param in module.parameters() if id(param) in trained)


def _is_idle(module: nn.Module) -> bool:
    """Tell whether it is a dropout that drops nothing."""
    return "Dropout" in type(module).__name__ and getattr(module, "p", None) == 0


def _holds(value: Any, trained: Mapping[int, int]) -> bool:
    return isinstance(value, nn.Module) and next(_places(value, trained), None) is not None


def _modules(value: Any) -> Iterator[nn.Module]:
    return iter(value.modules()) if isinstance(value, nn.Module) else iter(())


def _state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _names(said: str) -> Iterator[tuple[str, str]]:
    file, _, names = said.rpartition(":")
    return ((file, name.strip()) for name in names.split(",") if name.strip())


def _looked_up(file: str, name: str) -> Any:
    """Return what a name stands for in the functions that are under way, in the innermost first, and in their files."""
    first, *rest = name.split(".")
    frame: Any = sys._getframe(1)
    places: list[tuple[str, Mapping[str, Any]]] = []
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(("lastbit.", "torch.")):
            places += [(frame.f_code.co_filename, space) for space in (frame.f_locals, frame.f_globals)]
        frame = frame.f_back
    main = sys.modules.get("__main__")
    if main is not None:
        places.append((getattr(main, "__file__", None) or "", vars(main)))
    # The other program's file may have another name.
    own = [space for path, space in places if Path(path).name == Path(file).name] or [space for _, space in places]
    value = next((space[first] for space in own if first in space), None)
    for part in rest:
        value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
    return value


def _tensors(value: Any, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, nn.Module):
        for name, tensor in _state(value):
            yield f"{path}.{plain_name(name)}", tensor
    elif depth:
        if isinstance(value, dict):
            inner: Any = value.items()
        elif isinstance(value, (list, tuple)):
            inner = enumerate(value)
        else:
            inner = vars(value).items() if hasattr(value, "__dict__") else ()
        for name, one in list(inner):
            yield from _tensors(one, f"{path}.{name}", depth - 1)
