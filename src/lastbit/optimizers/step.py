"""One finished step of an optimizer, in blocks: what a direction is computed from and what a perturbation changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.nn import Parameter
from torch.optim import Optimizer

from lastbit.core.blocks import Scratch, block_elements
from lastbit.core.errors import LastbitError
from lastbit.core.ulp import has_last_bit, is_spread, local
from lastbit.optimizers.parts import Direction, Needs
from lastbit.optimizers.registry import OptimizerRule, rule_of

__all__ = ["OptimizerStep", "Snapshot", "knows_direction"]

_KEPT = 8
"""Divisions of a bucket into blocks that are kept for later steps: one, where all parameters have their gradients."""


def step_counts(states: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the `step` of each state, 0 where there is none."""
    steps = [each.get("step", 0.0) for each in states]
    if steps and all(isinstance(each, Tensor) and each.device.type != "cpu" for each in steps):
        # Fused and capturable steps count on the device: wait for it once, not once per parameter.
        counts: list[float] = torch.stack([each.reshape(()) for each in steps]).tolist()
        return counts
    return [float(each) for each in steps]


def knows_direction(optimizer: Optimizer) -> bool:
    """Tell whether the direction of every step of `optimizer` is known.

    One that must see a parameter whole is not, of a parameter that is spread over processes.
    """
    rule = rule_of(type(optimizer), "direction")
    if rule is None or not rule.needs.whole:
        return rule is not None
    return not any(map(is_spread, (param for group in optimizer.param_groups for param in group["params"])))


def _held(tensor: Tensor, param: Tensor) -> Tensor:
    """Return the part of a gradient or of a state that belongs to the part of `param` in this process."""
    if is_spread(tensor) and is_spread(param) and tensor.placements != param.placements:  # type: ignore[attr-defined]
        tensor = tensor.redistribute(placements=param.placements)  # type: ignore[attr-defined]
    return local(tensor)


class _Weights:
    """One parameter in one step: what this process holds of it and of what lies beside it."""

    def __init__(self, param: Tensor, held: Tensor, state: Mapping[str, Any], earlier: Mapping[str, Tensor]) -> None:
        self.param, self.held, self.grad, self.state, self.earlier = param, held, param.grad, state, earlier
        self._flat: dict[tuple[str, str], Tensor] = {}

    def whole(self, kind: str, name: str) -> Tensor:
        """Return the gradient (`grad`), or a `state` or `earlier` state by its name."""
        found: Tensor = getattr(self, kind)[name] if name else getattr(self, kind)
        return _held(found, self.param)

    def part(self, kind: str, name: str, start: int, stop: int) -> Tensor:
        """Return elements of it; what is no number for each weight comes as it is."""
        known = self._flat.get((kind, name))
        if known is None:
            # A view where the tensor lies in order; else the copy is made once for all blocks.
            known = self._flat[kind, name] = self.whole(kind, name).detach().reshape(-1)
        return known[start:stop] if known.numel() == self.held.numel() else known


@dataclass(frozen=True)
class _Piece:
    """A parameter of a bucket, and which of its elements: from where up to where."""

    place: int
    start: int
    stop: int
    whole: bool


@dataclass(frozen=True)
class _Block:
    """Elements of a bucket that are taken at once."""

    pieces: list[_Piece]
    before: list[Tensor]
    """Their copies from before the step: one vector where they lie one behind the other."""
    spots: list[Tensor]
    """Where they lie themselves: whole parameters, or parts of flat ones."""


