"""Fused second derivatives against torch's own, and by finite differences, in float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from lastbit.core.errors import LastbitError
from lastbit.curvature import HessianOperator
from lastbit.curvature.fused import fused_second_derivatives

FLOAT = torch.float64
FUSED_NODES = ("_ConvolutionBackward", "_BatchNormBackward", "_PointwiseBackward")


def fused(function):
    """The function, run with the fused operations; it fails if torch's own were taken."""

    def run(*inputs):
        with fused_second_derivatives():
            output = function(*inputs)
        assert output.grad_fn is None or output.grad_fn.name() in FUSED_NODES
        return output

    return run


def derivatives(function, inputs, seed=0):
    """Value, gradient and a Hessian-vector product of a random projection of the output."""
    generator = torch.Generator().manual_seed(seed)
    output = function(*inputs)
    weights = torch.randn(output.shape, generator=generator, dtype=FLOAT)
    # The square makes the arriving gradient depend on the inputs, as it does inside a network.
    loss = (weights * output + output.square()).sum()
    gradient = torch.autograd.grad(loss, inputs, create_graph=True)
    directions = [torch.randn(g.shape, generator=generator, dtype=FLOAT) for g in gradient]
    product = torch.autograd.grad(gradient, inputs, directions, retain_graph=True)
    return [output, *gradient, *product]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def random_inputs(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=FLOAT, requires_grad=True) for shape in shapes]


@settings(max_examples=40, deadline=None)
@given(
    dimensions=st.integers(1, 3),
    groups=st.integers(1, 2),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    biased=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_convolutions_have_torchs_derivatives(dimensions, groups, kernel, stride, padding, dilation, biased, seed):
    shapes = [(2, 2 * groups, *[5] * dimensions), (3 * groups, 2, *[kernel] * dimensions)]
    inputs = random_inputs(*shapes, *[(3 * groups,)] * biased, seed=seed)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[dimensions - 1]

    def function(x, w, b=None):
        return convolve(x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)

    assert_same(derivatives(fused(function), inputs, seed), derivatives(function, inputs, seed))


@settings(max_examples=40, deadline=None)
@given(
    examples=st.integers(2, 4),
    channels=st.integers(1, 3),
    side=st.integers(1, 3),
    affine=st.booleans(),
    dead=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_batch_norm_has_torchs_derivatives_and_statistics(examples, channels, side, affine, dead, seed):
    inputs = random_inputs((examples, channels, side, side), *[(channels,)] * (2 * affine), seed=seed)
    if affine and dead:
        inputs[1].data[0] = 0
    statistics = []

    def function(x, weight=None, bias=None):
        mean, var = torch.zeros(channels, dtype=FLOAT), torch.ones(channels, dtype=FLOAT)
        y = F.batch_norm(x, mean, var, weight, bias, training=True, momentum=0.2, eps=1e-3)
        statistics.append((mean, var))
        return y

    assert_same(derivatives(fused(function), inputs, seed), derivatives(function, inputs, seed))
    assert_same(*statistics)


@pytest.mark.parametrize("function", [F.silu, F.gelu])
def test_activations_have_torchs_derivatives_far_out_too(function):
    x = torch.cat([torch.linspace(-30, 30, 601, dtype=FLOAT), torch.tensor([-700.0, 700.0], dtype=FLOAT)])
    inputs = [x.requires_grad_()]
    assert_same(derivatives(fused(function), inputs), derivatives(function, inputs))


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (F.silu, [(7,)]),
        (F.gelu, [(7,)]),
        (lambda x, w, b: F.conv2d(x, w, b, padding=1, stride=2), [(2, 1, 3, 3), (2, 1, 2, 2), (2,)]),
        (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [(3, 2), (2,), (2,)]),
        (lambda x: F.batch_norm(x, None, None, training=True), [(4, 2)]),
    ],
)
def test_derivatives_are_those_of_finite_differences(function, shapes):
    inputs = random_inputs(*shapes)
    assert torch.autograd.gradcheck(fused(function), inputs)
    assert torch.autograd.gradgradcheck(fused(function), inputs)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_products_by_some_of_the_inputs_alone(wanted):
    inputs = random_inputs((2, 2, 4, 4), (2, 2, 3, 3), (2,))
    for i, tensor in enumerate(inputs):
        tensor.requires_grad_(i in wanted)
    chosen = [inputs[i] for i in wanted]

    def at(function):
        loss = function(*inputs).pow(3).sum()
        gradient = torch.autograd.grad(loss, chosen, create_graph=True)
        return torch.autograd.grad(gradient, chosen, [torch.ones_like(g) for g in gradient])

    assert_same(at(fused(F.conv2d)), at(F.conv2d))
    normal = [lambda x, w, b: F.batch_norm(x, None, None, w[:, 0, 0, 0], b, True)] * 2
    if 0 in wanted:
        assert_same(at(fused(normal[0])), at(normal[1]))


