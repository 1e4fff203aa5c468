"""How the loss of a batch is made of the losses of its parts: the weight of each, and the proof that they add up.

Axes: N examples, K parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree, tree_flatten, tree_map, tree_unflatten

from lastbit.core.batches import apply_model
from lastbit.core.errors import LastbitError, choose
from lastbit.core.seeds import torch_stream
from lastbit.curvature.batches import LossFunction, ModelLoss, NotFiniteError, batch_size, part_of
from lastbit.curvature.snapshot import LossSnapshot, unwrapped

__all__ = ["batch_scale", "weigh_parts"]

CURE = "leave micro_batch out, or give a sum over examples divided by a constant, with reduction='sum'"

MOST_OUTPUTS = 2**26
"""Numbers in the outputs of a whole batch that are held at once: a quarter of a GiB in single precision."""

ROUNDINGS = 1e3
"""How far what must agree may differ, in units of the format's epsilon."""

Rules = Mapping[str, Sequence[float]]


def weigh_parts(snapshot: LossSnapshot, batch: Any, sizes: Sequence[int], reduction: str | None) -> list[float]:
    """Return the weight of each part's loss in the loss of the whole batch, 0 for a part that has no share in it.

    Where the loss takes outputs and targets, one forward pass without gradient gives the outputs of all parts, and the
    loss on all of them is compared with the loss on each: value, slope and curvature along a random direction. The
    weights follow from it (a mean's, a sum's, or what `ignore_index`, class weights or masks make them) and are proven
    with it: then the Hessian of the whole is the parts' with these weights. Where the outputs cannot be put together,
    or the loss calls the model itself, loss and gradient of two different splits must agree, as a mean or as a sum, at
    the cost of two gradients.

    Args:
        snapshot: of the parts.
        batch: the whole that they were cut from.
        sizes: (K,) examples in each.
        reduction: `"mean"` or `"sum"` to allow that alone.

    Raises:
        LastbitError: the loss is no such sum.
        NotFiniteError: the loss is not finite.
    """
    rules: Rules = {"mean": [size / sum(sizes) for size in sizes], "sum": [1.0] * len(sizes)}
    if reduction is not None:
        rules = {reduction: rules[choose(reduction, tuple(rules), "loss reduction")]}
    found = None if isinstance(snapshot.loss_fn, ModelLoss) else _proven(snapshot, batch, sizes, rules, reduction)
    found = found if found is not None else _agreeing(snapshot, batch, sizes, rules)
    if not found:
        said = f"no {reduction} over" if reduction else "no sum of the losses of"
        raise LastbitError(
            f"the loss of the batch is {said} its micro-batches, so they would change the curvature: {CURE}"
        )
    return found


def _proven(
    snapshot: LossSnapshot, batch: Any, sizes: Sequence[int], rules: Rules, reduction: str | None
) -> list[float] | None:
    """Return weights proven on the outputs; none where there are none, None where the outputs say nothing."""
    outputs, room = [], MOST_OUTPUTS
    for part, _ in snapshot.parts:
        leaves, spec = tree_flatten(snapshot.evaluate(partial(apply_model, snapshot.model, part[0])))
        if not leaves or not all(isinstance(leaf, Tensor) and leaf.ndim > 0 for leaf in leaves):
            return None
        outputs.append(leaves)
        room -= sum(leaf.numel() for leaf in leaves)
        alike = all(
            len(leaf) * sizes[0] == len(first) * size
            for size, found in zip(sizes, outputs, strict=False)
            for leaf, first in zip(found, outputs[0], strict=True)
        )
        if room < 0 or not alike:
            return None
    whole = [torch.cat(column) for column in zip(*outputs, strict=True)]
    generator = torch_stream(0, "loss decomposition")
    along = [torch.randn(leaf.shape, generator=generator, dtype=torch.float64).to(leaf.device) for leaf in whole]

    def bend(leaves: Sequence[Tensor], targets: Any, along: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        return snapshot.explained(lambda: _bend(snapshot.loss_fn, spec, leaves, targets, along))

    total, bent = bend(whole, batch[1], along)
    if not isfinite(total):
        raise NotFiniteError(f"the loss is {total}: curvature needs finite weights, inputs and loss")
    reads_weights = snapshot.explained(lambda: snapshot.loss_fn(tree_unflatten(whole, spec), batch[1]).requires_grad)
    losses, pairs, places = [], [], [0] * len(whole)
    for leaves, (part, _) in zip(outputs, snapshot.parts, strict=True):
        ranges = [slice(at, at + len(leaf)) for at, leaf in zip(places, leaves, strict=True)]
        places = [each.stop for each in ranges]
        loss, own = bend(leaves, part[1], [u[r] for u, r in zip(along, ranges, strict=True)])
        losses.append(loss)
        pairs.append((_flat(own), _flat([b[:, r] for b, r in zip(bent, ranges, strict=True)])))
    tolerance = ROUNDINGS * torch.finfo(next(leaf for leaf in whole if leaf.is_floating_point()).dtype).eps
    size = float(_flat(bent).norm())

    def fits(weights: Sequence[float]) -> bool:
        shares = [(w, loss) for w, loss in zip(weights, losses, strict=True) if w]
        misses = [cut - w * own if w else cut for w, (own, cut) in zip(weights, pairs, strict=True)]
        missed = float(torch.stack([miss.norm() for miss in misses]).norm())
        error = abs(total - sum(w * loss for w, loss in shares))
        scale = max(abs(total), sum(abs(w * loss) for w, loss in shares))
        once = not reads_weights or abs(sum(weights) - 1) <= tolerance
        return once and missed <= tolerance * size and error <= tolerance * scale

    fitted = [float(own.dot(cut) / own.dot(own)) if bool(cut.any()) else 0.0 for own, cut in pairs]
    for trial in [*rules.values(), *([fitted] if reduction is None else [])]:
        weights = [w if isfinite(loss) else 0.0 for w, loss in zip(trial, losses, strict=True)]
        if fits(weights):
            return weights
    return []


def _bend(
    loss_fn: LossFunction, spec: Any, leaves: Sequence[Tensor], targets: Any, along: Sequence[Tensor]
) -> tuple[float, list[Tensor]]:
    """Return the loss on outputs, and for each of their tensors slope and curvature along a direction, stacked."""
    moved = [leaf.detach().requires_grad_(leaf.is_floating_point()) for leaf in leaves]
    floating = [(leaf, u.to(leaf.dtype)) for leaf, u in zip(moved, along, strict=True) if leaf.requires_grad]
    inputs = [leaf for leaf, _ in floating]
    loss = loss_fn(tree_unflatten(moved, spec), targets)
    slopes = torch.autograd.grad(loss, inputs, create_graph=True, materialize_grads=True)
    curved = [(slope, u) for slope, (_, u) in zip(slopes, floating, strict=True) if slope.requires_grad]
    bends: Sequence[Tensor] = [torch.zeros_like(leaf) for leaf in inputs]
    if curved:
        ahead, directions = zip(*curved, strict=True)
        bends = torch.autograd.grad(ahead, inputs, directions, materialize_grads=True)
    kept = iter([torch.stack([s.detach(), b.detach()]) for s, b in zip(slopes, bends, strict=True)])
    nothing = [torch.zeros(2, *leaf.shape, device=leaf.device) for leaf in moved]
    return float(loss.detach()), [
        next(kept) if leaf.requires_grad else blank for leaf, blank in zip(moved, nothing, strict=True)
    ]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1).double() for tensor in tensors])


