"""One ulp on a few weights, once."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import numpy_stream
from lastbit.core.ulp import has_last_bit, is_spread, step_ulps
from lastbit.core.words import plural
from lastbit.perturb.base import Attachment, Count, Positive, Seeded, check_optimizer

__all__ = ["FlipUlp"]


class FlipUlp(Seeded):
    """Moves a few weights by one ulp up or down after one step, and does nothing in all others.

    The weights are drawn without replacement, each trainable element of the optimizer with the same probability, and
    the side by a fair coin. The bound is one ulp of the updated weight, by construction; a weight at the largest
    finite number and one that is not finite stay in place. This is the single-bit perturbation of Summers and
    Dinneen, "Nondeterminism and Instability in Neural Network Optimization", ICML 2021.

    Args:
        step: the step after which the weights move, counted from 0.
        n_weights: how many weights move.
        seed: selects the weights and the sides, at least 0.

    Raises:
        LastbitError: a value is out of its range; on attaching, the optimizer has fewer weights than `n_weights`, or
            weights that are spread over processes.
    """

    kind: ClassVar[str] = "ulp"
    step: Count = 0
    n_weights: Positive = 1

    @property
    def label(self) -> str:
        """What moves when, as in `"1 ulp on 1 weight at step 0 (seed 2)"`."""
        weights = "weight" if self.n_weights == 1 else "weights"
        return f"1 ulp on {self.n_weights} {weights} at step {self.step} (seed {self.seed})"

    def attach(self, optimizer: Optimizer, model: nn.Module | None = None) -> Attachment:
        """Move the weights when their step comes; see `Perturbation.attach`.

        Raises:
            LastbitError: the optimizer has fewer trainable weights than `n_weights`.
        """
        return _FlipAttachment(optimizer, self)


class _FlipAttachment(Attachment):
    def __init__(self, optimizer: Optimizer, config: FlipUlp) -> None:
        # Before any hook is in place: a refusal leaves nothing behind.
        check_optimizer(optimizer)
        every = [param for group in optimizer.param_groups for param in group["params"]]
        # Each process would draw among its own, and another number of weights would move than was asked for.
        if any(map(is_spread, every)):
            raise LastbitError("cannot draw weights that are spread over processes (FSDP2): choose rescale or rounding")
        params = [param for param in every if param.requires_grad and has_last_bit(param)]
        ends = np.cumsum([param.numel() for param in params])
        total = int(ends[-1]) if params else 0
        if config.n_weights > total:
            raise LastbitError(
                f"n_weights = {config.n_weights}: the optimizer has {plural(total, 'trainable weight')}; write no more"
            )
        stream = numpy_stream(config.seed, "ulp")
        places = np.sort(stream.choice(total, config.n_weights, replace=False, shuffle=False))
        sides = 2 * stream.integers(0, 2, config.n_weights) - 1
        self._moves = []
        for param, start, end in zip(params, np.r_[0, ends], ends, strict=False):
            mine = (start <= places) & (places < end)
            if mine.any():
                inside, side = torch.from_numpy(places[mine] - start), torch.from_numpy(sides[mine])
                self._moves.append((param, inside.to(param.device), side.to(param.device)))
        self._at = config.step
        super().__init__(optimizer)

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer) -> None:
        if self._steps != self._at:
            return
        for param, places, sides in self._moves:
            flat = param.reshape(-1).clone()
            flat[places] = step_ulps(flat[places], sides)
            param.copy_(flat.view(param.shape))
