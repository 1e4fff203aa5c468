import itertools

import numpy as np
import pytest
import torch

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn import CnnProblem
from lastbit.pde.cnn.activation import inflection, regime_shares, swish, swish_curvature, swish_slope
from lastbit.pde.cnn.correlation import PatchCorrelator
from lastbit.pde.cnn.linearisation import linearise_at, linearise_regime


def loss_of(problem, kernel):
    """Mean cross-entropy of the network, written with PyTorch's own convolution."""
    images, (n, m) = problem.images_BCHW, problem.window
    if problem.boundary == "periodic":
        images = torch.nn.functional.pad(images, (0, m - 1, 0, n - 1), mode="circular")
    z = torch.nn.functional.conv2d(images, kernel[None])[:, 0]
    p = (z * torch.sigmoid(problem.beta * z)).sum((-2, -1)) * problem.pool
    return torch.nn.functional.binary_cross_entropy_with_logits(p, problem.labels_B)


def dense(operator, shape):
    """The matrix of an operator of one member."""
    size = int(np.prod(shape))
    columns = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    return torch.stack([operator(column[None])[0].flatten() for column in columns], dim=1)


def hessian(problem, kernel):
    size = kernel.numel()
    return torch.autograd.functional.hessian(lambda k: loss_of(problem, k), kernel).reshape(size, size)


def random_problem(seed=0, *, batch=2, channels=2, size=(9, 8), window=(3, 2), labels=(0.0, 1.0), shift=0.0, **more):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, channels, *size, generator=generator, dtype=torch.float64) + shift
    return CnnProblem.of(images, kernel=window, label=list(labels)[:batch], **more), generator


@pytest.mark.parametrize(
    ("boundary", "pooling", "beta"), list(itertools.product(["valid", "periodic"], ["mean", "sum"], [0.5, 3.0]))
)
def test_local_linearisation_is_the_hessian(boundary, pooling, beta):
    problem, generator = random_problem(boundary=boundary, pooling=pooling, beta=beta)
    kernels = 0.3 * torch.randn(3, *problem.kernel_shape, generator=generator, dtype=torch.float64)
    for kernel in kernels:
        one = linearise_at(problem, kernel[None])
        expected = hessian(problem, kernel)
        assert torch.allclose(dense(one, problem.kernel_shape), expected, atol=1e-11 * float(expected.abs().max() + 1))


def test_local_linearisation_is_the_difference_quotient_of_the_gradient():
    problem, generator = random_problem(seed=1)
    kernel, v = torch.randn(2, *problem.kernel_shape, generator=generator, dtype=torch.float64)

    def gradient(k):
        k = k.clone().requires_grad_()
        return torch.autograd.grad(loss_of(problem, k), k)[0]

    quotient = (gradient(kernel + 1e-5 * v) - gradient(kernel - 1e-5 * v)) / 2e-5
    # Central differences at 1e-5: truncation 1e-10, rounding 1e-11.
    assert torch.allclose(linearise_at(problem, kernel[None])(v[None])[0], quotient, atol=1e-8)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_transitioning_regime_with_its_gauss_newton_term_is_the_hessian_at_zero(label):
    problem, _ = random_problem(labels=(label, label), shift=0.7)
    zero = torch.zeros(problem.kernel_shape, dtype=torch.float64)
    exact = dense(linearise_regime(problem, "transitioning", gauss_newton=True), problem.kernel_shape)
    assert torch.allclose(exact, hessian(problem, zero), atol=1e-13)


def test_transitioning_regime_holds_the_output_slope():
    """The usual form is the derivative of `(a/2)(mean I + beta mean (K*I) I)` with `a` constant."""
    problem, _ = random_problem(batch=1, labels=(1.0,), shift=0.7, beta=2.0)
    A = PatchCorrelator(problem)._patches_PX
    expected = -0.5 * 2.0 / 2 * problem.pool * A @ A.T
    found = dense(linearise_regime(problem, "transitioning"), problem.kernel_shape)
    assert torch.allclose(found, expected, atol=1e-12)
    exact = dense(linearise_regime(problem, "transitioning", gauss_newton=True), problem.kernel_shape)
    mean = problem.pool * A.sum(1)
    # s'(0) r'(0)^2 = 1/4 * 1/4: the term the usual form leaves out.
    assert torch.allclose(exact - found, torch.outer(mean, mean) / 16, atol=1e-12)


