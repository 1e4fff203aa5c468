"""Which learning rates and weight decays the linear theory allows now, for each layer and for the whole network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log
from typing import Any

import torch
from scipy.optimize import brentq
from torch import nn

from lastbit.core.errors import choose
from lastbit.curvature.batches import LossFunction
from lastbit.curvature.effective import EffectiveHessian, optimized_parameters
from lastbit.curvature.eigen import Eigenpairs, top_eigenpairs
from lastbit.curvature.hessian import HessianOperator
from lastbit.curvature.limits import group_limit
from lastbit.curvature.operators import ShiftedOperator
from lastbit.curvature.parameters import blocks_by_group, blocks_by_module, blocks_by_tensor
from lastbit.curvature.snapshot import unwrapped

__all__ = ["LayerStability", "StableLearningRates", "stable_learning_rates"]

ROUNDING = 8
"""Residual that rounding leaves, in units of the format's epsilon times the norm."""

RESOLVED = 0.01
"""An end of the spectrum counts as resolved where its residual is at most that share of it."""


@dataclass(frozen=True)
class LayerStability:
    """What is stable for one block of parameters, moved alone.

    Attributes:
        name: layer, tensor or group; `"(whole)"` for all parameters together.
        size: number of parameters.
        sharpness: largest eigenvalue of the block of the loss's Hessian in the optimizer's coordinates, weight decay
            left out.
        smallest: its smallest eigenvalue.
        limit: what `sharpness` must not exceed at the present learning rate: `2/lr - alpha` for gradient descent.
        ratio: learning rate over the largest stable one: above 1 the present rate is that far past it. Without weight
            decay that is `sharpness / limit`.
        lr: learning rate now; None where several groups with different rates meet in the block.
        max_lr: largest stable learning rate now; None where `lr` is.
        lr_factor: what all learning rates of the block may be multiplied by.
        weight_decay: alpha now; None where groups differ.
        decay_interval: weight decays that are stable at the present learning rate, `(low, high)`: below `low` some
            direction grows, above `high` the step is too long. `high < low` means that none is. `low` is None where
            it is not resolved; the whole is None where groups of the block differ.
        converged: whether the sharpness met the tolerance, relative to itself.
        products: Hessian-vector products spent.
        sharpness_within: residual of `sharpness`: an eigenvalue lies that close to it. None in studies of before.
        smallest_within: the same of `smallest`.
    """

    name: str
    size: int
    sharpness: float
    smallest: float
    limit: float
    ratio: float
    lr: float | None
    max_lr: float | None
    lr_factor: float
    weight_decay: float | None
    decay_interval: tuple[float | None, float] | None
    converged: bool
    products: int
    sharpness_within: float | None = None
    smallest_within: float | None = None