@dataclass
class OptimizerStep:
    """One step just taken, over a block of the elements of one group that share device, dtype and step count.

    All tensors are vectors over those elements. A network has many small parameters, and one operation on a vector
    costs less than many on its pieces; a large parameter is taken in parts that stay in the processor's cache. Of a
    parameter that is spread over processes they are elements of this one. Every vector is good until the next step is
    asked for.

    Attributes:
        group: the parameter group: `group["lr"]` and the like.
        before: the weights before the step.
        after: the weights after the optimizer's own step; to be read only, like those before it.
        scratch: lends memory for what is computed of them.
    """

    group: Mapping[str, Any]
    before: Tensor
    after: Tensor
    scratch: Scratch
    _block: _Block
    _weights: Mapping[int, _Weights]
    _count: float
    _rule: OptimizerRule | None

    def _gathered(self, kind: str, name: str = "") -> Tensor:
        """Return a vector that may be written to."""
        parts = []
        for piece in self._block.pieces:
            weights = self._weights[piece.place]
            if piece.whole:
                parts.append(weights.whole(kind, name))
            else:
                parts.append(weights.part(kind, name, piece.start, piece.stop))
        return self.scratch.copy(parts[0].reshape(-1)) if len(parts) == 1 else _joined(parts)

    @property
    def _first(self) -> _Weights:
        return self._weights[self._block.pieces[0].place]

    @property
    def shape(self) -> torch.Size:
        """The shape of the one parameter there is, for a direction that needs it whole."""
        return self._first.param.shape

    def direction(self) -> Direction | None:
        """Return the direction that is registered for the optimizer; None where it is not known."""
        if self._rule is None or self._rule.direction is None:
            return None
        return None if self._rule.needs.whole and is_spread(self._first.param) else self._rule.direction(self)

    def gradient(self) -> Tensor:
        """Return the gradient as the step saw it, negated where the group maximizes."""
        flat = self._gathered("grad")
        return flat.neg_() if self.group.get("maximize") else flat

    def decayed_gradient(self) -> Tensor:
        """Return the gradient plus `weight_decay` times the weights before the step (coupled weight decay)."""
        decay = float(self.group.get("weight_decay", 0.0))
        return self.gradient().add_(self.before, alpha=decay) if decay != 0 else self.gradient()

    def state(self, name: str) -> Tensor:
        """Return the per-weight state `name` (say `"momentum_buffer"`), as the step left it.

        A state that is no number for each weight comes whole, flat.
        """
        return self._gathered("state", name)

    def earlier(self, name: str) -> Tensor | None:
        """Return the state `name` as it was before the step, one of `Needs.earlier`; None before the first step."""
        if any(name not in self._weights[piece.place].earlier for piece in self._block.pieces):
            return None
        return self._gathered("earlier", name)

    def count(self) -> float:
        """Return the optimizer's own step count, the same for all parameters here; 0 where it keeps none."""
        return self._count

    def write(self, weights: Tensor) -> None:
        """Put `weights` in the place of the weights after the step."""
        spots = self._block.spots
        if len(spots) == 1:
            spots[0].copy_(weights.view(spots[0].shape))
        else:
            torch._foreach_copy_(spots, _split(weights, spots))


@dataclass
class _Bucket:
    """The parameters of one group that share dtype and device, and a copy of them."""

    group: Mapping[str, Any]
    params: list[Tensor]
    held: list[Tensor]
    before: Tensor
    """The weights before the step, flat, one parameter behind the other."""
    views: tuple[Tensor, ...]
    """Parts of `before` in the shapes of what is held."""
    blocks: dict[tuple[int, ...], list[_Block]] = field(default_factory=dict)
    """Those of a step in which these parameters share their key."""


