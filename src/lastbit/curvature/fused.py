"""Convolution, batch normalisation, swish and GELU with second derivatives in few operations.

Torch differentiates these operations twice by composing them anew from elementary ones, at every product: a
convolution's weight gradient as a convolution by a kernel of the size of the image, batch statistics in about twenty
passes over memory. The functions below compute the same derivatives from what the first pass already knows, by the
fused kernels of the first derivative. `bench/curvature.py` has the cost with and without.

`fused_second_derivatives()` substitutes them for torch's own while a network runs. An operation that they do not
cover (integer or mixed formats, autocast, `inplace=True`, tensor subclasses, evaluation mode) is left to torch.

Axes: N batch, C channels; a `v` is the direction that arrives in the double backward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

__all__ = ["fused_second_derivatives"]

aten = torch.ops.aten


def _sum(*parts: Tensor | None) -> Tensor | None:
    """Add up the terms that are present."""
    there = [part for part in parts if part is not None]
    return sum(there[1:], there[0]) if there else None


def _refuse_third_derivatives() -> None:
    # `once_differentiable` only looks at the direction: a constant one would pass, and the rest count as constants.
    if torch.is_grad_enabled():
        raise RuntimeError("fused operations have two derivatives, but a third was requested")


class _Convolution(Function):
    """`y = w * x + b`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, options: tuple[Any, ...]) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.biased, ctx.options = b is not None, options
        return aten.convolution(x, w, b, *options)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        backward = _ConvolutionBackward.apply if torch.is_grad_enabled() else _convolution_backward
        return (*backward(g, x, w, ctx.options, ctx.needs_input_grad[:3]), None)


def _convolution_backward(
    g: Tensor, x: Tensor, w: Tensor, options: tuple[Any, ...], mask: tuple[bool, bool, bool]
) -> tuple[Tensor | None, ...]:
    biases = [w.shape[0]] if mask[2] else None
    return aten.convolution_backward(g, x, w, biases, *options, list(mask))  # type: ignore[no-any-return]


class _ConvolutionBackward(Function):
    """`(g, x, w) -> (w^T * g, x^T * g, sum g)`: bilinear, so its derivatives are convolutions of the same shapes."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, w: Tensor, options: tuple[Any, ...], mask: tuple[bool, bool, bool]
    ) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(g, x, w)
        ctx.options = options
        ctx.set_materialize_grads(False)
        return _convolution_backward(g, x, w, options, mask)

    @staticmethod
    def backward(ctx: Any, vx: Tensor | None, vw: Tensor | None, vb: Tensor | None) -> tuple[Tensor | None, ...]:
        _refuse_third_derivatives()
        g, x, w = ctx.saved_tensors
        along_x = aten.convolution(vx, w, None, *ctx.options) if vx is not None else None
        along_w = aten.convolution(x, vw, vb, *ctx.options) if vw is not None else None
        along_b = vb.view(-1, *[1] * (g.ndim - 2)).expand_as(g) if vb is not None and vw is None else None
        mask = (vw is not None and ctx.needs_input_grad[1], vx is not None and ctx.needs_input_grad[2], False)
        to_x = to_w = None
        if any(mask):
            # The kernel reads only the shape of a missing direction.
            at_x, at_w = vx if vx is not None else x, vw if vw is not None else w
            to_x, to_w, _ = _convolution_backward(g, at_x, at_w, ctx.options, mask)
        return _sum(along_x, along_w, along_b), to_x, to_w, None, None


class _BatchNorm(Function):
    """`y = weight x^ + bias`, `x^ = (x - mean) s` with the statistics of the batch, `s = 1 / sqrt(var + eps)`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running: tuple[Tensor | None, Tensor | None],
        momentum: float,
        eps: float,
    ) -> Tensor:
        y, mean, s = torch.native_batch_norm(x, weight, bias, *running, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, s)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, s = ctx.saved_tensors
        backward = _BatchNormBackward.apply if torch.is_grad_enabled() else _normalised_backward
        to_x, to_weight, to_bias = backward(g, x, weight, mean, s, ctx.eps)
        wanted = ctx.needs_input_grad
        return to_x, to_weight if wanted[1] else None, to_bias if wanted[2] else None, None, None, None


