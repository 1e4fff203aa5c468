"""One finished step of an optimizer, in blocks: what a direction is computed from and what a perturbation changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

from lastbit.core.blocks import Scratch, block_elements
from lastbit.core.errors import LastbitError
from lastbit.core.ulp import has_last_bit, is_spread, local
from lastbit.optimizers.parts import Direction, Needs
from lastbit.optimizers.registry import OptimizerRule, rule_of

__all__ = ["OptimizerStep", "Snapshot", "knows_direction"]


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
    """One parameter in one step: what this process holds of it and of what lies beside it, flat."""

    def __init__(self, param: Tensor, held: Tensor, state: Mapping[str, Any], earlier: Mapping[str, Tensor]) -> None:
        self.param, self.held, self.grad, self.state, self.earlier = param, held, param.grad, state, earlier
        self.size = held.numel()
        self._flat: dict[tuple[str, str], Tensor] = {}

    def flat(self, kind: str, name: str = "") -> Tensor:
        """Return the weights (`held`), the gradient (`grad`), or a `state` or `earlier` state by its name."""
        known = self._flat.get((kind, name))
        if known is None:
            found: Tensor = getattr(self, kind)[name] if name else getattr(self, kind)
            # A view where the tensor lies in order; else the copy is made once for all blocks.
            known = self._flat[kind, name] = _held(found, self.param).detach().reshape(-1)
        return known


_Piece: TypeAlias = tuple[_Weights, int, int]
"""A parameter, and which of its elements: from where up to where."""


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
    after: Tensor = field(init=False)
    scratch: Scratch
    _pieces: list[_Piece]
    _count: float
    _rule: OptimizerRule | None

    def __post_init__(self) -> None:
        parts = self._parts("held")
        self.after = parts[0] if len(parts) == 1 else torch.cat(parts)

    def _parts(self, kind: str, name: str = "") -> list[Tensor]:
        parts = []
        for weights, start, stop in self._pieces:
            flat = weights.flat(kind, name)
            # What is no number for each weight comes as it is.
            part = stop - start < weights.size and flat.numel() == weights.size
            parts.append(flat[start:stop] if part else flat)
        return parts

    def _gathered(self, kind: str, name: str = "") -> Tensor:
        """Return a vector that may be written to."""
        parts = self._parts(kind, name)
        return self.scratch.copy(parts[0]) if len(parts) == 1 else torch.cat(parts)

    @property
    def shape(self) -> torch.Size:
        """The shape of the one parameter there is, for a direction that needs it whole."""
        return self._pieces[0][0].param.shape

    def direction(self) -> Direction | None:
        """Return the direction that is registered for the optimizer; None where it is not known."""
        if self._rule is None or self._rule.direction is None:
            return None
        return None if self._rule.needs.whole and is_spread(self._pieces[0][0].param) else self._rule.direction(self)

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
        if any(name not in weights.earlier for weights, _, _ in self._pieces):
            return None
        return self._gathered("earlier", name)

    def count(self) -> float:
        """Return the optimizer's own step count, the same for all parameters here; 0 where it keeps none."""
        return self._count

    def write(self, weights: Tensor) -> None:
        """Put `weights` in the place of the weights after the step."""
        (first, start, stop), *others = self._pieces
        if not others and stop - start < first.size:
            self.after.copy_(weights)
            return
        places = [
            each.held if stop - start == each.size else each.held.view(-1)[start:stop]
            for each, start, stop in self._pieces
        ]
        parts = torch.split(weights, [stop - start for _, start, stop in self._pieces])
        torch._foreach_copy_(places, [part.view(place.shape) for part, place in zip(parts, places, strict=True)])


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
        self.take()

    @torch.no_grad()
    def take(self) -> None:
        """Look at the weights as they are now."""
        found: dict[tuple[int, torch.dtype, torch.device], list[Tensor]] = {}
        groups = self._optimizer.param_groups
        for number, group in enumerate(groups):
            for param in filter(has_last_bit, group["params"]):
                found.setdefault((number, param.dtype, param.device), []).append(param)
        taken = {}
        for key, params in found.items():
            held = list(map(local, params))
            bucket = self._buckets.get(key)
            if bucket is None or [view.shape for view in bucket.views] != [each.shape for each in held]:
                before = held[0].new_empty(sum(each.numel() for each in held))
                views = torch.split(before, [each.numel() for each in held])
                shaped = tuple(view.view(each.shape) for view, each in zip(views, held, strict=True))
                bucket = _Bucket(groups[key[0]], params, held, before, shaped)
            bucket.group, bucket.params, bucket.held = groups[key[0]], params, held
            torch._foreach_copy_(bucket.views, held)
            taken[key] = bucket
        self._buckets = taken
        self._earlier: dict[Tensor, dict[str, Tensor]] = {}
        if self._needs.earlier:
            for bucket in taken.values():
                self._earlier |= {param: self._kept(param) for param in bucket.params}

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
            # A parameter that had no gradient in some steps lags behind in its count, on which bias corrections depend.
            counts = step_counts([state.get(bucket.params[place], {}) for place in graded])
            keys = [
                (count, *self._apart(bucket.params[place], place)) for count, place in zip(counts, graded, strict=True)
            ]
            for key in sorted(set(keys)):
                places = [place for place, own in zip(graded, keys, strict=True) if own == key]
                yield from self._blocks(bucket, places, key[0])

    def _blocks(self, bucket: _Bucket, places: list[int], count: float) -> Iterator[OptimizerStep]:
        """Yield the step of some parameters of a bucket: of many small ones at once, of a part of a large one."""
        # Processes that share parameters ask for their parts in one order, whatever they hold of them.
        spread = self._needs.whole or any(is_spread(bucket.params[place]) for place in places)
        most = bucket.before.numel() if spread else block_elements(bucket.before.device)
        pieces: list[_Piece] = []
        before: list[Tensor] = []
        size = 0
        for place in places:
            param, held = bucket.params[place], bucket.held[place]
            weights = _Weights(param, held, self._optimizer.state.get(param, {}), self._earlier.get(param, {}))
            flat = bucket.views[place].view(-1)
            part = most if held.is_contiguous() else weights.size
            for start in range(0, weights.size, part):
                stop = min(start + part, weights.size)
                if pieces and size + stop - start > most:
                    yield self._step(bucket, before, pieces, count)
                    pieces, before, size = [], [], 0
                pieces.append((weights, start, stop))
                before.append(flat if stop - start == weights.size else flat[start:stop])
                size += stop - start
        if pieces:
            yield self._step(bucket, before, pieces, count)

    def _step(self, bucket: _Bucket, before: list[Tensor], pieces: list[_Piece], count: float) -> OptimizerStep:
        whole = before[0] if len(before) == 1 else torch.cat(before)
        self._scratch.reset()
        return OptimizerStep(bucket.group, whole, self._scratch, pieces, count, self._rule)

    def _apart(self, param: Tensor, place: int) -> tuple[float, ...]:
        """Return what sets a parameter apart from others of its step count."""
        needs, state = self._needs, self._optimizer.state.get(param, {})
        kept = self._earlier.get(param, {})
        scalars = [(kept if name in needs.earlier else state).get(name, 0.0) for name in needs.scalars]
        return (*map(float, scalars), float(place) if needs.whole else 0.0)
