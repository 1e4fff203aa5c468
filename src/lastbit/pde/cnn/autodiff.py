"""The one-layer CNN written plainly, for automatic differentiation: a check on everything that is derived by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn.problem import CnnProblem

__all__ = ["activation_slopes", "differentiated_hessian", "network_loss", "pooled_gradient"]

_MOST = 4096
"""Entries of a kernel up to which a dense Hessian is made."""


def _pooled(problem: CnnProblem, kernel_Cnm: Tensor) -> Tensor:
    """Return the pooled value of each image, `p = m sum_x r((K * I)(x))`, by PyTorch's own convolution."""
    images, (rows, columns) = problem.images_BCHW, problem.window
    if problem.boundary == "periodic":
        images = torch.nn.functional.pad(images, (0, columns - 1, 0, rows - 1), mode="circular")
    z_Bxy = torch.nn.functional.conv2d(images, kernel_Cnm[None])[:, 0]
    return (z_Bxy * torch.sigmoid(problem.beta * z_Bxy)).sum((-2, -1)) * problem.pool


def network_loss(problem: CnnProblem, kernel_Cnm: Tensor) -> Tensor:
    """Return the network's mean binary cross-entropy."""
    return torch.nn.functional.binary_cross_entropy_with_logits(_pooled(problem, kernel_Cnm), problem.labels_B)


def differentiated_hessian(problem: CnnProblem, kernel_Cnm: Tensor) -> Tensor:
    """Return the loss's Hessian at a kernel, `[P, P]`: the flow's linearisation there, without weight decay.

    Raises:
        LastbitError: a kernel too large for a dense matrix.
    """
    size = kernel_Cnm.numel()
    if size > _MOST:
        raise LastbitError(f"a dense Hessian of {size} x {size}: use a kernel of at most {_MOST} entries")
    kernel = kernel_Cnm.detach().clone().requires_grad_()
    gradient = torch.autograd.grad(network_loss(problem, kernel), kernel, create_graph=True)[0].flatten()
    rows = [torch.autograd.grad(one, kernel, retain_graph=True)[0].flatten() for one in gradient]
    return torch.stack(rows)


def pooled_gradient(problem: CnnProblem, kernel_Cnm: Tensor) -> Tensor:
    """Return the gradient of the images' summed pooled values, `[P]`: the mean patch where the network is activated."""
    kernel = kernel_Cnm.detach().clone().requires_grad_()
    return torch.autograd.grad(_pooled(problem, kernel).sum(), kernel)[0].flatten()


def activation_slopes(z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Return the swish's first and second derivative at each of z."""
    z = z.detach().clone().requires_grad_()
    slope = torch.autograd.grad((z * torch.sigmoid(beta * z)).sum(), z, create_graph=True)[0]
    curvature = torch.autograd.grad(slope.sum(), z)[0]
    return slope.detach(), curvature