def _normalised_backward(
    g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, s: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `weight s P g`, `sum g x^` and `sum g`, where `P g = g - <g> - x^ <g x^>` with means over a channel."""
    wanted = [True, True, True]
    return aten.native_batch_norm_backward(  # type: ignore[no-any-return]
        g, x, weight, None, None, mean, s, True, eps, wanted
    )


class _BatchNormBackward(Function):
    """`(g, x, weight) -> (weight s P g, sum g x^, sum g)`, where `ds = -s^2 <x^ dx>` and `dx^ = s P dx`.

    With `G = s P g` and `V = s P vx`, the derivative of `sum vx weight G + sum vw g x^ + sum vb g` is
    `weight V + vw x^ + vb` by g, `vw G - weight s (<g x^> V + <vx x^> G + <vx G> x^)` by x, and `sum vx G` by weight.
    """

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, s: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        ones = torch.ones_like(s)
        # Without the weight, which may hold zeros: it is multiplied in below.
        plain, to_weight, to_bias = _normalised_backward(g, x, ones, mean, s, eps)
        side = [1, -1, *[1] * (x.ndim - 2)]
        scale = ones if weight is None else weight
        normalised = (x - mean.view(side)) * s.view(side)
        ctx.save_for_backward(x, plain, normalised, scale, mean, s, to_weight)
        ctx.eps, ctx.side, ctx.weighted = eps, side, weight is not None
        return plain * scale.view(side), to_weight, to_bias

    @staticmethod
    def backward(ctx: Any, vx: Tensor, vw: Tensor, vb: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_third_derivatives()
        x, plain, normalised, scale, mean, s, to_weight = ctx.saved_tensors
        side, count = ctx.side, x.numel() // x.shape[1]
        moved, along, _ = _normalised_backward(vx, x, torch.ones_like(s), mean, s, ctx.eps)
        to_scale = (vx * plain).sum([d for d in range(x.ndim) if d != 1])
        share = scale * s / count
        to_g = torch.addcmul(vb.view(side), normalised, vw.view(side)).addcmul_(moved, scale.view(side))
        to_x = plain * (vw - share * along).view(side)
        to_x.addcmul_(moved, (share * to_weight).view(side), value=-1)
        to_x.addcmul_(normalised, (share * to_scale).view(side), value=-1)
        return to_g, to_x, to_scale if ctx.weighted else None, None, None, None


def _swish(x: Tensor) -> tuple[Tensor, Tensor]:
    s = torch.sigmoid(x)
    rest, y = 1 - s, x * s
    slope = torch.addcmul(s, y, rest)
    # f'' = (1 - s) (s + f' - f s), in place: every pass over memory counts here.
    return slope, (s + slope).addcmul_(y, s, value=-1).mul_(rest)


def _gelu(x: Tensor) -> tuple[Tensor, Tensor]:
    density = torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return torch.special.ndtr(x) + x * density, density * (2 - x * x)


class _Pointwise(Function):
    """`y = f(x)`, given `x -> (f'(x), f''(x))`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], slopes: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slopes = slopes
        ctx.first = None
        return function(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        # The first derivative is the same for all products of a measurement; the second is kept below, times g.
        if torch.is_grad_enabled():
            ctx.first, second = ctx.slopes(x.detach())
            return _apply(_PointwiseBackward, g, x, ctx.first, second), None, None
        if ctx.first is None:
            ctx.first = ctx.slopes(x)[0]
        return g * ctx.first, None, None


class _PointwiseBackward(Function):
    """`(g, x) -> g f'(x)`."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(first, g * second if ctx.needs_input_grad[1] else None)
        return g * first

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_third_derivatives()
        first, curved = ctx.saved_tensors
        return v * first, v * curved if curved is not None else None, None, None


def _alike(*tensors: Tensor | None) -> bool:
    """Say whether these are plain floating-point tensors of one format, as the functions above expect them."""
    there = [tensor for tensor in tensors if tensor is not None]
    first = there[0]
    return (
        all(type(tensor) in (Tensor, torch.nn.Parameter) and tensor.dtype == first.dtype for tensor in there)
        and first.is_floating_point()
        and first.numel() > 0
        and not torch.is_autocast_enabled(first.device.type)
    )


def _convolved(dimensions: int) -> Callable[..., Tensor | None]:
    def convolve(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor | None:
        options = (stride, padding, dilation)
        plain = all(isinstance(n, int | tuple | list) for n in options)
        if not plain or input.ndim != dimensions + 2 or not _alike(input, weight, bias):
            return None
        each = [[n] * dimensions if isinstance(n, int) else list(n) for n in options]
        return _apply(_Convolution, input, weight, bias, (*each, False, [0] * dimensions, groups))

    return convolve


def _batch_normalised(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    alike = _alike(input, running_mean, running_var, weight, bias)
    if not training or not alike or input.ndim < 2 or input.numel() == input.shape[1]:
        return None
    return _apply(_BatchNorm, input, weight, bias, (running_mean, running_var), momentum, eps)


def _swished(input: Tensor, inplace: bool = False) -> Tensor | None:
    return None if inplace or not _alike(input) else _apply(_Pointwise, input, F.silu, _swish)


def _gelued(input: Tensor, approximate: str = "none") -> Tensor | None:
    return None if approximate != "none" or not _alike(input) else _apply(_Pointwise, input, F.gelu, _gelu)


def _apply(function: type[Function], *arguments: Any) -> Tensor:
    found: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return found


_RULES: Mapping[Any, Callable[..., Tensor | None]] = {
    F.conv1d: _convolved(1),
    F.conv2d: _convolved(2),
    F.conv3d: _convolved(3),
    F.batch_norm: _batch_normalised,
    F.silu: _swished,
    F.gelu: _gelued,
}


class fused_second_derivatives(TorchFunctionMode):
    """Context in which the operations above are the fused ones.

    Second derivatives are what they are without it, to rounding; third derivatives are refused by autograd.

    Example:
        >>> x = torch.linspace(-1, 1, 5, dtype=torch.float64, requires_grad=True)
        >>> with fused_second_derivatives():
        ...     y = F.silu(x).sum()
        >>> (slope,) = torch.autograd.grad(y, x, create_graph=True)
        >>> bool(torch.autograd.grad(slope.sum(), x)[0][2] == 0.5)
        True
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the fused operation where it covers the call, else torch's own."""
        kwargs = kwargs or {}
        rule = _RULES.get(func)
        found = rule(*args, **kwargs) if rule is not None else None
        return func(*args, **kwargs) if found is None else found