def test_what_is_not_covered_is_left_to_torch():
    image, kernel = torch.randn(1, 1, 4, 4, requires_grad=True), torch.randn(1, 1, 3, 3, requires_grad=True)
    with fused_second_derivatives():
        assert F.conv2d(image, kernel, padding="same").grad_fn.name() == "ConvolutionBackward0"
        assert F.conv2d(image[0], kernel).shape == (1, 2, 2)
        assert F.gelu(image, approximate="tanh").grad_fn.name() == "GeluBackward0"
        kept = image.clone()
        assert F.silu(kept, inplace=True) is kept
        assert F.batch_norm(image, torch.zeros(1), torch.ones(1)).grad_fn.name() == "NativeBatchNormBackward0"
        with pytest.raises(ValueError, match="more than 1 value"):
            F.batch_norm(torch.ones(1, 3), None, None, training=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert F.conv2d(image, kernel).dtype == torch.bfloat16
    assert F.silu(image).grad_fn.name() == "SiluBackward0"


@pytest.mark.parametrize("direction", [torch.ones(3, dtype=FLOAT), torch.ones(3, dtype=FLOAT, requires_grad=True)])
def test_a_third_derivative_is_refused_rather_than_wrong(direction):
    (x,) = random_inputs((3,))
    (first,) = torch.autograd.grad(fused(F.silu)(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="a third was requested"):
        torch.autograd.grad(first, x, direction, create_graph=True)


class Checkpointed(nn.Sequential):
    def forward(self, x):
        first, *rest = self
        return nn.Sequential(*rest)(checkpoint(first, x, use_reentrant=False))


class Mapped(nn.Sequential):
    def forward(self, x):
        return torch.vmap(lambda one: super(Mapped, self).forward(one[None])[0])(x)


class Penalised(nn.Sequential):
    def forward(self, x):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(super().forward(x).square().sum(), x, create_graph=True)
        return slope.flatten(1)[:, :3]


class LinearlyPenalised(nn.Sequential):
    def forward(self, x):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(super().forward(x).sum(), x, create_graph=True)
        return slope.flatten(1)[:, :3]


@pytest.mark.parametrize("kind", [Checkpointed, Mapped, Penalised, LinearlyPenalised])
def test_networks_that_need_torchs_own_derivatives_get_them(kind):
    torch.manual_seed(0)
    model = kind(nn.Sequential(nn.Conv2d(1, 2, 3), nn.SiLU()), nn.Flatten(), nn.Linear(8, 3)).to(FLOAT)
    batch = torch.randn(3, 1, 4, 4, dtype=FLOAT), torch.tensor([0, 1, 2])
    operator = HessianOperator(model, F.cross_entropy, batch)
    parameters = list(model.parameters())
    v = torch.randn(operator.size, dtype=FLOAT)
    unused = {"allow_unused": True, "materialize_grads": True}
    loss = F.cross_entropy(model(batch[0]), batch[1])
    gradient = torch.autograd.grad(loss, parameters, create_graph=True, **unused)
    expected = torch.autograd.grad(torch.cat([g.flatten() for g in gradient]) @ v, parameters, **unused)
    torch.testing.assert_close(operator @ v, torch.cat([part.flatten() for part in expected]), rtol=1e-9, atol=1e-12)


def test_a_network_that_cannot_run_says_why_once():
    with pytest.raises(LastbitError, match="pair"):
        HessianOperator(nn.Linear(2, 2), F.mse_loss, torch.ones(3, 2)).loss_and_gradient()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        HessianOperator(nn.Linear(2, 2), F.mse_loss, (torch.ones(3, 5), torch.ones(3, 2))).loss_and_gradient()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["convolution", "batch norm", "swish"])
def test_on_a_gpu_the_derivatives_are_those_of_the_cpu(name):
    function, shapes = {
        "convolution": (lambda x, w: F.conv2d(x, w, padding=1), [(2, 2, 5, 5), (3, 2, 3, 3)]),
        "batch norm": (lambda x, w: F.batch_norm(x, None, None, w, None, True), [(4, 2, 3, 3), (2,)]),
        "swish": (F.silu, [(100,)]),
    }[name]
    inputs = random_inputs(*shapes)
    there = [tensor.detach().to("cuda").requires_grad_() for tensor in inputs]

    def at(tensors):
        gradient = torch.autograd.grad(fused(function)(*tensors).pow(3).sum(), tensors, create_graph=True)
        return torch.autograd.grad([g.square().sum() for g in gradient], tensors)

    assert_same([tensor.cpu() for tensor in at(there)], at(inputs))
