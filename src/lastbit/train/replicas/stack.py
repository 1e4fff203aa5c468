"""R networks of one task as one: their gradients come from a single batched pass over stacked weights.

Legend: R replicas, B examples of a batch, K draws of an augmentation, `...` the shape of a weight or of an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from lastbit.core.batches import mapped, tensors_of
from lastbit.core.determinism import deterministic
from lastbit.tasks.stepping import needs_closure
from lastbit.train.replicas.refused import Refused
from lastbit.train.training import Training

__all__ = ["Stack"]


class Stack:
    """Trainings of one task whose weights lie in stacks `(R, ...)`, of which each network's own are views.

    A step fetches the R batches at once, takes the R losses and gradients in one pass (`torch.func.vmap` of the
    network), and then lets every training step along its own gradient, by the optimizer, schedule and perturbation
    that it would have alone. All else of a training (evaluation, checkpoints) works on its views as it does alone.

    A batched operation adds up in another order than the same operation alone, so a member has other bits than the run
    alone; within stacks of one size its bits depend neither on its place nor on the others.

    Args:
        trainings: of one task, at their start, on one device; closed by whoever made them.

    Raises:
        Refused: the task cannot be stacked; says why.
    """

    filled: ClassVar[bool] = True
    """Whether it must be full: the number of networks decides bits."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        self.trainings = tuple(trainings)
        self._first = self.trainings[0]
        _check(self._first)
        models = [training.model for training in self.trainings]
        named = [dict(model.named_parameters()) for model in models]
        weights = _stacked(named)
        self._names = [name for name, weight in named[0].items() if weight.requires_grad]
        self._weights = tuple(weights.pop(name).requires_grad_() for name in self._names)
        self._held = weights | _stacked([dict(model.named_buffers()) for model in models])
        self._own = [[own[name] for name in self._names] for own in named]
        self._losses = vmap(self._loss, randomness="error")

    @property
    def position(self) -> int:
        """Steps taken."""
        return self._first.position

    @property
    def total(self) -> int:
        """Steps of the whole training."""
        return self._first.total_steps

    def step(self) -> None:
        """Take every training one step on."""
        with deterministic():
            inputs, targets = self._next_batch()
            losses_R = self._losses(self._weights, self._held, inputs, targets)
            if losses_R.ndim != 1:
                raise Refused(f"the loss of a network is of shape {tuple(losses_R.shape[1:])}, not one number")
            gradients = torch.autograd.grad(losses_R.sum(), self._weights, allow_unused=True)
        ends = (self.position + 1) % self._first.steps_per_epoch == 0
        losses_R = losses_R.detach()
        for place, training in enumerate(self.trainings):
            for weight, gradient in zip(self._own[place], gradients, strict=True):
                weight.grad = None if gradient is None else gradient[place]
            # A schedule may look at validation examples where an epoch ends, and the network draw as it does.
            with training.active() if ends else deterministic():
                training.step_along(losses_R[place])

    def _loss(self, weights: tuple[Tensor, ...], held: Mapping[str, Tensor], inputs: Any, targets: Any) -> Tensor:
        """Return the loss of one network."""
        state = {**dict(zip(self._names, weights, strict=True)), **held}
        if isinstance(inputs, Mapping):
            outputs = functional_call(self._first.model, state, (), dict(inputs))
        else:
            arguments = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
            outputs = functional_call(self._first.model, state, arguments)
        return self._first.loss(outputs, targets)

    def _next_batch(self) -> tuple[Any, Any]:
        """Return inputs and targets of every replica's next step, `(R, B, ...)`, augmented."""
        if self._first.examples.tensors is None:
            return self._read_batches()
        first, augment = self._first, self._first.task.augment
        drawn = [training.next_draw() for training in self.trainings]
        sizes = {len(index_B) for index_B, _ in drawn}
        if len(sizes) > 1:
            raise Refused(f"its sampler gives batches of unequal sizes in one step, {min(sizes)} and {max(sizes)}")
        index_N = torch.cat([index_B for index_B, _ in drawn])
        batch = first.pair(first.examples.batch(index_N))
        draws = [draws_BK for _, draws_BK in drawn if draws_BK is not None]
        if augment is not None and draws:
            inputs, targets = batch
            # A row of augmented inputs depends on its own row alone, so those of all replicas go at once.
            batch = augment(inputs, torch.cat(draws).to(inputs.device)), targets
        size = len(index_N)
        if any(tensor.shape[:1] != (size,) for tensor in tensors_of(batch)):
            raise Refused("its batches hold a tensor without a row for each example")
        divided: tuple[Any, Any] = mapped(batch, lambda x: x.view(len(drawn), -1, *x.shape[1:]))
        return divided

    def _read_batches(self) -> tuple[Any, Any]:
        """Return the batches of examples that each training reads by itself."""
        pairs = [training.pair(training.next_batch()) for training in self.trainings]
        leaves = [tensors_of(pair) for pair in pairs]
        if any([leaf.shape for leaf in one] != [leaf.shape for leaf in leaves[0]] for one in leaves):
            raise Refused("the batches of one step differ in shape from run to run")
        rows = iter([torch.stack(several) for several in zip(*leaves, strict=True)])
        stacked: tuple[Any, Any] = mapped(pairs[0], lambda _: next(rows))
        return stacked


def _check(training: Training) -> None:
    """Refuse what no batched pass can stand for.

    Raises:
        Refused: says what.
    """
    if training.task.step is not None:
        raise Refused("it has a training step of its own")
    for optimizer in training.optimizers.values():
        if needs_closure(optimizer):
            raise Refused(f"a step of {type(optimizer).__name__} computes the loss several times")
    for name, module in training.model.named_modules():
        if any(getattr(module, hooks) for hooks in _HOOKS):
            raise Refused(f"its network has a hook, at {name or type(module).__name__!r}")


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _stacked(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of every name as a stack, of which each is a view from here on.

    Raises:
        Refused: the networks are not all of one form.
    """
    form = {name: (tensor.shape, tensor.dtype) for name, tensor in members[0].items()}
    if any({name: (tensor.shape, tensor.dtype) for name, tensor in one.items()} != form for one in members):
        raise Refused("its networks differ in form from seed to seed")
    stacks = {name: torch.stack([one[name].detach() for one in members]) for name in form}
    for name, stack in stacks.items():
        for one, row in zip(members, stack, strict=True):
            one[name].data = row
    return stacks