def _agreeing(snapshot: LossSnapshot, batch: Any, sizes: Sequence[int], rules: Rules) -> list[float]:
    """Return the first rule under which loss and gradient of two splits agree, none where there is none."""
    most, total = max(sizes), sum(sizes)
    # Shifted by half a part; single examples are compared with pairs.
    ends = range(-(-most // 2), total, most) if most > 1 else range(2, total, 2)
    other = [part_of(batch, start, end) for start, end in zip([0, *ends], [*ends, total], strict=True)]
    lengths = [end - start for start, end in zip([0, *ends], [*ends, total], strict=True)]
    first = [snapshot.slope(part) for part, _ in snapshot.parts]
    second = [snapshot.slope(part) for part in other]
    stated = getattr(snapshot.loss_fn, "reduction", None)
    tolerance = ROUNDINGS * torch.finfo(snapshot.space.dtype).eps
    for name in sorted(rules, key=lambda rule: rule != stated):
        again = [length / total for length in lengths] if name == "mean" else [1.0] * len(other)
        left, right = (
            [w * slope for w, slope in zip(*s, strict=True)] for s in ((rules[name], first), (again, second))
        )
        gap, scale = torch.stack(left).sum(0) - torch.stack(right).sum(0), sum(each.abs() for each in left)
        # The loss itself is the first entry.
        if bool(gap[0].abs() <= tolerance * scale[0]) and bool(gap[1:].norm() <= tolerance * scale[1:].norm()):
            return list(rules[name])
    return []


def batch_scale(model: nn.Module, loss_fn: Callable[[Any, Any], Tensor], batch: Any, size: int) -> float:
    """Return what the loss on `batch` must be multiplied by to stand for batches of `size` examples.

    1 for a loss that averages, `size / N` for one that sums. Which of them it is shows when every example comes twice:
    the loss stays, or doubles. 1, too, for a loss that is another number each time: the control of a study finds that.
    Costs one forward pass.

    Raises:
        LastbitError: the loss does neither, so that it means another thing on batches of another size.
    """
    examples = batch_size(batch)
    if examples == size:
        return 1.0
    snapshot = LossSnapshot(unwrapped(model), loss_fn, [(batch, 1.0)], None)

    def losses() -> list[float]:
        outputs = apply_model(snapshot.model, batch[0])
        return [float(loss_fn(*twice(outputs, batch[1], times))) for times in (1, 1, 2)]

    def twice(outputs: PyTree, targets: PyTree, times: int) -> tuple[PyTree, PyTree]:
        def repeat(leaf: Any) -> Any:
            return torch.cat([leaf] * times) if isinstance(leaf, Tensor) and leaf.ndim else leaf

        return tree_map(repeat, outputs), tree_map(repeat, targets)

    once, again, doubled = snapshot.evaluate(losses)
    tolerance = ROUNDINGS * torch.finfo(snapshot.space.dtype).eps * abs(once)
    if not isfinite(once) or once != again or abs(doubled - once) <= tolerance:
        return 1.0
    if abs(doubled - 2 * once) <= 2 * tolerance:
        return size / examples
    raise LastbitError(
        f"the loss neither averages nor sums over its examples, so that {examples} of them say nothing of batches of "
        f"{size}: measure on {size} (--probe-size {size})"
    )
