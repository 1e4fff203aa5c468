"""Which learning rates and weight decays are stable for a deep network, at given weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.builtin_schemes import EULER, descent_scheme
from lastbit.pde.deep.descent import descend
from lastbit.pde.deep.network import DeepProblem, deep_problem, initial_kernels
from lastbit.pde.deep.operator import Spectrum, linearise, spectrum
from lastbit.pde.schemes import TimeScheme

__all__ = ["DeepBounds", "LayerBounds", "bounds_at", "deep_bounds"]


@dataclass(frozen=True, kw_only=True)
class LayerBounds:
    """The block of one layer: how far the layer alone, with the others frozen, could be stepped.

    Attributes:
        layer: counted from 1, first layer first.
        parameters: its number of weights.
        lowest: smallest eigenvalue of its block.
        sharpness: largest eigenvalue of its block.
        edge_lr: learning rate at which its sharpest mode begins to grow; infinite if none does.
        converged: whether the eigenvalues are within the tolerance.
    """

    layer: int
    parameters: int
    lowest: float
    sharpness: float
    edge_lr: float
    converged: bool


@dataclass(frozen=True, kw_only=True)
class DeepBounds:
    """Stability bounds of gradient descent linearised at given weights.

    With `λ` over the eigenvalues of the data loss's Hessian, and `r` the scheme's limit on the real axis (2 for
    gradient descent, `2 + 2β` for the heavy ball, `(2 + 2β)/(1 + 2β)` for Nesterov), the linearised descent is stable
    iff `0 ≤ η(λ + α) ≤ r` for all of them.

    Attributes:
        depth: number of layers.
        widths: channels after each.
        kernel: rows and columns of every window.
        activation: `swish` or `linear`.
        parameters: number of weights.
        scheme: of `DESCENTS`.
        momentum: its momentum, 0 for gradient descent.
        weight_decay: α.
        lr: the learning rate η asked about, None if none was.
        loss: data loss at these weights.
        gradient_norm: norm of the regularised gradient there; the bounds describe a fixed point where it vanishes, and
            the growth of small differences elsewhere.
        lowest: `λ_min`.
        sharpness: `λ_max`.
        alpha_min: `−λ_min`: with less decay some difference grows at every learning rate.
        alpha_max: `r/η − λ_max`: with more decay the sharpest mode is overshot. None without `lr`.
        edge_lr: `r/(λ_max + α)`, the edge of stability; infinite where `λ_max + α ≤ 0`.
        max_stable_lr: `edge_lr` if `α ≥ alpha_min`, else 0.
        is_stable: whether `lr` is; None without `lr`.
        layers: the same by layer.
        residual: of the eigenvalues of the whole.
        converged: whether every eigenvalue, of the whole and of the layers, is within the tolerance.
    """

    depth: int
    widths: tuple[int, ...]
    kernel: int
    activation: str
    parameters: int
    scheme: str
    momentum: float
    weight_decay: float
    lr: float | None
    loss: float
    gradient_norm: float
    lowest: float
    sharpness: float
    alpha_min: float
    alpha_max: float | None
    edge_lr: float
    max_stable_lr: float
    is_stable: bool | None
    layers: tuple[LayerBounds, ...]
    residual: float
    converged: bool

    @property
    def binding_layer(self) -> int:
        """The layer whose own block is sharpest, counted from 1."""
        return max(self.layers, key=lambda layer: layer.sharpness).layer


def bounds_at(
    problem: DeepProblem,
    weights_P: Tensor,
    scheme: TimeScheme,
    *,
    weight_decay: float = 0.0,
    lr: float | None = None,
    tolerance: float = 1e-8,
    max_products: int = 400,
    progress: Callable[[int, int], None] | None = None,
) -> DeepBounds:
    """Return the stability bounds at `weights_P`.

    Args:
        problem: the network and its images.
        weights_P: where to linearise.
        scheme: of `descent_scheme`.
        weight_decay: α; negative values are allowed and drive the weights.
        lr: the learning rate to judge, positive.
        tolerance: relative residual asked of the eigenvalues.
        max_products: Hessian-vector products for each pair of them, at most.
        progress: called with (spectra done, spectra), those of the whole and of each layer.

    Raises:
        LastbitError: a decay that is not finite, a learning rate that is not positive, or weights at which the loss is
            not finite.
    """
    if not math.isfinite(weight_decay):
        raise LastbitError(f"weight decay = {weight_decay}: give a finite number")
    if lr is not None and not (math.isfinite(lr) and lr > 0):
        raise LastbitError(f"lr = {lr}: give a positive finite number")
    limit = scheme.step_limit()
    flow = linearise(problem, weights_P)
    spectra = []
    for layer in (None, *range(problem.depth)):
        spectra.append(spectrum(flow, layer, tolerance=tolerance, max_products=max_products))
        if progress is not None:
            progress(len(spectra), 1 + problem.depth)
    whole, *blocks = spectra
    # An eigenvalue is known to its residual, so a decay that meets the bound to rounding counts as enough.
    enough = weight_decay >= -whole.lowest - whole.residual
    highest = _edge(whole, limit, weight_decay)
    return DeepBounds(
        depth=problem.depth,
        widths=problem.widths,
        kernel=problem.kernel,
        activation=problem.activation,
        parameters=problem.parameters,
        scheme=scheme.name,
        momentum=scheme.momentum,
        weight_decay=weight_decay,
        lr=lr,
        loss=flow.loss,
        gradient_norm=float((flow.gradient_P + weight_decay * flow.weights_P).norm()),
        lowest=whole.lowest,
        sharpness=whole.sharpness,
        alpha_min=-whole.lowest,
        alpha_max=None if lr is None else limit / lr - whole.sharpness,
        edge_lr=highest,
        max_stable_lr=highest if enough else 0.0,
        is_stable=None if lr is None else enough and lr <= highest,
        layers=tuple(
            LayerBounds(
                layer=index,
                parameters=math.prod(shape),
                lowest=ends.lowest,
                sharpness=ends.sharpness,
                edge_lr=_edge(ends, limit, weight_decay),
                converged=ends.converged,
            )
            for index, (shape, ends) in enumerate(zip(problem.kernel_shapes, blocks, strict=True), 1)
        ),
        residual=whole.residual,
        converged=all(ends.converged for ends in spectra),
    )


def _edge(ends: Spectrum, limit: float, weight_decay: float) -> float:
    """Return the learning rate at which the sharpest mode begins to grow; infinite if none does."""
    sharpness = ends.sharpness + weight_decay
    return limit / sharpness if sharpness > 0 else math.inf


def deep_bounds(
    *,
    scheme: str = "euler",
    momentum: float | None = None,
    weight_decay: float = 0.0,
    lr: float | None = None,
    seed: int = 0,
    gain: float = 2.0,
    train_steps: int = 0,
    train_lr: float = 0.1,
    tolerance: float = 1e-8,
    progress: Callable[[int, int], None] | None = None,
    **network: Any,
) -> DeepBounds:
    """Return the stability bounds of a network at its random start, or after some gradient descent.

    Args:
        scheme: `euler` (gradient descent), `heavy-ball` or `nesterov`.
        momentum: of the latter two, 0.9 when None.
        weight_decay: α.
        lr: the learning rate to judge.
        seed: of the weights.
        gain: of the initialisation, see `initial_kernels`.
        train_steps: steps of plain gradient descent before the linearisation.
        train_lr: their learning rate.
        tolerance: relative residual asked of the eigenvalues.
        progress: called with (spectra done, spectra), those of the whole and of each layer; not during the descent.
        **network: anything `deep_problem` takes: `depth`, `width`, `kernel`, `activation`, `image`, `device`, ….

    Raises:
        LastbitError: anything that `deep_problem` or `bounds_at` refuses, or a descent that diverged before its end.

    Example:
        >>> found = deep_bounds(depth=2, width=2, kernel=3, image_size=8, images=2)
        >>> found.converged and found.sharpness >= max(layer.sharpness for layer in found.layers) - 1e-9
        True
    """
    problem = deep_problem(**network)
    weights = initial_kernels(problem, seed=seed, gain=gain)
    if train_steps:
        trained = descend(problem, weights, EULER, lr=train_lr, weight_decay=weight_decay, steps=train_steps)
        if trained.status != "ok":
            raise LastbitError(
                f"the descent diverged at step {len(trained.losses) - 1}: give a smaller train_lr than {train_lr:g}"
            )
        weights = trained.weights_P
    return bounds_at(
        problem,
        weights,
        descent_scheme(scheme, momentum),
        weight_decay=weight_decay,
        lr=lr,
        tolerance=tolerance,
        progress=progress,
    )
