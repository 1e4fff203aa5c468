"""Perturb every optimizer that takes a step in this process, whoever made it and whenever it comes up.

PyTorch calls global hooks before and after every optimizer's step. The first time an optimizer is met there, the
perturbation attaches itself to it and acts from that very step on. A wrapper that is no real optimizer is passed over:
the one inside it steps. A subclass whose `step` calls that of its parent is met twice in one step and counted once.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import has_last_bit, local
from lastbit.perturb.auto import Auto
from lastbit.perturb.base import Attachment, Perturbation
from lastbit.perturb.hooks import is_inner, is_skipped

__all__ = ["Everywhere", "Met"]


@dataclass
class Met:
    """An optimizer that took a step. What it trains is kept after it is gone, until `forget`."""

    _optimizer: weakref.ref[Optimizer] = field(repr=False)
    name: str
    """Its class."""
    perturbed: str
    """How: the kind of the perturbation."""
    attachment: Attachment | None
    refused: str = ""
    """Why it could not be perturbed."""
    steps: int = 0
    first: dict[str, Tensor] | None = None
    """Its weights after its first step, by their names in `tensors`."""
    left_alone: int = 0
    """Elements of what it trains that are not perturbed: sparse, by themselves or in their gradient, or complex."""
    _tensors: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def alive(self) -> bool:
        """Whether the program still holds it."""
        return self._optimizer() is not None

    @property
    def optimizer(self) -> Optimizer | None:
        """Itself, while the program holds it."""
        return self._optimizer()

    def tensors(self) -> dict[str, Tensor]:
        """Return what it trains, dense and real, by `group.place` in the order of its groups: this process's shards."""
        optimizer = self._optimizer()
        if optimizer is not None:
            every = {
                f"{group}.{place}": param
                for group, settings in enumerate(optimizer.param_groups)
                for place, param in enumerate(settings["params"])
            }
            self._tensors = {name: local(param) for name, param in every.items() if has_last_bit(param)}
            self.left_alone = sum(param.numel() for param in every.values() if _left_alone(param))
        return self._tensors

    def forget(self) -> None:
        """Let go of what it trained."""
        self._tensors, self.attachment = {}, None

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of its weights, in their formats."""
        return {name: param.detach().cpu().clone() for name, param in self.tensors().items()}


def _named(sets: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"opt{place}.{name}": one for place, each in enumerate(sets) for name, one in each.items()}


def _left_alone(param: Tensor) -> bool:
    return not has_last_bit(param) or (param.grad is not None and param.grad.layout is not torch.strided)


class Everywhere:
    """A perturbation at work on every optimizer that steps while this is entered.

    Args:
        perturbation: what happens to the steps; `Identity` changes nothing and counts.
        on_step: called after every step with the optimizer that took it.
        keep_first: whether the weights after each optimizer's first step are kept.
        strict: whether an error of the perturbation is raised in the step in which it occurs; else the optimizer goes
            on unperturbed, and the error is in `Met.refused`.

    Raises:
        LastbitError: on entering, one is at work already, or this one was before.

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
        on_step: Callable[[Met], None] = lambda met: None,
        keep_first: bool = False,
        strict: bool = True,
    ) -> None:
        self.perturbation = perturbation
        self.met: list[Met] = []
        """The optimizers in the order of their first steps."""
        self.steps = 0
        self._on_step = on_step
        self._keep_first = keep_first
        self._strict = strict
        self._known: weakref.WeakKeyDictionary[Optimizer, Met] = weakref.WeakKeyDictionary()
        self._handles: list[Any] = []
        self._entered = False

    def __enter__(self) -> Self:
        """Begin."""
        if self._entered:
            # Its counts, its perturbation's draws and whom it met belong to the steps of before.
            raise LastbitError("a perturbation is entered once: make a new lastbit.perturbed() for what comes after it")
        if Everywhere._active is not None:
            raise LastbitError("every optimizer is perturbed already: leave the outer lastbit.perturbed first")
        Everywhere._active = self
        self._entered = True
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

    def weights(self) -> dict[str, Tensor]:
        """Return the present weights of every optimizer that was met, as `opt0.group.place`."""
        return _named(met.weights() for met in self.met)

    def first_weights(self) -> dict[str, Tensor]:
        """Return the weights after each optimizer's first step, as `weights` names them."""
        return _named(met.first or {} for met in self.met)

    # Compiled steps call these as they are.
    @_disable_dynamo
    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        met = self._known.get(optimizer)
        if met is None:
            met = self._known[optimizer] = self._meet(optimizer)
            self.met.append(met)

    def _meet(self, optimizer: Optimizer) -> Met:
        met = Met(weakref.ref(optimizer), type(optimizer).__name__, "none", None)
        met.tensors()
        try:
            chosen = self.perturbation.chosen(optimizer) if isinstance(self.perturbation, Auto) else self.perturbation
            # An instance's hooks run after the global ones, so that this very step is perturbed.
            met.attachment = chosen.attach(optimizer)
            met.perturbed = chosen.kind
        except LastbitError as error:
            met.refused = str(error)
        except Exception as error:
            if self._strict:
                raise
            met.refused = _said(error)
        if met.attachment is not None and not self._strict:
            met.attachment.on_error = partial(_refuse, met)
        return met

    @_disable_dynamo
    def _after(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        met = self._known.get(optimizer)
        if met is None:  # its step was under way when this began
            return
        if is_inner(optimizer) or is_skipped(optimizer):
            return
        met.steps += 1
        self.steps += 1
        if self._keep_first and met.steps == 1:
            with suppress(RuntimeError):  # a shard that cannot be read is not compared
                met.first = met.weights()
        self._on_step(met)


def _refuse(met: Met, error: Exception) -> None:
    met.perturbed, met.refused = "none", _said(error)


def _said(error: Exception) -> str:
    """Return an error in one line."""
    first = next(iter(str(error).splitlines()), "")
    return first if isinstance(error, LastbitError) else f"{type(error).__name__}: {first}"
