import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.pde import descent_scheme
from lastbit.pde.cnn import CnnProblem, checkerboard, simulate
from lastbit.pde.cnn.flow import CnnFlow
from lastbit.pde.cnn.images import white_noise
from lastbit.pde.cnn.problem import initial_kernels


def slow_step(image, kernel, lr, decay, k, *, beta=1.0, label=1.0):
    """One step of the flow by a plain loop that gathers the patches anew."""
    n, m = kernel.shape
    patches = np.stack(
        [
            image[x : x + n, y : y + m].ravel()
            for x in range(image.shape[0] - n + 1)
            for y in range(image.shape[1] - m + 1)
        ]
    )
    z = patches @ kernel.ravel()
    s = 1 / (1 + np.exp(-beta * z))
    p = (z * s).mean()
    a = 1 / (1 + np.exp(-p)) - label
    gradient = a * ((s + beta * z * s * (1 - s)) @ patches).reshape(n, m) / len(z)
    loss = np.log1p(np.exp(-p)) if label == 1 else np.log1p(np.exp(p))
    return kernel - (k * lr) * ((gradient + decay * kernel) / k), loss


@pytest.mark.parametrize("engine", ["fft", "patches"])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_steps_are_those_of_the_plain_loop(engine, label):
    image = white_noise(14, seed=2)[0]
    problem = CnnProblem.of(image, kernel=(4, 3), beta=1.7, label=label)
    flow = CnnFlow(problem, engine=engine)
    starts = initial_kernels(problem, seeds=(0, 1, 2))
    lr, decay, k = torch.tensor([0.1, 0.5, 1.0]), torch.tensor([0.0, 0.3, 1.1]), torch.tensor([1.0, 3.0, 5.0])
    state = flow.init(starts, lr, decay, k)
    slow = [start[0].numpy() for start in starts]
    for _ in range(10):
        state, loss = flow.step(state)
        rates = zip(lr.double().tolist(), decay.double().tolist(), k.tolist(), strict=True)
        pairs = [
            slow_step(image.numpy(), one, *rate, beta=1.7, label=label) for one, rate in zip(slow, rates, strict=True)
        ]
        slow = [pair[0] for pair in pairs]
        np.testing.assert_allclose(loss.numpy(), [pair[1] for pair in pairs], rtol=1e-12)
    np.testing.assert_allclose(state.kernel_MCnm[:, 0].numpy(), np.stack(slow), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("boundary", ["valid", "periodic"])
@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_gradient_is_that_of_automatic_differentiation(boundary, pooling):
    images = torch.stack([white_noise(9, channels=2, seed=s) for s in range(3)])
    problem = CnnProblem.of(images, kernel=3, label=[1.0, 0.0, 0.3], beta=0.8, boundary=boundary, pooling=pooling)
    flow = CnnFlow(problem)
    kernel = 0.1 * initial_kernels(problem, seeds=(4, 5))
    gradient, loss = flow.gradient(kernel)
    padded = torch.nn.functional.pad(images, (0, 2, 0, 2), mode="circular") if boundary == "periodic" else images
    for i in range(2):
        leaf = kernel[i].clone().requires_grad_()
        z = torch.nn.functional.conv2d(padded, leaf[None])[:, 0]
        p = torch.nn.functional.silu(0.8 * z).div(0.8).sum((-2, -1)) * problem.pool
        expected = torch.nn.functional.binary_cross_entropy_with_logits(p, problem.labels_B)
        assert float(loss[i]) == pytest.approx(float(expected.detach()), rel=1e-12)
        assert torch.allclose(gradient[i], torch.autograd.grad(expected, leaf)[0], atol=1e-12)


def test_chunks_change_rounding_at_most():
    problem = CnnProblem.of(white_noise(12), kernel=4)
    flow = CnnFlow(problem, engine="fft")
    kernel = initial_kernels(problem, seeds=range(7))
    whole = flow.gradient(kernel)
    flow._chunk = 1
    for left, right in zip(whole, flow.gradient(kernel), strict=True):
        assert torch.allclose(left, right, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("scheme", ["heavy-ball", "nesterov"])
def test_momentum_is_that_of_torch_optim(scheme):
    problem = CnnProblem.of(white_noise(12, seed=3), kernel=4)
    flow = CnnFlow(problem, scheme=descent_scheme(scheme, 0.9))
    start = initial_kernels(problem)
    one = torch.ones(1)
    state = flow.init(start, 0.2 * one.double(), 0.05 * one.double(), one)
    parameter = torch.nn.Parameter(start.clone())
    nesterov = scheme == "nesterov"
    optimizer = torch.optim.SGD([parameter], lr=0.2, momentum=0.9, nesterov=nesterov, weight_decay=0.05)
    for _ in range(30):
        parameter.grad = flow.gradient(parameter.detach())[0]
        optimizer.step()
        state, _ = flow.step(state)
    assert torch.allclose(state.kernel_MCnm, parameter.detach(), rtol=1e-10, atol=1e-13)


def test_powers_of_two_are_the_control_and_odd_factors_land():
    problem = CnnProblem.of(white_noise(12, seed=3), kernel=4)
    start = initial_kernels(problem)
    for dtype in ("float64", "float32", "bfloat16"):
        control = simulate(problem, lr=0.3, weight_decay=0.1, steps=40, kernel=start, twin=4, dtype=dtype)
        assert not control.twin_difference_TM.any()
        odd = simulate(problem, lr=0.3, weight_decay=0.1, steps=20, kernel=start, twin=3, dtype=dtype)
        assert odd.twin_difference_TM[0] == 0
        landed = odd.twin_difference_TM[odd.twin_difference_TM > 0]
        assert len(landed)
        assert float(landed[0]) < 16 * torch.finfo(getattr(torch, dtype)).eps


def test_bfloat16_rounds_the_state_and_the_update_and_nothing_else():
    problem = CnnProblem.of(white_noise(12, seed=3), kernel=4)
    flow = CnnFlow(problem, dtype="bfloat16")
    start = initial_kernels(problem).bfloat16()
    ones = torch.ones(1)
    state, _ = flow.step(flow.init(start, 0.3 * ones, 0.1 * ones, 3 * ones))
    gradient, _ = CnnFlow(problem, dtype="float32").gradient(start.float())

    def rounded(x):
        return x.to(torch.bfloat16).float()

    lr, decay = float(torch.tensor(0.3).bfloat16()), float(torch.tensor(0.1).bfloat16())
    full = rounded(rounded(gradient) + rounded(decay * start.float()))
    expected = rounded(start.float() - rounded(rounded(torch.tensor(3 * lr)) * rounded(full / 3)))
    assert state.kernel_MCnm.dtype == torch.bfloat16
    assert torch.equal(state.kernel_MCnm.float(), expected)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.05, 0.999), st.floats(0.1, 30), st.floats(0.1, 10))
