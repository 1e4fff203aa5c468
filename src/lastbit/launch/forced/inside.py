"""What lastbit does inside a process of a forced run: hear of every optimizer, backward pass and batch.

What it does with them is the reference's part (`recorder`) or a follower's (`follower`).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lastbit.launch.everywhere import Met
from lastbit.launch.forced.batches import Batches
from lastbit.launch.forced.flat import dtype_name
from lastbit.launch.forced.folder import claimed
from lastbit.launch.forced.follower import Follower
from lastbit.launch.forced.moment import STEPPED, Evaluation, Here
from lastbit.launch.forced.recorder import Recorder
from lastbit.launch.forced.standing import Trained
from lastbit.launch.pair.exchange import process_key
from lastbit.perturb.hooks import is_inner, is_skipped

__all__ = ["ForcedPart"]


class _Side(Protocol):
    """What a reference and its followers do at each moment."""

    def constructed(self, one: Trained, count: int) -> None: ...

    def begun(self, one: Trained) -> None: ...

    def evaluated(self, one: Trained, evaluation: Evaluation) -> float | None: ...

    def stepped(self, one: Trained) -> None: ...

    def ended(self) -> None: ...

    def close(self) -> None: ...


class ForcedPart:
    """This process's part in a forced run.

    Args:
        told: the message of the launch; `forced` in it is this part's.
        on_trouble: called with an error of its own, after which nothing more is done.
    """

    def __init__(self, told: Mapping[str, Any], on_trouble: Callable[[Exception], None]) -> None:
        self._folder, self._told = Path(told["folder"]), told["forced"]
        self._on_trouble = on_trouble
        self._forks: tuple[int, ...] = ()
        self._children = 0
        self._fresh()
        if not told["forced"].get("light"):  # which compares none
            self._batches.begin()
        self._hear_losses()
        self._hear_constructors()
        register_optimizer_step_pre_hook(self._about_to_step)
        os.register_at_fork(before=self._forking)

    def _fresh(self) -> None:
        self._lock = threading.RLock()
        self._over = False
        self._side: _Side | None = None
        self._here = Here()
        self._made = 0
        self._losses: list[Tensor] = []
        self._batches = Batches()
        self._trained: weakref.WeakKeyDictionary[Optimizer, Trained] = weakref.WeakKeyDictionary()

    def _try(self, work: Callable[[], Any]) -> Any:
        """Do what is lastbit's own; after an error no more is done."""
        if self._over:
            return None
        try:
            with self._lock, torch._C._DisableTorchDispatch(), torch.no_grad():
                return work()
        except Exception as error:
            self._over = True
            if self._side is not None:
                self._side.close()
            self._on_trouble(error)
            return None

    def _mine(self) -> _Side:
        """Return this process's side, which begins with its first optimizer."""
        if self._side is None:
            told, folder = self._told, Path(self._told["exchange"])
            label = process_key(self._forks, "process")[0].replace(", ", "_").replace(" ", "-")
            process = claimed(folder, told["role"], label)
            if told["role"] == "reference":
                self._side = Recorder(folder, process, told, self._here)
            else:
                self._side = Follower(folder, process, told, self._here, self._folder / f"rows-{process}.jsonl")
        return self._side

    def _hear_losses(self) -> None:
        plain = torch.autograd.backward

        @wraps(plain)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            for one in [tensors] if isinstance(tensors, Tensor) else list(tensors):
                if isinstance(one, Tensor) and one.numel() == 1:
                    self._losses.append(one.detach())
            return plain(tensors, *args, **kwargs)

        torch.autograd.backward = backward

    def _hear_constructors(self) -> None:
        plain, part = Optimizer.__init__, self

        @wraps(plain)
        def constructed(self: Optimizer, *args: Any, **kwargs: Any) -> None:
            plain(self, *args, **kwargs)
            part._try(lambda: part._constructed(self))

        Optimizer.__init__ = constructed  # type: ignore[method-assign]

    def _constructed(self, optimizer: Optimizer) -> None:
        self._mine().constructed(self._known(optimizer), self._made)
        self._made += 1

    def _known(self, optimizer: Optimizer) -> Trained:
        one = self._trained.get(optimizer)
        if one is None:
            one = self._trained[optimizer] = Trained(weakref.ref(optimizer))
        return one

    # Compiled steps call it as it is.
    @_disable_dynamo
    def _about_to_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._over or is_inner(optimizer) or is_skipped(optimizer):
            return None
        self._try(lambda: self._begun(optimizer))
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if not callable(closure):
            self._try(lambda: self._evaluated(optimizer, 0, None))
            return None
        heard = self._heard(optimizer, closure)
        if len(args) > 1:
            return (args[0], heard, *args[2:]), kwargs
        return args, {**kwargs, "closure": heard}

    def _begun(self, optimizer: Optimizer) -> None:
        one = self._known(optimizer)
        if one.index < 0:
            one.index = len(self._here.trained)
            self._here.trained.append(one)
        self._here.step += 1
        side = self._mine()
        if self._here.step == 1:
            (self._folder / STEPPED).touch()
        side.begun(one)

    def _heard(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        """Return a closure that says what it came to."""
        self._losses.clear()
        calls = iter(range(1 << 30))

        def heard() -> Any:
            returned = closure()
            value = self._try(lambda: self._evaluated(optimizer, next(calls), returned))
            if value is None or not isinstance(returned, (Tensor, float)):
                return returned
            return torch.full_like(returned.detach(), value) if isinstance(returned, Tensor) else value

        return heard

    def _evaluated(self, optimizer: Optimizer, place: int, returned: Any) -> float | None:
        losses = [one.double().item() for one in self._losses]
        dtype = dtype_name(self._losses[-1].dtype) if losses else ""
        self._losses.clear()
        value = None if returned is None else float(returned)
        evaluation = Evaluation(place, sum(losses) if losses else None, dtype, value, self._batches.taken())
        return self._mine().evaluated(self._known(optimizer), evaluation)

    def step(self, met: Met) -> None:
        """Take note of a step that was made."""
        optimizer = met.optimizer
        if optimizer is not None and optimizer in self._trained and self._side is not None:
            self._try(lambda: self._stepped(self._trained[optimizer]))

    def _stepped(self, one: Trained) -> None:
        self._mine().stepped(one)
        one.steps += 1

    def finish(self) -> None:
        """Take note that this process ends."""
        if self._side is not None and self._here.step:
            self._try(self._side.ended)
        self._over = True

    def _forking(self) -> None:
        self._children += 1

    def forked(self) -> None:
        """Go on as a process of its own: this is the child."""
        self._forks, self._children = (*self._forks, self._children), 0
        batches = self._batches
        self._fresh()
        self._batches = batches