@dataclass(frozen=True)
class StableLearningRates:
    """One row per layer, and the whole network.

    Attributes:
        layers: in the model's order.
        whole: all parameters together; its learning rate is at most the smallest of the layers'.
    """

    layers: tuple[LayerStability, ...]
    whole: LayerStability

    def __str__(self) -> str:
        """Return a table in plain text."""
        names = (
            "layer",
            "parameters",
            "sharpness",
            "limit",
            "lr / stable lr",
            "lr",
            "stable lr",
            "stable weight decay",
        )
        rows = [names]
        for row in (*self.layers, self.whole):
            decay = "differs"
            if row.decay_interval is not None:
                low, high = row.decay_interval
                decay = f"up to {high:.4g}" if low is None else "none" if high < low else f"[{low:.4g}, {high:.4g}]"
            lr, top = (f"{value:.4g}" if value is not None else "differs" for value in (row.lr, row.max_lr))
            top = top if row.max_lr is not None else f"{row.lr_factor:.4g} x"
            mark = "" if row.converged else " (not converged)"
            numbers = (f"{row.sharpness:.4g}{mark}", f"{row.limit:.4g}", f"{row.ratio:.3f}")
            rows.append((row.name, str(row.size), *numbers, lr, top, decay))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def stable_learning_rates(
    model: nn.Module,
    loss_fn: LossFunction,
    batch: Any,
    optimizer: torch.optim.Optimizer,
    *,
    by: str = "module",
    tol: float = 1e-3,
    micro_batch: int | None = None,
    reduction: str | None = None,
    max_products: int = 200,
) -> StableLearningRates:
    """Return the learning rates and weight decays that are stable now, for each layer and for the whole.

    For each block of parameters the extreme eigenvalues of the effective Hessian (`EffectiveHessian`) are compared
    with the optimizer's limit; the largest learning rate is where the limit, as a function of the rate, meets the
    eigenvalue. A layer's numbers hold for that layer moved alone; the whole is at least as sharp as every layer.

    Args:
        model: the network, in the mode to measure.
        loss_fn: `loss_fn(outputs, targets)` or a `ModelLoss`, without weight decay.
        batch: what to measure on.
        optimizer: the live optimizer.
        by: `"module"`, `"tensor"` or `"group"`.
        tol: residual of the largest eigenvalue relative to itself; of the smallest, relative to itself or a tenth of
            it relative to the larger of the two in size.
        micro_batch: examples per forward pass, to bound memory.
        reduction: as for `HessianOperator`.
        max_products: Hessian-vector products per eigenproblem at most.

    Raises:
        LastbitError: as `HessianOperator` and `stability_limit`.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> loss_fn = lambda z, y: 2 * (z - y).square().mean()
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> batch = (torch.ones(1, 1), torch.ones(1, 1))
        >>> round(stable_learning_rates(model, loss_fn, batch, optimizer).whole.max_lr, 6)
        0.5
    """
    choose(by, ("module", "tensor", "group"), "by")
    names = list(optimized_parameters(model, optimizer))
    hessian = HessianOperator(model, loss_fn, batch, parameters=names, micro_batch=micro_batch, reduction=reduction)
    if by == "group":
        blocks = blocks_by_group(hessian.space, unwrapped(model), optimizer)
    else:
        blocks = (blocks_by_module if by == "module" else blocks_by_tensor)(hessian.space)
    solve = _Solver(model, optimizer, tol, max_products)
    whole = solve.row("(whole)", hessian)
    return StableLearningRates(tuple(solve.row(name, hessian.block(held)) for name, held in blocks.items()), whole)


