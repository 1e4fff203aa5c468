"""TF32 on a CPU: what goes into products and convolutions keeps ten bits of its fraction, forward and backward."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
PRODUCTS = {
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    aten.convolution.default,
    aten.convolution_backward.default,
}


def ten_bits(tensor):
    """Round to nearest, ties to even, as tensor cores do with what they are given."""
    bits = tensor.contiguous().view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


class TensorFloat32(TorchDispatchMode):
    """Rounds the inputs of every product."""

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        if operation in PRODUCTS:
            arguments = [
                ten_bits(one) if isinstance(one, torch.Tensor) and one.dtype == torch.float32 else one
                for one in arguments
            ]
        return operation(*arguments, **(named or {}))
