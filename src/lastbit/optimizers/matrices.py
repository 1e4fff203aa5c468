"""Adafactor and Muon, whose direction depends on a parameter as a whole: on its norms, or on it as a matrix."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from lastbit.optimizers.parts import Direction, Needs
from lastbit.optimizers.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from lastbit.optimizers.step import OptimizerStep


def _adafactor_direction(step: OptimizerStep) -> Direction:
    """`d = g / sqrt(v)`, with `v` from the means of rows and columns, and a step size relative to the weights.

    The step size is `max(eps2, rms(w)) min(lr, t^-1/2) / max(1, rms(d) / clip)`.
    """
    import torch

    group, count, shape = step.group, step.count(), step.shape
    lr, decay = float(group["lr"]), float(group["weight_decay"])
    given, eps2 = group["eps"]
    eps1 = torch.finfo(step.before.dtype).eps if given is None else float(given)
    root = step.before.numel() ** 0.5
    size = max(float(eps2), float(step.before.view(shape).norm(2)) / root) * min(lr, 1 / count**0.5)
    if len(shape) > 1:
        rows = step.state("row_var").view(*shape[:-1], 1)
        squares = rows @ step.state("col_var").view(*shape[:-2], 1, shape[-1])
        squares.div_(rows.mean(dim=-2, keepdim=True).clamp_(min=eps1))
    else:
        squares = step.state("variance").view(shape)
    update = squares.clamp_(min=eps1 * eps1).rsqrt_().mul_(step.gradient().view(shape))
    clipped = max(1.0, float(update.norm(2)) / (root * float(group["d"])))
    return Direction(size / clipped, update.reshape(-1), shrink=1 - lr * decay if decay != 0 else 1.0)


def _muon_direction(step: OptimizerStep) -> Direction:
    """`d` is the orthogonalised momentum, in bfloat16, with a step size that depends on the matrix's shape.

    What the step subtracted cannot be read off the state, so it is computed again.
    """
    group, shape = step.group, step.shape
    lr, momentum = float(group["lr"]), float(group["momentum"])
    buffer = step.state("momentum_buffer").view(shape)
    looked = step.gradient().view(shape).lerp(buffer, momentum) if group["nesterov"] else buffer
    update = _orthogonalised(looked, group["ns_coefficients"], int(group["ns_steps"]), float(group["eps"]))
    rows, columns = shape
    ratios = {"match_rms_adamw": 0.2 * sqrt(max(rows, columns)), "original": sqrt(max(1, rows / columns))}
    rate = lr * ratios[group["adjust_lr_fn"] or "original"]
    return Direction(rate, update.reshape(-1).to(buffer.dtype), shrink=1 - lr * float(group["weight_decay"]))


def _orthogonalised(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Return the orthogonal factor of `matrix` by the Newton–Schulz iteration of Jordan's Muon, as torch computes it.

    `X <- a X + (b A + c A²) X` with `A = X Xᵀ`, from `X = matrix / |matrix|`, all in bfloat16.
    """
    import torch

    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.bfloat16().T if tall else matrix.bfloat16()
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


register("torch.optim:Adafactor", direction=_adafactor_direction, needs=Needs(whole=True))
register("torch.optim:Muon", direction=_muon_direction, needs=Needs(whole=True))
