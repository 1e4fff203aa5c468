"""The linearised flow against a dense Hessian, finite differences, closed forms and the one-layer room."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn.linearisation import linearise_at
from lastbit.pde.cnn.problem import CnnProblem
from lastbit.pde.deep import DeepProblem, initial_kernels
from lastbit.pde.deep.network import deep_problem
from lastbit.pde.deep.operator import linearise, spectrum


def dense_hessian(problem, weights):
    """The slow twin: every entry of the Hessian, by functorch (reverse over reverse, which needs no forward mode)."""
    return torch.func.jacrev(torch.func.jacrev(lambda w: problem.loss(problem.split(w))))(weights)


def plain_pooled(problem, weights):
    """The network by index arithmetic: no convolution routine, one position and one tap at a time."""
    values = []
    for image in problem.images_BCHW.numpy():
        x = image
        for kernel in problem.split(weights):
            k = kernel.numpy()
            height, width = x.shape[1:]
            z = np.zeros((k.shape[0], height, width))
            for o, i, a, b in np.ndindex(k.shape):
                z[o] += k[o, i, a, b] * np.roll(x[i], (-a, -b), axis=(0, 1))
            x = z / (1 + np.exp(-problem.beta * z)) if problem.activation == "swish" else z
        values.append(x.mean() * (x[0].size if problem.pooling == "sum" else 1))
    return np.array(values)


def problem_of(activation="swish", widths=(2, 1), kernel=2, pooling="mean", seed=0, channels=1, size=5, beta=1.3):
    images = torch.randn(3, channels, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return DeepProblem.of(
        images, widths=widths, kernel=kernel, activation=activation, pooling=pooling, label=[0.0, 1.0, 0.3], beta=beta
    )


CASES = [
    {"activation": "swish", "widths": (1,), "kernel": 3},
    {"activation": "swish", "widths": (2, 1), "kernel": 2},
    {"activation": "swish", "widths": (2, 3, 2), "kernel": 2, "channels": 2},
    {"activation": "linear", "widths": (2, 2, 1), "kernel": 2},
    {"activation": "swish", "widths": (2, 1), "kernel": 3, "pooling": "sum"},
]


@pytest.mark.parametrize("case", CASES)
def test_network_is_what_its_formula_says(case):
    problem = problem_of(**case)
    weights = initial_kernels(problem, seed=3)
    pooled = problem.pooled(problem.split(weights))
    np.testing.assert_allclose(pooled, plain_pooled(problem, weights), rtol=1e-12)
    s = 1 / (1 + np.exp(-plain_pooled(problem, weights)))
    y = problem.labels_B.numpy()
    cross_entropy = -(y * np.log(s) + (1 - y) * np.log(1 - s)).mean()
    assert float(problem.loss(problem.split(weights))) == pytest.approx(cross_entropy, rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_products_blocks_and_spectrum_are_the_dense_hessians(case):
    problem = problem_of(**case)
    weights = initial_kernels(problem, seed=1)
    flow, dense = linearise(problem, weights), dense_hessian(problem, weights)
    columns = torch.stack([flow(e) for e in torch.eye(problem.parameters, dtype=torch.float64)], dim=1)
    scale = float(dense.abs().max())
    torch.testing.assert_close(columns, dense, rtol=0, atol=1e-12 * scale)

    values = torch.linalg.eigvalsh(dense)
    ends = spectrum(flow)
    assert ends.converged
    assert ends.lowest == pytest.approx(float(values[0]), abs=1e-9 * scale)
    assert ends.sharpness == pytest.approx(float(values[-1]), abs=1e-9 * scale)
    residual = (dense @ ends.sharpest_mode - ends.sharpness * ends.sharpest_mode).norm()
    assert float(residual) <= 1e-7 * abs(values).max()

    start = 0
    for layer, shape in enumerate(problem.kernel_shapes):
        block = spectrum(flow, layer)
        stop = start + math.prod(shape)
        piece = dense[start:stop, start:stop]
        vector = torch.randn(stop - start, dtype=torch.float64, generator=torch.Generator().manual_seed(layer))
        torch.testing.assert_close(flow.block(layer, vector), piece @ vector, rtol=0, atol=1e-11 * scale)
        inner = torch.linalg.eigvalsh(piece)
        assert block.sharpness == pytest.approx(float(inner[-1]), abs=1e-9 * scale)
        assert block.lowest == pytest.approx(float(inner[0]), abs=1e-9 * scale)
        start = stop


def test_products_are_finite_differences_of_the_gradient():
    problem = problem_of(widths=(2, 2, 1))
    weights = initial_kernels(problem, seed=2)
    v = torch.randn(problem.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step = 1e-5
    forward, back = (linearise(problem, weights + sign * step * v).gradient_P for sign in (1, -1))
    torch.testing.assert_close(linearise(problem, weights)(v), (forward - back) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_one_layer_is_the_one_layer_room(pooling):
    images = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    labels = [0.0, 1.0, 1.0]
    deep = DeepProblem.of(images, widths=(1,), kernel=3, label=labels, beta=0.7, pooling=pooling)
    one = CnnProblem.of(images, kernel=3, label=labels, beta=0.7, pooling=pooling, boundary="periodic")
    weights = initial_kernels(deep, seed=5)
    v = torch.randn(18, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    theirs = linearise_at(one, weights.view(1, 2, 3, 3))(v.view(1, 2, 3, 3)).ravel()
    torch.testing.assert_close(linearise(deep, weights)(v), theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_linear_networks_have_a_closed_form(depth):
    """One channel, linear: `p = m Π σ_l` with `m` the image's mean and `σ_l` the sum of kernel l.

    The Hessian acts on the span of the constant kernels alone, as n² times the L × L Hessian of the loss in the σ.
    """
    image = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.5
    problem = DeepProblem.of(image, widths=(1,) * depth, kernel=3, activation="linear", label=1.0)
    weights = initial_kernels(problem, seed=0)
    sums = torch.stack([kernel.sum() for kernel in problem.split(weights)])
    mean, p = float(image.mean()), float(image.mean() * sums.prod())
    s = 1 / (1 + math.exp(-p))
    reduced = np.zeros((depth, depth))
    for i in range(depth):
        for j in range(depth):
            others = [float(sums[k]) for k in range(depth)]
            first = mean * math.prod(others[:i] + others[i + 1 :])
            second = mean * math.prod(others[:j] + others[j + 1 :])
            mixed = 0.0 if i == j else mean * math.prod(x for k, x in enumerate(others) if k not in (i, j))
            reduced[i, j] = 9 * (s * (1 - s) * first * second + (s - 1) * mixed)
    values = np.linalg.eigvalsh(reduced)
    ends = spectrum(linearise(problem, weights))
    assert ends.sharpness == pytest.approx(values[-1], rel=1e-9)
    assert ends.lowest == pytest.approx(min(values[0], 0.0), rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 100))
def test_blocks_never_reach_beyond_the_whole(depth, width, kernel, seed):
    """Cauchy's interlacing theorem."""
    problem = problem_of(widths=(width,) * depth, kernel=kernel, seed=seed)
    flow = linearise(problem, initial_kernels(problem, seed=seed))
    whole = spectrum(flow)
    for layer in range(depth):
        block = spectrum(flow, layer)
        assert whole.lowest - 1e-9 <= block.lowest <= block.sharpness <= whole.sharpness + 1e-9