def test_transitioning_forms_agree_where_the_image_has_no_mean():
    problem, _ = random_problem(batch=1, labels=(1.0,), boundary="periodic")
    images = problem.images_BCHW - problem.images_BCHW.mean((-2, -1), keepdim=True)
    centred = CnnProblem.of(images, kernel=problem.window, boundary="periodic")
    v = torch.ones(1, *centred.kernel_shape, dtype=torch.float64)
    both = [linearise_regime(centred, "transitioning", gauss_newton=keep)(v) for keep in (False, True)]
    assert torch.allclose(*both, atol=1e-14)


def test_activated_regime_is_a_quarter_not_an_eighth_of_the_mean_squared():
    """With beta large, all positions can be activated while the pooled value, and with it s, stays at its start."""
    problem, generator = random_problem(batch=1, labels=(1.0,), shift=5.0, beta=1e7)
    kernel = 1e-5 * (1 + 0.01 * torch.randn(problem.kernel_shape, generator=generator, dtype=torch.float64))
    z = PatchCorrelator(problem).forward(kernel[None])
    assert regime_shares(z, problem.beta)[0].tolist() == [1.0, 0.0, 0.0]
    found = dense(linearise_regime(problem, "activated"), problem.kernel_shape)
    expected = hessian(problem, kernel)
    assert torch.allclose(found, expected, rtol=1e-4)
    mean = problem.pool * PatchCorrelator(problem)._patches_PX.sum(1)
    assert torch.allclose(found, torch.outer(mean, mean) / 4)
    assert not torch.allclose(expected, torch.outer(mean, mean) / 8, rtol=0.1)


def test_not_activated_regime_is_pure_damping():
    problem, _ = random_problem(batch=1, labels=(0.0,), shift=5.0, beta=1e3)
    kernel = -torch.ones(problem.kernel_shape, dtype=torch.float64)
    assert regime_shares(PatchCorrelator(problem).forward(kernel[None]), problem.beta)[0].tolist() == [0.0, 0.0, 1.0]
    assert not hessian(problem, kernel).any()
    assert not linearise_regime(problem, "not_activated")(kernel[None]).any()
    with pytest.raises(LastbitError, match="unknown regime 'dead'"):
        linearise_regime(problem, "dead")


@pytest.mark.parametrize("beta", [0.3, 1.0, 20.0])
def test_swish_derivatives_are_those_of_automatic_differentiation(beta):
    z = torch.linspace(-40, 40, 801, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(swish(z, beta).sum(), z, create_graph=True)[0]
    curvature = torch.autograd.grad(slope.sum(), z)[0]
    assert torch.allclose(swish_slope(z, beta), slope, atol=1e-12)
    assert torch.allclose(swish_curvature(z, beta), curvature, atol=1e-12 * beta)
    assert torch.isfinite(swish_curvature(torch.tensor([-torch.inf, torch.inf], dtype=torch.float64), beta)).all()


def test_regimes_part_where_the_swish_turns_concave():
    edge = inflection()
    assert edge == pytest.approx(2.399357, abs=1e-6)
    t = torch.tensor([edge * 0.999, edge * 1.001, -edge * 0.999, -edge * 1.001], dtype=torch.float64)
    assert (swish_curvature(t, 1.0) > 0).tolist() == [True, False, True, False]
    shares = regime_shares((t / 4).reshape(1, 1, 2, 2), 4.0)
    assert shares.tolist() == [[0.25, 0.5, 0.25]]
    slopes = swish_slope(torch.linspace(-10, 10, 20001, dtype=torch.float64), 1.0)
    # The bound on |r'| that the restraint of the flow rests on.
    assert slopes.max() == pytest.approx(1.0998, abs=1e-4)
    assert slopes.min() == pytest.approx(-0.0998, abs=1e-4)
