"""Steps held at the stability limit that is measured while a training runs: of the whole network, or layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf, isfinite
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.optim import Optimizer

from lastbit.core.errors import LastbitError
from lastbit.core.words import part, plural
from lastbit.curvature import StabilityMonitor, StabilityRecord
from lastbit.curvature.batches import LossFunction
from lastbit.curvature.effective import optimized_parameters
from lastbit.curvature.limits import stability_limit
from lastbit.curvature.parameters import ParameterSpace, blocks_by_module
from lastbit.perturb.hooks import is_inner, is_skipped

__all__ = ["StepLimit", "step_limit"]

WHOLE = "(whole)"
"""All parameters together, as `stable_learning_rates` calls them."""


def step_limit(
    optimizer: Optimizer,
    model: nn.Module,
    loss_fn: LossFunction,
    probe_batch: Any,
    *,
    per_layer: bool = False,
    every: int = 100,
    budget: float | None = None,
    tol: float = 1e-2,
    micro_batch: int | None = None,
    reduction: str | None = None,
) -> StepLimit:
    """Hold every step of an optimizer at the largest stable learning rate, measured every so many steps.

    A `StabilityMonitor` measures the largest stable rate `lr_max`. From then on, until the next measurement, a step
    from `w` to `v` at a rate `lr > lr_max` becomes one to `w + (lr_max / lr) (v - w)`. Steps at a stable rate keep
    their bits. Gradients, the optimizer's state and `group["lr"]` are left alone: a schedule goes on as if nothing
    was limited, and its rate at each step is what is compared. Weight decay in the step shrinks with it, as it does
    with the rate.

    For every optimizer whose step is proportional to its rate this is, up to rounding, the step at `lr_max`: SGD with
    momentum, Nesterov's too, Adam, AdamW, NAdam, RAdam, Adamax, RMSprop, Adagrad, Adadelta. ASGD keeps a rate of its
    own and averages the weights before they are limited.

    With `per_layer` each layer's step is held at the limit of that layer moved alone, a learning rate that is adapted
    in space and time. Layers within their limits may still pass the limit of the whole together, which is at most the
    smallest of theirs.

    The first measurement is made before the first step, or where the optimizer has a preconditioner, which is not
    known before it steps, after step `every` (with a budget, 10 at the latest). Sharpness that rises between two
    measurements, or a rate that was 0 at the last, is not seen until the next. One that is not finite leaves the limits
    as they were.

    By default a measurement is made at every `every`-th step, and equal trainings stay equal bit for bit. `share` says
    which part of the training's time that took: a measurement of the whole took the time of some 25 training steps in
    `bench/remedies.py`, one of seven layers too that of 75 to 100. With `budget=0.05` the interval stretches to keep it
    at 5%, but when measurements fall then depends on the clock, and so does the training.

    Args:
        optimizer: the live optimizer; it is hooked at once, until `detach()` or the end of a `with`.
        model: the network, measured in the mode that it is in.
        loss_fn: `loss_fn(outputs, targets)` or a `ModelLoss`, without weight decay.
        probe_batch: the fixed batch that curvature is measured on, best as large as a training batch.
        per_layer: limit each module that owns parameters by itself, in place of the whole.
        every: steps between measurements.
        budget: share of training time that measuring may take, 0.05 for 5%; None for no bound.
        tol: residual of the largest eigenvalue relative to itself; limits are off by as much at most, and mostly far
            less.
        micro_batch: examples per forward pass, to bound memory.
        reduction: as for `HessianOperator`.

    Raises:
        LastbitError: as `StabilityMonitor`: a setting is out of range, the optimizer holds none of the model's
            parameters or has no known limit, the probe batch is empty, or the loss cannot be differentiated twice.

    Source: Sun, Lao, Yezzi, Sundaramoorthi, "A PDE-based Explanation of Extreme Numerical Sensitivities and Edge of
    Stability in Training Neural Networks", JMLR 25(174), 2024, for rates adapted in space and time.

    Example:
        >>> import torch, lastbit as lb
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
        >>> loss_fn = lambda outputs, targets: 0.5 * (outputs - targets).square().mean()
        >>> batch = (torch.ones(1, 1), torch.zeros(1, 1))
        >>> with lb.remedies.step_limit(optimizer, model, loss_fn, batch, every=5) as limit:
        ...     for _ in range(10):
        ...         optimizer.zero_grad()
        ...         loss_fn(model(batch[0]), batch[1]).backward()
        ...         optimizer.step()
        >>> limit.limited, [round(rate, 4) for rate in limit.stable_rates["(whole)"]], optimizer.param_groups[0]["lr"]
        (10, [2.0], 3.0)
    """
    monitor = StabilityMonitor(
        model,
        optimizer,
        loss_fn,
        probe_batch,
        every=every,
        budget=budget,
        tol=tol,
        growing=0,
        per_layer=per_layer,
        micro_batch=micro_batch,
        reduction=reduction,
    )
    return StepLimit(monitor)


class StepLimit:
    """What `step_limit` returns, at work on an optimizer until it is detached; a `with` detaches at its end.

    Its hook runs after those that others put on the optimizer, so that a perturbation of the same steps sees each as
    the optimizer made it. Whatever reads the weights in a hook of its own sees them before they are limited: update an
    average after `optimizer.step()`.

    Attributes:
        monitor: what measures: `monitor.records` holds every measurement.
        limited: steps in which something was limited.
    """

    def __init__(self, monitor: StabilityMonitor) -> None:
        self.monitor = monitor
        self.limited = 0
        self._ratios: dict[str, float] = {}
        self._lrs: list[float] = []
        self._begun = False
        self._limits: list[tuple[float, int, list[nn.Parameter]]] = []
        self._held: tuple[list[Tensor], list[Tensor], list[float]] | None = None
        self._pre_hook: Any = monitor.optimizer.register_step_pre_hook(self._before)
        self._post_hook: Any = None

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return self.monitor.count

    @property
    def share(self) -> float:
        """Time spent on measuring, divided by the time of training itself."""
        return self.monitor.share

    @property
    def stable_rates(self) -> dict[str, list[float]]:
        """The largest stable learning rate of each parameter group, by layer or of `"(whole)"`; inf where any is.

        Empty before the first measurement.
        """
        return {name: [_largest(ratio, lr) for lr in self._lrs] for name, ratio in self._ratios.items()}

    def summary(self) -> str:
        """Return how often steps were limited, and what measuring took, in one line."""
        return (
            f"{plural(self.limited, 'step')} of {plural(self.steps, 'step')} limited, "
            f"{plural(len(self.monitor.records), 'measurement')} in {part(self.share)} of the training's time."
        )

    def detach(self) -> None:
        """Take the hooks off the optimizer; twice does no harm."""
        for hook in (self._pre_hook, self._post_hook):
            if hook is not None:
                hook.remove()
        self._held = None

    def __enter__(self) -> Self:
        """Return the step limit itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Detach."""
        self.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on bit for bit: numbers and tensors, which `torch.load` takes as weights only.

        The tensors are the vectors that the next measurement starts from, two of the size of the weights.
        """
        return {
            "monitor": self.monitor.state_dict(),
            "ratios": dict(self._ratios),
            "lrs": list(self._lrs),
            "limited": self.limited,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned; with a budget, measurements fall when time allows.

        Raises:
            LastbitError: `state` is none, or is of another network or optimizer.
        """
        names = {"monitor", "ratios", "lrs", "limited"}
        if not isinstance(state, Mapping) or set(state) != names:
            raise LastbitError(f"the state of a step limit has the entries {', '.join(sorted(names))}: give its own")
        groups = len(self.monitor.optimizer.param_groups)
        if state["lrs"] and len(state["lrs"]) != groups:
            raise LastbitError(
                f"the state has learning rates of {plural(len(state['lrs']), 'parameter group')}, the optimizer has "
                f"{groups}: load it beside the optimizer that it was saved with"
            )
        known = {name for name, _, _ in self._blocks()}
        if unknown := [name for name in state["ratios"] if name not in known]:
            raise LastbitError(f"the state has a limit of {unknown[0]!r}: this training limits {', '.join(known)}")
        self.monitor.load_state_dict(state["monitor"])
        self._set(state["ratios"], state["lrs"])
        self.limited = int(state["limited"])
        self._begun = self.steps > 0

    # Compiled steps call these as they are.
    @_disable_dynamo
    @torch.no_grad()
    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if is_inner(optimizer):
            return
        if not self._begun and not stability_limit(optimizer).groups[0].preconditioned:
            self._learn(self.monitor.measure())
        self._begun = True
        # Anew in each step, to be the last: others may have come in between.
        if self._post_hook is not None:
            self._post_hook.remove()
        self._post_hook = optimizer.register_step_post_hook(self._after)
        weights: list[Tensor] = []
        scales: list[float] = []
        for largest, index, held in self._limits:
            if (lr := float(optimizer.param_groups[index]["lr"])) > largest:
                weights += held
                scales += [largest / lr] * len(held)
        self._held = weights, [each.clone() for each in weights], scales

    @_disable_dynamo
    @torch.no_grad()
    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        # The step may have been under way when the state was attached.
        if self._held is None or is_inner(optimizer):
            return
        (weights, before, scales), self._held = self._held, None
        if is_skipped(optimizer):
            return
        if weights:
            torch._foreach_lerp_(before, weights, scales)
            torch._foreach_copy_(weights, before)
            self.limited += 1
        if (record := self.monitor.step()) is not None:
            self._learn(record)

    def _learn(self, record: StabilityRecord) -> None:
        ratios = record.layers if self.monitor.per_layer else {WHOLE: record.ratio}
        if ratios and all(map(isfinite, ratios.values())):
            self._set(ratios, record.lrs)

    def _set(self, ratios: Mapping[str, float], lrs: Sequence[float]) -> None:
        self._ratios, self._lrs = dict(ratios), list(lrs)
        self._limits = [
            (largest, index, weights)
            for name, index, weights in self._blocks()
            if name in ratios and (largest := _largest(ratios[name], lrs[index])) < inf
        ]

    def _blocks(self) -> Iterator[tuple[str, int, list[nn.Parameter]]]:
        """Yield what is limited together, with its layer and parameter group."""
        model = self.monitor.model
        groups = optimized_parameters(model, self.monitor.optimizer)
        weights = {name: each for name, each in model.named_parameters() if name in groups}
        space = ParameterSpace.of(weights)
        for layer, names in (blocks_by_module(space) if self.monitor.per_layer else {WHOLE: space.names}).items():
            for index in sorted({groups[name] for name in names}):
                yield layer, index, [weights[name] for name in names if groups[name] == index]


def _largest(ratio: float, lr: float) -> float:
    """Return the largest stable learning rate, of which `lr` is `ratio` times as large; inf where none is known."""
    return lr / ratio if ratio > 0 and lr > 0 else inf