def test_below_the_upper_end_the_flow_stays_within_its_proven_bound(seed, fraction, decay, scale):
    """`|K'| <= |1 - dt alpha| |K| + dt G` with `G` the norm of the pooled patches times the largest slope."""
    problem = CnnProblem.of(white_noise(10, seed=seed), kernel=3, label=float(seed % 2))
    lr = fraction * 2 / decay
    start = initial_kernels(problem, seeds=(seed,), scale=scale)
    run = simulate(problem, lr=lr, weight_decay=decay, steps=200, kernel=start)
    bound = 1.0999 * float(problem.pool * problem.images_BCHW.abs().sum()) * 3
    reach = max(float(start.norm()), lr * bound / (1 - abs(1 - lr * decay)))
    assert float(run.kernel_norm_TM.max()) <= reach * (1 + 1e-9)
    # Close to the end the transient itself takes long; a run of a few of its time constants must not look unbounded.
    if (1 - abs(1 - lr * decay)) * 200 > 4:
        assert run.status_M[0] != "diverged"


def test_unknown_formats_are_refused():
    with pytest.raises(LastbitError, match="unknown dtype 'float16'"):
        CnnFlow(CnnProblem.of(checkerboard(4), kernel=2), dtype="float16")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_flow_runs_where_its_problem_lives():
    problem = CnnProblem.of(white_noise(32), kernel=5)
    there = problem.to(device="cuda")
    here = simulate(problem, lr=[0.3, 0.5], weight_decay=0.1, steps=50)
    away = simulate(there, lr=[0.3, 0.5], weight_decay=0.1, steps=50, kernel=initial_kernels(there)[0])
    assert away.final_kernel_MCnm.device.type == "cuda"
    assert torch.allclose(away.final_kernel_MCnm.cpu(), here.final_kernel_MCnm, atol=1e-8)