@dataclass
class _Solver:
    """Rows of one table: the eigenproblems of a block and what follows from them."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    tol: float
    max_products: int
    floor: float = 0.0

    def row(self, name: str, hessian: HessianOperator) -> LayerStability:
        before = hessian.products
        effective = EffectiveHessian(hessian, self.model, self.optimizer)
        pairs = top_eigenpairs(
            effective,
            which="both" if effective.size > 1 else "largest",
            tol=self.tol,
            # A block without curvature (a bias before batch normalisation) holds rounding of the whole alone.
            atol=max(1e-12, self.floor * effective.limit if effective.limit < inf else 0.0),
            floor=self.tol / 10,
            max_products=self.max_products,
        )
        if not self.floor and 0 < effective.limit < inf:
            self.floor = torch.finfo(hessian.dtype).eps * float(pairs.values.abs().max()) / effective.limit
        (top, within), (low, low_within) = ((float(pairs.values[i]), float(pairs.residuals[i])) for i in (0, -1))
        decay, low_decay = (effective.decay_along(pairs.vectors[:, i]) for i in (0, -1))
        groups = list(effective.groups.values())
        lr = groups[0].lr if len({group.lr for group in groups}) == 1 else None
        factor, max_lr = self._learning_rate(hessian, effective, pairs, lr)
        decays = {(group.weight_decay, group.decoupled) for group in groups}
        return LayerStability(
            name=name,
            size=hessian.size,
            sharpness=top - decay,
            smallest=low - low_decay,
            limit=effective.limit - decay,
            ratio=effective.ratio(top),
            lr=lr,
            max_lr=max_lr,
            lr_factor=factor,
            weight_decay=groups[0].weight_decay if len(decays) == 1 else None,
            decay_interval=self._decay_interval(hessian, effective, pairs),
            converged=bool(pairs.converged[0]),
            products=hessian.products - before,
            sharpness_within=within,
            smallest_within=low_within,
        )

    def _learning_rate(
        self, hessian: HessianOperator, effective: EffectiveHessian, pairs: Eigenpairs, lr: float | None
    ) -> tuple[float, float | None]:
        """Return the factor on all learning rates of the block, and the rate itself where there is one."""
        if (group := effective.sole_group) is not None:
            best = _last_where(lambda rate: self._upper(group.index, lr=rate) >= pairs.largest, group.lr or 1.0)
            return (best / group.lr if group.lr > 0 else inf), best
        ratio = effective.ratio(pairs.largest)
        if not any(limit.decoupled and limit.weight_decay > 0 for limit in effective.groups.values()):
            # The ratio is proportional to the factor.
            factor = 1 / ratio if ratio > 0 else inf
        else:
            start = pairs

            def stable(trial: float) -> bool:
                nonlocal start
                scaled = EffectiveHessian(hessian, self.model, self.optimizer, lr_factor=trial)
                if scaled.limit <= 0:
                    return False
                start = top_eigenpairs(scaled, tol=self.tol, atol=1e-12, start=start, max_products=self.max_products)
                return scaled.ratio(start.largest) <= 1

            factor = _last_where(stable, 1.0, precision=1e-4)
        return factor, (None if lr is None else factor * lr)

    def _decay_interval(
        self, hessian: HessianOperator, effective: EffectiveHessian, pairs: Eigenpairs
    ) -> tuple[float | None, float] | None:
        group = effective.sole_group
        if group is None:
            return None
        low = self._lower_end(pairs, effective.decay_along(pairs.vectors[:, -1]))
        if group.decoupled:
            if self._upper(group.index, weight_decay=0.0) < pairs.largest:
                return low, -inf
            return low, _last_where(lambda a: self._upper(group.index, weight_decay=a) >= pairs.largest, 1.0)
        if not group.preconditioned:
            return low, group.upper - (pairs.largest - group.weight_decay)
        # With a preconditioner decay shifts by alpha / P: the lower bound is the loss's own smallest eigenvalue, the
        # upper a root of a convex increasing function, which Newton's method from its eigenvector finds in few solves.
        bare = top_eigenpairs(
            hessian, which="smallest", tol=self.tol, atol=1e-12, floor=self.tol / 10, max_products=self.max_products
        )
        alpha, start = group.weight_decay, pairs
        for _ in range(12):
            weight = effective.pull_back(start.vectors[:, 0])
            miss = group.upper - start.largest
            if abs(miss) <= 1e-3 * group.upper or not miss < inf:
                break
            alpha += miss / float(weight.dot(weight))
            # The decay is left at its present value inside `effective`; what is missing is added in its coordinates.
            extra = (alpha - group.weight_decay) * effective.pull_back(effective.pull_back(torch.ones_like(weight)))
            shifted = ShiftedOperator(effective, extra)
            start = top_eigenpairs(shifted, tol=self.tol / 10, start=start, max_products=self.max_products)
        return self._lower_end(bare, 0.0), alpha if group.upper < inf else inf

    def _lower_end(self, pairs: Eigenpairs, decay: float) -> float | None:
        """Return the smallest decay that holds every direction, None where the smallest eigenvalue is not resolved."""
        value, within = float(pairs.values[-1]) - decay, float(pairs.residuals[-1])
        rounding = ROUNDING * torch.finfo(pairs.vectors.dtype).eps * float(pairs.values.abs().max())
        if value >= within or abs(value) + within <= rounding:
            return 0.0
        return -value if within <= RESOLVED * -value else None

    def _upper(self, index: int, **changes: float) -> float:
        return group_limit(self.optimizer, index, **changes).upper


def _last_where(holds: Callable[[float], bool], guess: float, precision: float = 1e-12) -> float:
    """Return the largest positive number where `holds`, a condition that fails beyond it; inf where it never fails."""
    low = high = guess
    while not holds(low):
        low /= 4
        if low < 1e-30 * guess:
            return 0.0
    while holds(high):
        high *= 4
        if high > 1e30 * guess:
            return inf
    # A step function of the logarithm: the root finder bisects it.
    root = brentq(lambda t: 1.0 if holds(2.0**t) else -1.0, log(low, 2), log(high, 2), xtol=precision, maxiter=200)
    return float(2.0**root)
