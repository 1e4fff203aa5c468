"""Sharpness against the optimizer's limit while a model trains, in any loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any, Self

import torch
from torch import Tensor, nn

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.core.words import plural
from lastbit.curvature.batches import LossFunction, NotFiniteError, WeightedParts
from lastbit.curvature.budget import TimeBudget
from lastbit.curvature.effective import EffectiveHessian, optimized_parameters
from lastbit.curvature.eigen import Eigenpairs, top_eigenpairs
from lastbit.curvature.hessian import HessianOperator
from lastbit.curvature.limits import stability_limit
from lastbit.curvature.parameters import blocks_by_module
from lastbit.curvature.snapshot import unwrapped

__all__ = ["StabilityMonitor", "StabilityRecord", "checked_budget"]

COLD_PRODUCTS = 15
"""Products expected of a first, cold measurement: 6 to 16 were needed on small networks of digits."""


@dataclass(frozen=True)
class StabilityRecord:
    """One measurement.

    Attributes:
        step: optimizer steps taken when it was made, from 1.
        status: `ok`, or `diverged` where weights or loss are not finite (numbers are then NaN).
        loss: on the probe batch, without weight decay.
        gradient_norm: of that loss.
        sharpness: largest eigenvalue of the loss's Hessian in the optimizer's coordinates (`P^{-1/2} H P^{-1/2}`),
            coupled weight decay left out; the top eigenvector is that of the Hessian with decay.
        limit: what `sharpness` must not exceed: `2/lr - alpha` for gradient descent.
        ratio: learning rate over the largest stable one (of all groups together); above 1 the sharpest direction
            grows. Without weight decay that is `sharpness / limit`; with coupled decay it is
            `(sharpness + alpha) / (limit + alpha)` for gradient descent, with decoupled decay see
            `EffectiveHessian.ratio`.
        residual: of the top eigenpair relative to its eigenvalue.
        converged: whether every eigenpair met the tolerance.
        smallest: smallest eigenvalue in the same coordinates, decay left out (NaN if not asked for), to within
            `smallest_within`: where that is as large as the value itself, the value is not resolved.
        smallest_within: residual of the smallest eigenvalue: an eigenvalue lies that close to it.
        growing: how many directions were found that grow, their eigenvalue certified below `-alpha`; at most as many
            as asked for.
        alignment: |cosine| between the top eigenvector and the last update of the weights, in the optimizer's
            coordinates; NaN where there was no update to compare with.
        lrs: learning rate per parameter group.
        layers: `ratio` of each layer moved alone, if asked for.
        products: Hessian-vector products spent.
        seconds: wall time spent.
    """

    step: int
    status: RunStatus
    loss: float = nan
    gradient_norm: float = nan
    sharpness: float = nan
    limit: float = nan
    ratio: float = nan
    residual: float = nan
    converged: bool = False
    smallest: float = nan
    smallest_within: float = nan
    growing: int = 0
    alignment: float = nan
    lrs: tuple[float, ...] = ()
    layers: dict[str, float] = field(default_factory=dict)
    products: int = 0
    seconds: float = nan


def checked_budget(every: int = 100, budget: float | None = 0.1, tol: float = 1e-2, growing: int = 1) -> TimeBudget:
    """Return the budget of a `StabilityMonitor` with these settings, the same and with the same defaults as there.

    Raises:
        LastbitError: one of them is out of range.
    """
    if isinstance(growing, bool) or not isinstance(growing, int) or growing < 0:
        raise LastbitError(f"growing = {growing!r}: give how many growing directions to look for, 0 or more")
    if not isinstance(tol, int | float) or not 0 < tol < 1:
        raise LastbitError(f"tol = {tol!r}: give the relative residual wanted, such as 0.01")
    return TimeBudget(every, budget)


class StabilityMonitor:
    """Records sharpness, limit and their ratio during training, within a share of its time.

    Call `step()` after each `optimizer.step()`, or use the monitor as a context manager that hooks the optimizer.
    The network is first looked at in the constructor: anything wrong with model, loss or batch is reported there.
    Every training is measured at least once: under a budget at step 10 at the latest, and a block that ends before the
    first measurement was due at its end. Measuring leaves model, gradients, optimizer and generators as they were.

    Args:
        model: the network, measured in the mode it is in.
        optimizer: the live optimizer.
        loss_fn: `loss_fn(outputs, targets)` or a `ModelLoss`, without weight decay.
        probe_batch: the fixed batch that curvature is measured on. A loss that sums over its examples grows with them:
            give it as many as a training batch has.
        every: least number of steps between measurements.
        budget: share of training time that measuring may take, the first measurement left out (the interval stretches,
            and `postponed` counts what it cost); None for no bound, and a measurement at every `every`-th step exactly.
        sinks: called with each `StabilityRecord`.
        tol: residual of the top eigenpair, relative.
        growing: how many growing directions to look for (0 looks only at the top and is cheapest).
        per_layer: record the ratio of each layer too.
        micro_batch: examples per forward pass, to bound memory; how they add up is checked once, at the first look.
        reduction: as for `HessianOperator`.

    Raises:
        LastbitError: a setting is out of range, the optimizer holds none of the model's parameters or is of an
            unknown class, weights are not finite, the probe batch is empty, or the loss cannot be differentiated
            twice.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> batch = (torch.randn(8, 2), torch.randn(8, 1))
        >>> loss_fn = torch.nn.functional.mse_loss
        >>> with StabilityMonitor(model, optimizer, loss_fn, batch, every=5, budget=None) as monitor:
        ...     for _ in range(10):
        ...         optimizer.zero_grad()
        ...         loss_fn(model(batch[0]), batch[1]).backward()
        ...         optimizer.step()
        >>> [record.step for record in monitor.records]
        [5, 10]
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_fn: LossFunction,
        probe_batch: Any,
        *,
        every: int = 100,
        budget: float | None = 0.1,
        sinks: Iterable[Callable[[StabilityRecord], None]] = (),
        tol: float = 1e-2,
        growing: int = 1,
        per_layer: bool = False,
        micro_batch: int | None = None,
        reduction: str | None = None,
    ) -> None:
        self._budget = checked_budget(every, budget, tol, growing)
        self.sinks = list(sinks) if isinstance(sinks, Iterable) else []
        if not isinstance(sinks, Iterable) or not all(map(callable, self.sinks)):
            raise LastbitError(f"sinks = {sinks!r}: give a list of functions of a record, such as sinks=[print]")
        self.model = unwrapped(model)
        self.optimizer = optimizer
        self.loss_fn = loss_fn
        self.probe_batch = probe_batch
        self.tol = tol
        self.growing = growing
        self.per_layer = per_layer
        self.micro_batch = micro_batch
        self.reduction = reduction
        self._parts: WeightedParts | None = None
        self.records: list[StabilityRecord] = []
        self.count = 0
        self._warm: Tensor | None = None
        self._layers_warm: dict[str, Tensor] = {}
        self._before: Tensor | None = None
        self._hook: Any = None
        stability_limit(optimizer)
        self._first_look()
        self._prepare()

    def resume(self, count: int) -> None:
        """Count from `count` steps on, those of a training that was interrupted: measurements fall where they would."""
        self.count = count
        self._budget.resume(count)
        self._prepare()

    def state_dict(self) -> dict[str, Any]:
        """Return the steps counted, and vectors that the next measurement starts from: its last bits depend on them."""
        return {"step": self.count, "warm": self._warm, "layers": dict(self._layers_warm)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned; without a budget, measurements are then the same bit for bit."""
        self._warm, self._layers_warm = state["warm"], dict(state["layers"])
        self.resume(int(state["step"]))

    @property
    def latest(self) -> StabilityRecord | None:
        """The last record, None before the first."""
        return self.records[-1] if self.records else None

    @property
    def share(self) -> float:
        """Time spent on measuring, divided by the time of training itself."""
        return self._budget.spent / max(self._budget.training, 1e-12)

    @property
    def postponed(self) -> int:
        """How many measurements were due every `every` steps, and left out to stay within the budget."""
        return self._budget.postponed

    def step(self) -> StabilityRecord | None:
        """Count one optimizer step, measure if it is time, and return the record if one was made.

        Raises:
            LastbitError: the monitor is a context manager already, which counts the steps itself.
        """
        if self._hook is not None:
            raise LastbitError("the monitor hooks the optimizer already: leave monitor.step() out of the loop")
        return self._after_step()

    def __enter__(self) -> Self:
        """Count steps and measure by a hook on the optimizer until the block ends.

        Raises:
            LastbitError: the monitor has already been entered.
        """
        if self._hook is not None:
            raise LastbitError("the monitor hooks the optimizer already: enter it once")
        self._hook = self.optimizer.register_step_post_hook(self._hooked)
        return self

    def __exit__(self, *raised: object) -> None:
        """Remove the hook, and measure if nothing was due in a block that ended well."""
        self._hook.remove()
        self._hook = None
        if not any(raised):
            self._at_least_once()

    def measure(self) -> StabilityRecord:
        """Measure now, whatever the budget says, and record it."""
        begin = self._now()
        try:
            record = self._measured()
        except NotFiniteError:
            record = StabilityRecord(self.count, RunStatus.DIVERGED)
        seconds = self._now() - begin
        record = replace(record, seconds=seconds)
        self._budget.measured(self.count, seconds)
        self.records.append(record)
        for sink in self.sinks:
            sink(record)
        self._prepare()
        return record

    def _after_step(self) -> StabilityRecord | None:
        if self.count == 0:
            self._budget.start()
        self.count += 1
        record = self.measure() if self._armed else None
        if record is None:
            self._budget.passed(self.count)
            self._prepare()
        return record

    def _at_least_once(self) -> None:
        if self.count > 0 and not self.records:
            self.measure()

    def _hooked(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._after_step()

    def _prepare(self) -> None:
        """Decide whether the next step is measured, and if so keep the weights it starts from."""
        self._armed = self._budget.allows(self.count + 1)
        self._before = self._weights() if self._armed else None

    def _first_look(self) -> None:
        begin = self._now()
        hessian = self._hessian()
        if self.growing > 1 and 2 * self.growing > hessian.size:
            raise LastbitError(
                f"growing = {self.growing}: give at most half of the {plural(hessian.size, 'parameter')}"
            )
        direction = hessian.loss_and_gradient()[1]
        # The first product sets up kernels; the second shows what one costs.
        hessian @ direction
        built = self._now()
        hessian @ direction
        done = self._now()
        self._budget.charge(done - begin)
        self._budget.expected = (built - begin) + COLD_PRODUCTS * (done - built)

    def _hessian(self) -> HessianOperator:
        names = list(optimized_parameters(self.model, self.optimizer))
        if self._parts is not None:
            return HessianOperator(self.model, self.loss_fn, self._parts, parameters=names)
        hessian = HessianOperator(
            self.model,
            self.loss_fn,
            self.probe_batch,
            parameters=names,
            micro_batch=self.micro_batch,
            reduction=self.reduction,
        )
        self._parts = WeightedParts(hessian.snapshot.parts)
        return hessian

    def _measured(self) -> StabilityRecord:
        hessian = self._hessian()
        loss, gradient_P = hessian.loss_and_gradient()
        effective = EffectiveHessian(hessian, self.model, self.optimizer)
        pulled_P = effective.pull_back(gradient_P)
        starts = [pulled_P[:, None] / pulled_P.norm().clamp(min=torch.finfo(pulled_P.dtype).tiny)]
        if self._warm is not None and len(self._warm) == hessian.size:
            starts.insert(0, self._warm)
        start = torch.cat(starts, 1) if pulled_P.norm() > 0 or len(starts) > 1 else None
        both = self.growing > 0 and hessian.size >= 2 * self.growing
        pairs = top_eigenpairs(
            effective,
            max(self.growing, 1) if both else 1,
            which="both" if both else "largest",
            tol=self.tol,
            atol=1e-12,
            floor=self.tol / 10,
            start=start,
        )
        # Row by row, as a checkpoint lays it out: the last bits of what starts from it depend on that.
        self._warm = pairs.warm.contiguous()
        top, vector_P = float(pairs.values[0]), pairs.vectors[:, 0]
        decay = effective.decay_along(vector_P)
        smallest, within, growing = self._bottom(effective, pairs) if both else (nan, nan, 0)
        return StabilityRecord(
            step=self.count,
            status=RunStatus.OK,
            loss=float(loss),
            gradient_norm=float(gradient_P.norm()),
            sharpness=top - decay,
            limit=effective.limit - decay,
            ratio=effective.ratio(top),
            residual=float(pairs.residuals[0]) / max(abs(top), 1e-300),
            converged=pairs.all_converged,
            smallest=smallest,
            smallest_within=within,
            growing=growing,
            alignment=self._alignment(effective, vector_P),
            lrs=tuple(float(group["lr"]) for group in self.optimizer.param_groups),
            layers=self._layers(hessian) if self.per_layer else {},
            products=hessian.products,
        )

    def _bottom(self, effective: EffectiveHessian, pairs: Eigenpairs) -> tuple[float, float, int]:
        """Return the smallest eigenvalue without decay, its residual, and how many directions are certain to grow."""
        values, residuals = pairs.values[-self.growing :], pairs.residuals[-self.growing :]
        lowest, within = float(values[0]), float(residuals[0])
        lowest -= effective.decay_along(pairs.vectors[:, -self.growing])
        lower = effective.lower
        if lower is None:
            # Groups that differ in decoupled decay shift the bottom by different amounts: a problem of its own.
            grown = top_eigenpairs(
                effective.growth_operator(), self.growing, which="smallest", tol=self.tol, floor=self.tol / 10
            )
            values, residuals, lower = grown.values, grown.residuals, 0.0
        return lowest, within, int((values + residuals < lower).sum())

    def _layers(self, hessian: HessianOperator) -> dict[str, float]:
        ratios = {}
        for name, held in blocks_by_module(hessian.space).items():
            effective = EffectiveHessian(hessian.block(held), self.model, self.optimizer)
            start = self._layers_warm.get(name)
            if start is not None and len(start) != effective.size:
                # Part of the layer was frozen or unfrozen in the meantime.
                start = None
            pairs = top_eigenpairs(effective, tol=self.tol, atol=1e-12, start=start)
            self._layers_warm[name] = pairs.warm.contiguous()
            ratios[name] = effective.ratio(pairs.largest)
        return ratios

    def _alignment(self, effective: EffectiveHessian, vector_P: Tensor) -> float:
        if self._before is None or len(self._before) != len(vector_P):
            return nan
        moved_P = effective.coordinates(self._weights() - self._before)
        length = float(moved_P.norm())
        return abs(float(moved_P.dot(vector_P))) / length if length > 0 else nan

    def _weights(self) -> Tensor:
        tensors = dict(self.model.named_parameters())
        held = [tensors[name].detach() for name in optimized_parameters(self.model, self.optimizer)]
        return torch.cat([tensor.reshape(-1) for tensor in held])

    def _now(self) -> float:
        """Return the time when everything queued on the device is done."""
        device = next(self.model.parameters()).device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()
