"""Averages of a network's weights, beside a training that does not notice them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from lastbit.core.batches import apply_model, call_names, pair_of, placed
from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.curvature.snapshot import unwrapped

__all__ = ["Average", "ema"]


def ema(model: nn.Module, decay: float = 0.995) -> Average:
    """Return the exponential moving average of a network's weights, to be updated after each step.

    With weights `w_t` after step `t` and decay `d`, the average is `a_1 = w_1` and `a_t = d a_{t-1} + (1 - d) w_t`: it
    looks back over some `1 / (1 - d)` steps. It lowers the spread of the last bit, and that of fresh runs too, which
    smooth activations leave; over a training shorter than a few times `1 / (1 - d)` it lags behind.

    The training keeps its bits: only copies are changed, and no generator moves. Call `update()` after
    `optimizer.step()`, and `restat(batches)` before the average is used, if it has batch normalisation: statistics of
    the last weights do not fit their average.

    Args:
        model: the network, copied with `copy.deepcopy`, hooks included; `torch.compile` and data-parallel wrappers are
            looked through. Batch normalisation in eval mode in a network in train mode counts as frozen.
        decay: `d` per step, at least 0 and below 1.

    Raises:
        LastbitError: `decay` is out of range, or so close to 1 that weights of this format would not move; `model` is
            no module, has lazy weights or cannot be copied.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control Optim. 30
    (1992), for averages of weights; the bits are those of `torch.optim.swa_utils.AveragedModel`.

    Example:
        >>> import torch, lastbit as lb
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> batches = [(torch.randn(16, 4), torch.randn(16, 1)) for _ in range(5)]
        >>> average = lb.remedies.ema(model, decay=0.9)
        >>> for inputs, targets in batches:
        ...     optimizer.zero_grad()
        ...     torch.nn.functional.mse_loss(model(inputs), targets).backward()
        ...     optimizer.step()
        ...     average.update()
        >>> average.restat(batches)
        >>> average.updates, average.model.training
        (5, False)
    """
    if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 <= decay < 1:
        raise LastbitError(f"decay = {decay!r}: give a number of at least 0 and below 1, such as 0.995")
    return Average(model, float(decay))


class Average:
    """What `ema` returns.

    Attributes:
        decay: per step; None for the mean `a_t = (w_1 + ... + w_t) / t`, in which all weigh the same.
        updates: how many steps are in the average.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self._source = unwrapped(model)
        for name, parameter in self._source.named_parameters():
            if is_lazy(parameter):
                raise LastbitError(f"parameter {name!r} has no shape yet: run the model once on a batch first")
            if decay is not None and parameter.is_floating_point() and 1 - decay < torch.finfo(parameter.dtype).eps:
                raise LastbitError(
                    f"decay = {decay!r} is too close to 1 for {parameter.dtype}: what a step adds is below the last "
                    f"bit of parameter {name!r}; average weights of a wider format, or give a smaller decay"
                )
        self.decay = decay
        self.updates = 0
        try:
            self._model = deepcopy(self._source)
        except (RuntimeError, TypeError) as error:
            raise LastbitError(f"the model cannot be copied: {str(error).splitlines()[0]}") from error
        pairs = list(zip(self._source.modules(), self._model.modules(), strict=True))
        norms = [(own, held) for own, held in pairs if isinstance(held, _BatchNorm) and held.running_mean is not None]
        self._norms = [held for own, held in norms if own.training or not self._source.training]
        # A tensor may be put in the place of a buffer at any time, so they are looked up whenever they are copied.
        self._buffers = [
            (own._buffers, held._buffers, name)
            for own, held in pairs
            for name, tensor in held._buffers.items()
            if tensor is not None
        ]
        self._weights: list[Tensor] = list(self._source.parameters())
        self._averages: list[Tensor] = list(self._model.parameters())
        self._average = get_swa_multi_avg_fn() if decay is None else get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._stale = False
        self._model.eval()

    @property
    def model(self) -> nn.Module:
        """The averaged network, in eval mode; that of the start before the first `update()`.

        Buffers are those that the network has when the average is first looked at after an update.
        """
        if self._stale:
            self._stale = False
            for own, held, name in self._buffers:
                old, new = held[name], own[name]
                if old is not None and new is not None:
                    old.copy_(new)
        return self._model

    def update(self) -> None:
        """Take the weights as they are now into the average."""
        if self.updates == 0:
            with torch.no_grad():
                torch._foreach_copy_(self._averages, self._weights)
        else:
            self._average(self._averages, self._weights, self.updates)
        self.updates += 1
        self._stale = True

    @torch.no_grad()
    def restat(self, batches: Iterable[Any]) -> None:
        """Estimate the statistics of batch normalisation anew, for the averaged weights.

        They are the means over `batches` of each batch's mean and variance, as `torch.optim.swa_utils.update_bn` takes
        them, but with dropout and the like off, as the average is used. They hold until the next `update()`. Without
        batch normalisation nothing is read. Training data is right, in batches of the training's size; some 100 batches
        are enough (`itertools.islice(loader, 100)`). The same batches give the same bits: a loader shuffles by a seed
        of its own here, and generators are put back, one that a loader was made with too. Give no loader that is being
        iterated.

        Args:
            batches: tensors, `(inputs, targets)`, longer sequences that end with targets, or mappings of which the
                network takes entries by name.

        Raises:
            LastbitError: there is no batch, or one is none of these. The statistics are then those of before.
        """
        if not self._norms:
            return
        model = self.model
        device = next(model.parameters()).device
        names = call_names(model)
        before = [(norm.momentum, {name: held.clone() for name, held in norm.named_buffers()}) for norm in self._norms]
        taken = 0
        try:
            for norm in self._norms:
                norm.reset_running_stats()
                norm.momentum = None
                norm.train()
            with LentGenerators(0, device).active(), _put_back(batches):
                for batch in batches:
                    apply_model(model, placed(_inputs(batch, names), device, None))
                    taken += 1
            if not taken:
                raise LastbitError("restat got no batch: give batches of the training's data")
        except BaseException:
            for norm, (_, held) in zip(self._norms, before, strict=True):
                norm.load_state_dict(held, strict=False)
            raise
        finally:
            for norm, (momentum, _) in zip(self._norms, before, strict=True):
                norm.momentum = momentum
                norm.eval()

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on bit for bit: tensors and a number, which `torch.load` takes as weights only.

        The tensors are the average's own, as in a module's `state_dict`: save them, or copy them, before more steps.
        """
        return {"decay": self.decay, "updates": self.updates, "model": dict(self.model.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            LastbitError: `state` is none, is of another decay, or of another network.
        """
        if not isinstance(state, Mapping) or set(state) != {"decay", "updates", "model"}:
            raise LastbitError("the state of an average has the entries decay, updates, model: give its state_dict()")
        if state["decay"] != self.decay:
            raise LastbitError(
                f"the state is of decay {state['decay']!r}, this average has {self.decay!r}: make it with "
                f"ema(model, decay={state['decay']!r})"
            )
        try:
            self._model.load_state_dict(state["model"])
        except RuntimeError as error:
            why = " ".join(str(error).split())
            raise LastbitError(f"the state is of another network: {why}") from error
        self.updates, self._stale = int(state["updates"]), False


def _inputs(batch: Any, names: frozenset[str] | None) -> Any:
    if isinstance(batch, Tensor):
        return batch
    if isinstance(batch, tuple | list) and len(batch) == 1:
        return batch[0]
    return pair_of(batch, names)[0]


@contextmanager
def _put_back(batches: Any) -> Iterator[None]:
    """Put the generators back that a loader of the training draws from by itself."""
    holders = [batches, getattr(batches, "sampler", None)]
    drawn = [getattr(holder, "generator", None) for holder in holders]
    states = [(each, each.get_state()) for each in drawn if isinstance(each, torch.Generator)]
    try:
        yield
    finally:
        for each, state in states:
            each.set_state(state)
