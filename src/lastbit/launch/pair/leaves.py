"""Where an optimizer stands after a step: its parameters, gradients and settings as hashes, and one checksum."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from lastbit.core.ulp import local
from lastbit.launch.pair.tapes import Leaf
from lastbit.launch.pair.values import Memories

__all__ = ["Standing", "hashes_of", "names_of", "standing"]


@dataclass(frozen=True)
class Standing:
    """An optimizer after one of its steps."""

    leaves: tuple[Leaf, ...]
    hyper: dict[str, str]
    size: int
    """Bytes of parameters and gradients that were read."""

    @property
    def checksum(self) -> str:
        """16 hexadecimal digits of all of it."""
        parts = [f"{leaf.name} {leaf.shape} {leaf.dtype} {leaf.hash_after} {leaf.grad_hash}" for leaf in self.leaves]
        parts += [f"{name}={value}" for name, value in self.hyper.items()]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def parameters(optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Yield what an optimizer trains, by `group.place`."""
    for group, settings in enumerate(optimizer.param_groups):
        for place, param in enumerate(settings["params"]):
            yield f"{group}.{place}", param


def hashes_of(optimizer: Optimizer, memories: Memories) -> dict[str, str | None]:
    """Return the hashes of the parameters, by `group.place`."""
    return {name: _hash(local(param).detach(), memories)[1] for name, param in parameters(optimizer)}


def standing(optimizer: Optimizer, memories: Memories, before: Mapping[str, str | None]) -> Standing:
    """Return where an optimizer stands.

    Args:
        optimizer: just after its step.
        memories: of this process.
        before: what `hashes_of` gave before the step.
    """
    leaves, size = [], 0
    for name, param in parameters(optimizer):
        near = local(param).detach()
        number, after = _hash(near, memories, fresh=True)
        size += near.numel() * near.element_size()
        grad_number, grad_hash = None, None
        if param.grad is not None:
            grad = local(param.grad).detach()
            grad_number, grad_hash = _hash(grad, memories)
            size += grad.numel() * grad.element_size()
        leaves.append(
            Leaf(
                name,
                tuple(near.shape),
                _short(near.dtype),
                number,
                before.get(name),
                after,
                grad_number,
                grad_hash,
            )
        )
    hyper = {
        f"{group}.{name}": _said(value, memories)
        for group, settings in enumerate(optimizer.param_groups)
        for name, value in settings.items()
        if name not in ("params", "param_names")
    }
    return Standing(tuple(leaves), hyper, size)


def living_modules() -> list[nn.Module]:
    """Return every module of this process, found among all living objects by their classes."""
    kinds, new = {nn.Module}, [nn.Module]
    while new:
        inner = {one for kind in new for one in type.__subclasses__(kind)} - kinds
        kinds |= inner
        new = list(inner)
    # Not isinstance: some objects make or say something when they are asked for their class.
    return [one for one in gc.get_objects() if type(one) in kinds]


def names_of(optimizer: Optimizer) -> dict[str, str]:
    """Return the names that the program's modules have for the parameters, by `group.place`.

    The living objects are looked through, so this is done once, when a tape is written.
    """
    wanted = {id(param): place for place, param in parameters(optimizer)}
    modules = living_modules()
    children = {id(child) for module in modules for child in module._modules.values() if child is not None}
    names: dict[str, str] = {}
    for module in modules:
        if id(module) in children:
            continue
        for name, param in module.named_parameters(remove_duplicate=False):
            place = wanted.get(id(param))
            if place is not None and len(name) > len(names.get(place, "")):
                names[place] = name
    return names


def _hash(tensor: Tensor, memories: Memories, *, fresh: bool = False) -> tuple[int, str | None]:
    memory = memories.of(tensor)
    if memory is None:
        return -1, None
    crc = memories.crc(tensor, memory, fresh=fresh)
    return memory.number, None if crc is None else f"{crc:08x}"


def _short(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _said(value: Any, memories: Memories) -> str:
    if isinstance(value, Tensor):
        return f"tensor {_hash(value.detach(), memories)[1]}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(_said(one, memories) for one in value)})"
    return repr(value) if value is None or isinstance(value, (bool, int, float, complex, str)) else type(value).__name__