class Snapshot:
    """The weights of an optimizer before a step, and what of its state the direction needs as it was then.

    All of them that have a last bit, since a closure that runs inside the step decides which have a gradient. The
    memory for them, one copy of the weights, is kept from step to step.

    Args:
        optimizer: the optimizer that is about to step.
        rule: the registration that gives its direction, where there is one.
    """

    def __init__(self, optimizer: Optimizer, rule: OptimizerRule | None) -> None:
        self._optimizer, self._rule = optimizer, rule
        self._needs = Needs() if rule is None else rule.needs
        self._buckets: dict[tuple[int, torch.dtype, torch.device], _Bucket] = {}
        self._scratch = Scratch()
        self._marks: list[tuple[Any, ...] | None] = []
        self.take()

    @torch.no_grad()
    def take(self) -> None:
        """Look at the weights as they are now."""
        groups = self._optimizer.param_groups
        marks = [_mark(number, param) for number, group in enumerate(groups) for param in group["params"]]
        if marks != self._marks or None in marks:
            self._buckets, self._marks = self._laid_out(), marks
        for (number, _, _), bucket in self._buckets.items():
            bucket.group = groups[number]
            torch._foreach_copy_(bucket.views, bucket.held)
        self._earlier: dict[Tensor, dict[str, Tensor]] = {}
        if self._needs.earlier:
            for bucket in self._buckets.values():
                self._earlier |= {param: self._kept(param) for param in bucket.params}

    def _laid_out(self) -> dict[tuple[int, torch.dtype, torch.device], _Bucket]:
        found: dict[tuple[int, torch.dtype, torch.device], list[Tensor]] = {}
        groups = self._optimizer.param_groups
        for number, group in enumerate(groups):
            for param in filter(has_last_bit, group["params"]):
                found.setdefault((number, param.dtype, param.device), []).append(param)
        buckets = {}
        for key, params in found.items():
            held = [local(param).detach() for param in params]
            known = self._buckets.get(key)
            if known is not None and [view.shape for view in known.views] == [each.shape for each in held]:
                before = known.before
            else:
                before = held[0].new_empty(sum(each.numel() for each in held))
            buckets[key] = _Bucket(groups[key[0]], params, held, before, _split(before, held))
        return buckets

    def _kept(self, param: Tensor) -> dict[str, Tensor]:
        state = self._optimizer.state.get(param, {})
        return {name: _held(state[name], param).clone() for name in self._needs.earlier if name in state}

    def steps(self) -> Iterator[OptimizerStep]:
        """Yield what the step did to the parameters that have a dense gradient, block by block in a fixed order.

        Raises:
            LastbitError: every gradient is sparse.
        """
        buckets, state = self._buckets.values(), self._optimizer.state
        layouts = {param.grad.layout for each in buckets for param in each.params if param.grad is not None}
        if layouts and torch.strided not in layouts:
            raise LastbitError(f"cannot perturb a step with {layouts.pop()} gradients: use sparse=False")
        for bucket in buckets:
            graded = [
                place
                for place, param in enumerate(bucket.params)
                if param.grad is not None and param.grad.layout is torch.strided
            ]
            states = [state.get(bucket.params[place], {}) for place in graded]
            # A parameter that had no gradient in some steps lags behind in its count, on which bias corrections depend.
            keys = [
                (count, *self._apart(bucket.params[place], own, place))
                for count, own, place in zip(step_counts(states), states, graded, strict=True)
            ]
            weights = {
                place: _Weights(bucket.params[place], bucket.held[place], own, self._before(bucket.params[place]))
                for place, own in zip(graded, states, strict=True)
            }
            for key in sorted(set(keys)):
                places = tuple(place for place, own in zip(graded, keys, strict=True) if own == key)
                for block in self._blocks(bucket, places):
                    self._scratch.reset()
                    before, after = _joined(block.before), _joined(block.spots)
                    yield OptimizerStep(bucket.group, before, after, self._scratch, block, weights, key[0], self._rule)

    def _blocks(self, bucket: _Bucket, places: tuple[int, ...]) -> list[_Block]:
        """Return some parameters of a bucket in blocks: many small ones at once, a large one in parts."""
        blocks = bucket.blocks.get(places)
        if blocks is None:
            if len(bucket.blocks) >= _KEPT:
                bucket.blocks.clear()
            blocks = bucket.blocks[places] = [_block(bucket, pieces) for pieces in self._pieces(bucket, places)]
        return blocks

    def _pieces(self, bucket: _Bucket, places: tuple[int, ...]) -> Iterator[list[_Piece]]:
        # Processes that share parameters ask for their parts in one order, whatever they hold of them.
        spread = self._needs.whole or any(is_spread(bucket.params[place]) for place in places)
        most = bucket.before.numel() if spread else block_elements(bucket.before.device)
        pieces: list[_Piece] = []
        size = 0
        for place in places:
            held = bucket.held[place]
            part = most if held.is_contiguous() else held.numel()
            for start in range(0, held.numel(), part or 1):
                stop = min(start + part, held.numel())
                if pieces and size + stop - start > most:
                    yield pieces
                    pieces, size = [], 0
                pieces.append(_Piece(place, start, stop, stop - start == held.numel()))
                size += stop - start
        if pieces:
            yield pieces

    def _apart(self, param: Tensor, state: Mapping[str, Any], place: int) -> tuple[float, ...]:
        """Return what sets a parameter apart from others of its step count."""
        needs = self._needs
        scalars = [(self._before(param) if name in needs.earlier else state).get(name, 0.0) for name in needs.scalars]
        return (*map(float, scalars), float(place)) if needs.whole else (*map(float, scalars),)

    def _before(self, param: Tensor) -> Mapping[str, Tensor]:
        """Return what is kept of the state of a parameter as it was before the step."""
        return self._earlier.get(param, {}) if self._earlier else {}


def _mark(number: int, param: Tensor) -> tuple[Any, ...] | None:
    """Return what tells whether a parameter is where it was; None of one that has to be looked at anew each time."""
    if type(param) not in (Parameter, Tensor) or param.layout is not torch.strided:
        return None
    return number, id(param), param.data_ptr(), param.shape, param.stride(), param.dtype


def _block(bucket: _Bucket, pieces: list[_Piece]) -> _Block:
    before, spots = [], []
    for piece in pieces:
        view, held = bucket.views[piece.place], bucket.held[piece.place]
        before.append(view.view(-1)[piece.start : piece.stop])
        spots.append(held if piece.whole else held.view(-1)[piece.start : piece.stop])
    if all(one.place + 1 == other.place for one, other in pairwise(pieces)):
        # The copies of neighbours lie one behind the other.
        begin = before[0].storage_offset()
        before = [bucket.before[begin : begin + sum(each.numel() for each in before)]]
    return _Block(pieces, before, spots)


def _joined(parts: list[Tensor]) -> Tensor:
    if len(parts) == 1:
        return parts[0].reshape(-1)
    joined: Tensor = _flatten_dense_tensors(parts)  # type: ignore[no-untyped-call]
    return joined


def _split(flat: Tensor, like: list[Tensor]) -> tuple[Tensor, ...]:
    """Return the parts of a vector in the shapes of others."""
    parts: tuple[Tensor, ...] = _unflatten_dense_tensors(flat, like)  # type: ignore[no-untyped-call]
    # Before PyTorch 2.13 a part without elements comes without its shape.
    return tuple(part.view(each.shape) for part, each in zip(parts, like, strict=True))
