"""The gradient flow of a deep network linearised at any weights, matrix-free, whole and layer by layer.

Near weights `w` the flow `∂w/∂t = −∇loss(w) − αw` moves a small difference `v` by `∂v/∂t = −(H + α)v`, `H` the Hessian
of the loss at `w`. `Hv` is one backward pass through the graph of the gradient, which is built once and kept; the block
of a layer, rows and columns of `H` that belong to its weights, is a backward pass through that layer's gradient alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.deep.network import DeepProblem
from lastbit.pde.lanczos import extreme_eigenpairs

__all__ = ["LinearisedFlow", "Spectrum", "linearise", "spectrum"]


@dataclass(frozen=True, eq=False)
class LinearisedFlow:
    """The Hessian of the data loss at one point. Build it with `linearise`.

    Attributes:
        problem: the network and its images.
        weights_P: where.
        loss: the data loss there.
        gradient_P: its gradient there.
    """

    problem: DeepProblem
    weights_P: Tensor
    loss: float
    gradient_P: Tensor
    _kernels: tuple[Tensor, ...]
    _slopes: tuple[Tensor, ...]

    def __call__(self, v_P: Tensor) -> Tensor:
        """Return `Hv`, shape `[P]`."""
        images = torch.autograd.grad(self._slopes, self._kernels, self.problem.split(v_P), retain_graph=True)
        return torch.cat([image.ravel() for image in images])

    def block(self, layer: int, v: Tensor) -> Tensor:
        """Return the product of one layer's diagonal block with a vector of that layer's weights.

        Args:
            layer: counted from 0.
            v: a vector with as many entries as the layer has weights.
        """
        kernel = self._kernels[layer]
        (image,) = torch.autograd.grad(self._slopes[layer], kernel, v.view(kernel.shape), retain_graph=True)
        return image.ravel()


def linearise(problem: DeepProblem, weights_P: Tensor) -> LinearisedFlow:
    """Linearise the gradient flow of `problem` at `weights_P`.

    Args:
        problem: the network and its images.
        weights_P: all weights in one vector, any finite values.

    Raises:
        LastbitError: the vector has another length, or the loss there is not finite.

    Example:
        >>> from lastbit.pde.deep.network import DeepProblem, initial_kernels
        >>> problem = DeepProblem.of(torch.eye(4, dtype=torch.float64), widths=(2, 1), kernel=2)
        >>> flow = linearise(problem, initial_kernels(problem))
        >>> flow(torch.ones(16, dtype=torch.float64)).shape
        torch.Size([16])
    """
    weights = weights_P.detach().to(problem.images_BCHW)
    kernels = tuple(kernel.clone().requires_grad_() for kernel in problem.split(weights))
    loss = problem.loss(kernels)
    slopes = torch.autograd.grad(loss, kernels, create_graph=True)
    gradient = torch.cat([slope.detach().ravel() for slope in slopes])
    if not bool(torch.isfinite(loss)) or not bool(torch.isfinite(gradient).all()):
        raise LastbitError("the loss or its gradient is not finite at these weights: start from smaller ones")
    return LinearisedFlow(problem, weights, float(loss.detach()), gradient, kernels, slopes)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The algebraically smallest and largest eigenvalue of a symmetric operator, each with its vector.

    Attributes:
        lowest: smallest eigenvalue.
        sharpness: largest eigenvalue.
        lowest_mode: unit eigenvector of the smallest.
        sharpest_mode: unit eigenvector of the largest.
        residual: the larger of `|Hv − θv|` over the two; an eigenvalue lies within it of each value.
        converged: whether that is within the tolerance asked for.
    """

    lowest: float
    sharpness: float
    lowest_mode: Tensor
    sharpest_mode: Tensor
    residual: float
    converged: bool


def spectrum(
    flow: LinearisedFlow, layer: int | None = None, *, tolerance: float = 1e-8, max_products: int = 400
) -> Spectrum:
    """Return both ends of the spectrum of the data loss's Hessian, by Lanczos on `Hv`.

    By Cauchy's interlacing theorem no layer's block reaches beyond the ends of the whole.

    Args:
        flow: where.
        layer: its diagonal block alone, counted from 0; the whole if left out.
        tolerance: residual allowed, relative to the largest eigenvalue in size.
        max_products: Hessian-vector products, at most.
    """
    operator = flow if layer is None else partial(flow.block, layer)
    like = flow.weights_P if layer is None else flow.problem.split(flow.weights_P)[layer]
    found = extreme_eigenpairs(
        lambda v: operator(v[0])[None],
        (1, like.numel()),
        like=like,
        tolerance=tolerance,
        max_iterations=max_products,
    )
    return Spectrum(
        lowest=float(found.low_M[0]),
        sharpness=float(found.high_M[0]),
        lowest_mode=found.low_vector_MCnm[0],
        sharpest_mode=found.high_vector_MCnm[0],
        residual=float(found.residual_M[0]),
        converged=bool(found.converged_M[0]),
    )
