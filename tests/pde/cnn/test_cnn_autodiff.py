"""The plain network against the flow's own loss and linearisation, which share no code with it."""

import pytest
import torch

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn import CnnProblem
from lastbit.pde.cnn.activation import swish_curvature, swish_slope
from lastbit.pde.cnn.autodiff import activation_slopes, differentiated_hessian, network_loss, pooled_gradient
from lastbit.pde.cnn.flow import CnnFlow
from lastbit.pde.cnn.images import white_noise
from lastbit.pde.cnn.linearisation import linearise_at
from lastbit.pde.cnn.problem import initial_kernels


@pytest.mark.parametrize("boundary", ["valid", "periodic"])
def test_loss_gradient_and_hessian_are_those_of_the_flow(boundary):
    problem = CnnProblem.of(white_noise(8, channels=2), kernel=3, label=0.3, boundary=boundary)
    kernel = initial_kernels(problem)
    gradient, loss = CnnFlow(problem).gradient(kernel)
    assert float(network_loss(problem, kernel[0])) == pytest.approx(float(loss), rel=1e-12)
    basis = torch.eye(18, dtype=torch.float64).reshape(18, 2, 3, 3)
    expected = linearise_at(problem, kernel)(basis).reshape(18, 18)
    assert torch.allclose(differentiated_hessian(problem, kernel[0]), expected, atol=1e-12)
    # The loss depends on the kernel through the pooled value alone.
    along = pooled_gradient(problem, kernel[0])
    assert float(torch.cosine_similarity(gradient.flatten(), along, dim=0).abs()) == pytest.approx(1.0)


def test_slopes_are_those_of_the_swish():
    z = torch.linspace(-5, 5, 21, dtype=torch.float64)
    first, second = activation_slopes(z, 1.5)
    assert torch.allclose(first, swish_slope(z, 1.5), atol=1e-13)
    assert torch.allclose(second, swish_curvature(z, 1.5), atol=1e-13)


def test_a_kernel_too_large_for_a_matrix_is_refused():
    problem = CnnProblem.of(white_noise(66), kernel=65)
    with pytest.raises(LastbitError, match="use a kernel of at most 4096 entries"):
        differentiated_hessian(problem, initial_kernels(problem)[0])