def test_unconverged_eigenvalues_are_said_to_be():
    problem = deep_problem(depth=3, width=4, image_size=8)
    flow = linearise(problem, initial_kernels(problem))
    assert not spectrum(flow, max_products=3).converged
    assert spectrum(flow).converged


def test_single_precision_follows_the_images():
    problem = problem_of()
    single = DeepProblem.of(problem.images_BCHW.float(), widths=(2, 1), kernel=2, label=[0.0, 1.0, 0.3], beta=1.3)
    weights = initial_kernels(single)
    assert weights.dtype == torch.float32
    flow = linearise(single, weights)
    assert flow(weights).dtype == torch.float32
    assert spectrum(flow, tolerance=1e-5).sharpness == pytest.approx(
        spectrum(linearise(problem, initial_kernels(problem))).sharpness, rel=1e-4
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_everything_follows_the_images_to_their_device():
    problem = problem_of(widths=(2, 2, 1))
    there = DeepProblem.of(problem.images_BCHW.cuda(), widths=(2, 2, 1), kernel=2, label=[0.0, 1.0, 0.3], beta=1.3)
    flow = linearise(there, initial_kernels(there))
    assert flow(flow.weights_P).is_cuda
    here, on_device = spectrum(linearise(problem, initial_kernels(problem))), spectrum(flow)
    assert on_device.sharpness == pytest.approx(here.sharpness, rel=1e-8)
    assert on_device.lowest == pytest.approx(here.lowest, rel=1e-8)


def test_layers_keep_their_start_when_layers_are_added():
    shallow, deep = (problem_of(widths=widths) for widths in ((2, 2), (2, 2, 1)))
    kept = shallow.parameters
    torch.testing.assert_close(initial_kernels(deep)[:kept], initial_kernels(shallow), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: problem_of(activation="relu"), "unknown activation 'relu'"),
        (lambda: problem_of(widths=()), "one layer or more"),
        (lambda: problem_of(widths=(2, 0)), "each at least 1"),
        (lambda: problem_of(kernel=6), "does not fit"),
        (lambda: problem_of(pooling="max"), "unknown pooling"),
        (lambda: problem_of().split(torch.zeros(3)), "give one vector of 16"),
        (lambda: initial_kernels(problem_of(), gain=0.0), "gain = 0.0"),
        (lambda: linearise(problem_of(), torch.full((16,), math.nan)), "not finite"),
        (lambda: deep_problem(depth=0), "depth = 0"),
        (lambda: deep_problem(image="nothing.png"), "neither a file nor built in"),
    ],
)
def test_bad_input_is_one_clear_line(action, message):
    with pytest.raises(LastbitError, match=message) as caught:
        action()
    assert "\n" not in str(caught.value)
