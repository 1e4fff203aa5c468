"""Operations computed in float64, against NumPy in float64; draws and what moves numbers only are left as they are."""

import numpy as np
import torch
from torch import nn

from lastbit.launch.forced.double import Double


def test_sums_and_products_are_the_rounded_exact_ones():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(64, 500, generator=generator), torch.randn(9, 500, generator=generator)
    weight.requires_grad_()
    double = Double()
    plain = (x @ weight.T).log_softmax(1).sum()
    double.on = True
    try:
        loss = (x @ weight.T).log_softmax(1)[:, 0].mean()
        loss.backward()
        norm = torch.zeros(9)
        norm.add_(weight.detach().square().sum(1), alpha=0.1)
        exact = nn.BatchNorm1d(500)
        exact(x)
        torch.manual_seed(3)
        drawn = torch.rand(5)
    finally:
        double.on = False
        torch.utils._python_dispatch._pop_mode()
    a, w = x.double().numpy(), weight.detach().double().numpy()
    logits = (a @ w.T).astype(np.float32).astype(np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    logs = (shifted - np.log(np.exp(shifted).sum(1, keepdims=True))).astype(np.float32)
    assert loss.dtype is weight.grad.dtype is torch.float32
    np.testing.assert_array_equal(loss.item(), np.float32(logs[:, 0].astype(np.float64).mean()))
    squares = (w**2).astype(np.float32).astype(np.float64).sum(1).astype(np.float32)
    np.testing.assert_array_equal(norm.numpy(), (0.1 * squares.astype(np.float64)).astype(np.float32))
    np.testing.assert_array_equal(exact.running_mean.numpy(), (0.1 * a.mean(0)).astype(np.float32))
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(5))
    assert plain.dtype is torch.float32
    assert double.facts() == {"not in double": {}}
