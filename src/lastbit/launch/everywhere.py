"""Perturb every optimizer that takes a step in this process, whoever made it and whenever it comes up.

PyTorch calls global hooks before and after every optimizer's step. The first time an optimizer is met there, the
perturbation attaches itself to it and acts from that very step on. A wrapper that is no real optimizer is passed over:
the one inside it steps. A subclass whose `step` calls that of its parent is met twice in one step and counted once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from lastbit.core.batches import widened
from lastbit.core.errors import LastbitError
from lastbit.perturb.auto import Auto
from lastbit.perturb.base import Attachment, Perturbation

__all__ = ["Everywhere", "Met"]


@dataclass
class Met:
    """An optimizer that took a step."""

    optimizer: Optimizer
    perturbed: str
    """How: the kind of the perturbation."""
    attachment: Attachment | None
    refused: str = ""
    """Why it could not be perturbed."""
    steps: int = 0
    first: np.ndarray[Any, Any] | None = None
    """Its weights after its first step, flat."""
    _depth: int = field(default=0, repr=False)

    @property
    def parameters(self) -> list[Tensor]:
        """What it trains, dense and real, in the order of its groups."""
        params = [param for group in self.optimizer.param_groups for param in group["params"]]
        return [param for param in params if param.layout is torch.strided and param.is_floating_point()]

    def weights(self) -> np.ndarray[Any, Any]:
        """Return its weights, flat, half precision as float32."""
        parts = [widened(param.detach()).reshape(-1).cpu() for param in self.parameters]
        return torch.cat(parts).numpy().copy() if parts else np.empty(0, dtype=np.float32)


class Everywhere:
    """A perturbation at work on every optimizer that steps while this is entered.

    Args:
        perturbation: what happens to the steps; `Identity` changes nothing and counts.
        on_step: called after every step with the number of steps so far, over all optimizers.
        keep_first: whether the weights after each optimizer's first step are kept.

    Raises:
        LastbitError: on entering, one is at work already.

    Example:
        >>> from lastbit.perturb.rescale import Rescale
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> with Everywhere(Rescale(k=3)) as everywhere:
        ...     optimizer = torch.optim.SGD([weight], lr=0.1)
        ...     weight.sum().backward()
        ...     optimizer.step()
        >>> everywhere.steps, everywhere.met[0].perturbed
        (1, 'rescale')
    """

    _active: Everywhere | None = None

    def __init__(
        self,
        perturbation: Perturbation,
        *,
        on_step: Callable[[int], None] = lambda steps: None,
        keep_first: bool = False,
    ) -> None:
        self.perturbation = perturbation
        self.met: list[Met] = []
        """The optimizers in the order of their first steps."""
        self.steps = 0
        self._on_step = on_step
        self._keep_first = keep_first
        self._by_id: dict[int, Met] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        """Begin."""
        if Everywhere._active is not None:
            raise LastbitError("every optimizer is perturbed already: leave the outer lastbit.perturbed first")
        Everywhere._active = self
        self._handles = [
            register_optimizer_step_pre_hook(self._before),
            register_optimizer_step_post_hook(self._after),
        ]
        return self

    def __exit__(self, *error: object) -> None:
        """Detach from every optimizer."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for met in self.met:
            if met.attachment is not None:
                met.attachment.detach()
        Everywhere._active = None

    def weights(self) -> np.ndarray[Any, Any]:
        """Return the present weights of every optimizer that was met, flat."""
        return np.concatenate([met.weights() for met in self.met]) if self.met else np.empty(0, dtype=np.float32)

    def first_weights(self) -> np.ndarray[Any, Any]:
        """Return the weights after each optimizer's first step, flat."""
        kept = [met.first for met in self.met if met.first is not None]
        return np.concatenate(kept) if kept else np.empty(0, dtype=np.float32)

    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        met = self._by_id.get(id(optimizer))
        if met is None:
            met = self._by_id[id(optimizer)] = self._meet(optimizer)
            self.met.append(met)
        met._depth += 1

    def _meet(self, optimizer: Optimizer) -> Met:
        chosen = self.perturbation.chosen(optimizer) if isinstance(self.perturbation, Auto) else self.perturbation
        try:
            # An instance's hooks run after the global ones, so that this very step is perturbed.
            return Met(optimizer, chosen.kind, chosen.attach(optimizer))
        except LastbitError as error:
            return Met(optimizer, "none", None, str(error))

    def _after(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        met = self._by_id.get(id(optimizer))
        if met is None:  # its step was under way when this began
            return
        met._depth -= 1
        if met._depth > 0:
            return
        met.steps += 1
        self.steps += 1
        if self._keep_first and met.steps == 1:
            with suppress(RuntimeError):  # a shard that cannot be read is not compared
                met.first = met.weights()
        self._on_step(self.steps)
