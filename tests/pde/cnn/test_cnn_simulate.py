import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lastbit.core.errors import LastbitError
from lastbit.pde import descent_scheme
from lastbit.pde.cnn import CnnProblem, checkerboard, find_window, simulate
from lastbit.pde.cnn.fixed_point import find_fixed_points
from lastbit.pde.cnn.images import white_noise
from lastbit.pde.cnn.linearisation import linearise_at
from lastbit.pde.cnn.phase import phase_diagram
from lastbit.pde.cnn.problem import initial_kernels
from lastbit.pde.cnn.simulation import mean_relative_l1
from lastbit.pde.cnn.status import FlowStatus, flow_status
from lastbit.pde.lanczos import extreme_eigenpairs


def reference():
    """The checkerboard of 256 x 256, the window of 32 x 32 and the start of the reference values."""
    kernel = torch.as_tensor(np.random.RandomState(7).randn(32, 32))
    return CnnProblem.of(checkerboard(256), kernel=32), kernel


STEPS = np.arange(401)
ONES = np.ones(401)
CHAOS = np.random.default_rng(0).uniform(0.5, 1.5, 401)
FLIPS = (-1.0) ** STEPS


def status_of(*, update=ONES, norm=ONES, back=True, loss=ONES, data_loss=None):
    """The status of one member from plain histories; everything else as in a cycle that stays."""
    histories = [torch.as_tensor(x, dtype=torch.float64)[:, None] for x in (norm, update[: len(norm) - 1], loss)]
    turned = torch.full(histories[1].shape, back)
    data = histories[2] if data_loss is None else torch.as_tensor(data_loss, dtype=torch.float64)[:, None]
    epsilon = float(np.finfo(float).eps)
    return flow_status(
        histories[0], histories[1], turned, histories[2], data, epsilon=epsilon, compute_epsilon=epsilon
    )[0]


@pytest.mark.parametrize(
    ("histories", "status"),
    [
        ({"update": 0.99**STEPS, "data_loss": 0.99**STEPS}, "converged"),
        # Flips that die out around the kernel zero.
        ({"update": 0.99**STEPS, "norm": 0.99**STEPS, "data_loss": FLIPS * 0.99**STEPS}, "converged"),
        # The same, hiding a small part that keeps bouncing.
        ({"update": 10 * 0.99**STEPS, "norm": 10 * 0.99**STEPS, "data_loss": CHAOS}, "restrained"),
        ({"update": 1e-13 * ONES}, "converged"),
        ({"norm": np.where(STEPS < 100, 1.0, 1e-15)}, "converged"),
        ({"update": 0.01 * ONES, "loss": -STEPS, "back": False}, "converged"),
        # A symmetric cycle approached from outside: the loss falls, but every update turns back.
        ({"update": 0.1 + 0.96**STEPS, "loss": 0.92**STEPS, "back": True}, "restrained"),
        ({}, "restrained"),
        ({"update": CHAOS, "norm": CHAOS, "loss": CHAOS}, "restrained"),
        # Algebraic approach to a cycle that stays.
        ({"update": 1 / (1 + STEPS) ** 0.5, "data_loss": FLIPS}, "restrained"),
        # Growth that saturates; growth that is only linear may still go anywhere.
        ({"norm": 30 - 29.9 * 0.99**STEPS}, "restrained"),
        ({"norm": 1 + STEPS}, "undecided"),
        # Growth in progress that has not come far.
        ({"norm": 1.005**STEPS}, "undecided"),
        # Updates and loss that fade, but no longer geometrically.
        ({"update": 1 / (1 + STEPS) ** 0.5, "data_loss": FLIPS / (1 + STEPS)}, "undecided"),
        ({"norm": 1.01**STEPS}, "diverged"),
        ({"norm": np.where(STEPS == 400, np.inf, 1.0)}, "diverged"),
        ({"norm": np.where(STEPS == 400, np.nan, 1.0)}, "diverged"),
        ({"norm": np.where(STEPS == 300, 2e6, 1.0)}, "diverged"),
        ({"norm": ONES[:6], "loss": ONES[:6]}, "undecided"),
        ({"norm": ONES[:32], "loss": ONES[:32]}, "undecided"),
        ({"norm": ONES[:33], "loss": ONES[:33]}, "restrained"),
        ({"norm": np.where(STEPS == 5, np.inf, 1.0)[:7], "loss": ONES[:7]}, "diverged"),
    ],
)
def test_status_rule_on_histories_one_can_read(histories, status):
    assert status_of(**histories) == status


def test_a_short_run_never_says_what_a_long_one_denies():
    """The oracle of a run that is too short is a run 60 times as long."""
    problem = CnnProblem.of(white_noise(20, seed=7), kernel=5, label=0.0)
    rates = torch.logspace(-1.7, 1.3, 12, dtype=torch.float64).repeat(6)
    decays = torch.logspace(-1, 1.3, 6, dtype=torch.float64).repeat_interleave(12)

    def after(steps):
        run = simulate(problem, lr=rates, weight_decay=decays, steps=steps, record_every=0)
        return [str(status) for status in run.status_M]

    long = after(2000)
    assert {"converged", "restrained", "diverged"} == set(long)
    for steps in (1, 8, 20, 32, 48, 100):
        short = after(steps)
        assert [one for one, end in zip(short, long, strict=True) if one not in (end, "undecided")] == []
        assert ("restrained" in short) is (steps >= 32)


def test_reference_converges_below_and_amplifies_one_bit_inside():
    problem, kernel = reference()
    run = simulate(
        problem, lr=[0.03, 0.07], weight_decay=20.0, steps=120, kernel=kernel, twin=3, record_every=1, shares=True
    )
    assert run.status_M == [FlowStatus.CONVERGED, FlowStatus.RESTRAINED]
    assert float(run.loss_TM[-1, 0]) == pytest.approx(0.2915, abs=5e-5)
    twin = run.twin_difference_TM
    assert twin[0].tolist() == [0.0, 0.0]
    assert (twin[1] > 0).any()
    assert (twin[1] <= 1e-15).all()
    assert float(twin[-1, 0]) <= 1e-10
    assert float(twin[-20:, 1].max()) >= 0.1
    assert torch.allclose(run.shares_TM3.sum(-1), torch.ones(()).double())


@pytest.mark.slow
def test_reference_statuses_from_rest_to_blow_up():
    problem, kernel = reference()
    rates = [0.01, 0.03, 0.05, 0.07, 0.09, 0.1, 0.101, 0.11, 0.13]
    run = simulate(problem, lr=rates, weight_decay=20.0, steps=400, kernel=kernel, twin=3)
    expected = ["converged"] * 2 + ["restrained"] * 4 + ["diverged"] * 3
    assert run.status_M == expected
    assert run.loss_TM[-1, :2].tolist() == pytest.approx([0.2915, 0.2915], abs=5e-5)
    twin = run.twin_difference_TM
    for i, rate in enumerate(rates):
        # At 0.05 a step cancels the start's unseen part (1 - 0.05 * 20 = 0), so the relative difference starts higher.
        first = run.twin_distance_TM[1, i] if rate == 0.05 else twin[1, i]
        assert float(first) <= 1e-15
        if expected[i] == "converged":
            assert float(twin[-1, i]) <= 1e-10
        elif rate < 0.1:
            assert float(twin[100:, i].max()) >= 0.1
            assert float(run.kernel_norm_TM[50:, i].max()) < 3
    # Marginal: what no patch sees keeps its size and flips its sign for ever.
    assert run.kernel_norm_TM[-1, 5] == pytest.approx(float(run.kernel_norm_TM[100, 5]), rel=1e-3)


@pytest.mark.slow
@pytest.mark.thorough
def test_reference_window_ends_where_theory_says():
    problem, kernel = reference()
    window = find_window(problem, weight_decay=20.0, kernel=kernel)
    assert window.theory_high == pytest.approx(0.1)
    assert window.blows_up_above == pytest.approx(0.1, rel=5e-3)
    assert window.converges_below == pytest.approx(window.theory_low, rel=5e-3)
    assert window.theory_low == pytest.approx(2 / window.sharpness)


@pytest.mark.parametrize(
    ("label", "scheme", "boundary"),
    [
        (1.0, "euler", "valid"),
        (0.0, "euler", "periodic"),
        pytest.param(1.0, "nesterov", "valid", marks=pytest.mark.slow),
    ],
)
def test_small_windows_end_where_theory_says(label, scheme, boundary):
    problem = CnnProblem.of(checkerboard(24), kernel=6, label=label, boundary=boundary)
    decay = 0.8
    window = find_window(problem, weight_decay=decay, scheme=descent_scheme(scheme), steps=600)
    assert window.blows_up_above == pytest.approx(window.theory_high, rel=5e-3)
    assert window.converges_below == pytest.approx(window.theory_low, rel=5e-3)
    assert window.theory_high == pytest.approx(descent_scheme(scheme).step_limit() / decay)


def test_a_rest_far_below_the_upper_end_is_found():
    problem = CnnProblem.of(checkerboard(20), kernel=5, label=0.0)
    window = find_window(problem, weight_decay=0.05, steps=400)
    assert window.theory_low < window.theory_high / 100
    assert window.converges_below == pytest.approx(window.theory_low, rel=1e-2)


def test_without_a_sharper_rest_there_is_no_window():
    """A concave data loss everywhere at rest: nothing is restrained, rest is left for a blow-up."""
    problem = CnnProblem.of(white_noise(20, seed=1), kernel=5)
    window = find_window(problem, weight_decay=0.4)
    assert window.theory_low == window.theory_high == pytest.approx(5.0)
    assert window.sharpness < 0.4
    assert window.converges_below == window.blows_up_above == pytest.approx(5.0, rel=0.03)


def test_with_heavy_ball_rest_and_restraint_coexist():
    """Near rest the lower end is the theory's; from afar the same step may never find the rest it could keep."""
    problem, scheme = CnnProblem.of(checkerboard(24), kernel=8), descent_scheme("heavy-ball")
    start = initial_kernels(problem)
    rest = find_fixed_points(problem, torch.tensor([1.5]), start)
    near = rest.kernel_MCnm[0] + 1e-2 * initial_kernels(problem, seeds=(3,))[0]
    window = find_window(problem, weight_decay=1.5, scheme=scheme, kernel=near)
    assert window.converges_below == pytest.approx(window.theory_low, rel=5e-3)
    assert window.blows_up_above == pytest.approx(window.theory_high, rel=5e-3)
    rate = 0.8 * window.theory_low
    assert rate < window.converges_below
    both = simulate(problem, lr=rate, weight_decay=1.5, scheme=scheme, steps=800, kernel=torch.stack([near, start[0]]))
    assert both.status_M == ["converged", "restrained"]


def test_a_window_without_unseen_directions_holds_at_least_to_its_bound():
    problem = CnnProblem.of(white_noise(24, channels=2), kernel=4)
    window = find_window(problem, weight_decay=0.1, steps=600)
    assert window.converges_below == pytest.approx(window.theory_low, rel=5e-3)
    assert window.theory_high * (1 - 5e-3) <= window.blows_up_above <= window.theory_high * 1.2


def test_fixed_points_are_at_rest_and_their_sharpness_is_the_hessians():
    problem = CnnProblem.of(white_noise(24, seed=3), kernel=4)
    decay = torch.tensor([0.05, 0.5], dtype=torch.float64)
    starts = initial_kernels(problem, seeds=(0, 0))
    found = find_fixed_points(problem, decay, starts)
    assert found.found_M.all()
    kernel = found.kernel_MCnm[0].clone().requires_grad_()

    def loss(k):
        z = torch.nn.functional.conv2d(problem.images_BCHW, k[None])
        p = torch.nn.functional.silu(z).mean((1, 2, 3))
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(p, problem.labels_B)
        return entropy + 0.05 / 2 * k.square().sum()

    assert float(torch.autograd.grad(loss(kernel), kernel)[0].norm()) < 1e-8
    exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, kernel.detach()).reshape(16, 16))
    assert float(found.sharpness_M[0]) == pytest.approx(float(exact[-1]), rel=1e-7)
    assert float(found.smallest_M[0]) == pytest.approx(float(exact[0]), rel=1e-7)
    with pytest.raises(LastbitError, match="a fixed point needs a positive one"):
        find_fixed_points(problem, torch.tensor([0.0]), starts[:1])


def test_recorded_sharpness_is_that_of_the_kernel_at_that_step():
    problem = CnnProblem.of(white_noise(20), kernel=3)
    run = simulate(problem, lr=[0.4, 0.8], weight_decay=[0.1, 0.2], steps=30, record_every=10, sharpness=True)
    J = linearise_at(problem, run.final_kernel_MCnm)
    ends = extreme_eigenpairs(J, (2, *problem.kernel_shape), like=problem.images_BCHW)
    assert run.step_T.tolist() == [0, 10, 20, 30]
    assert torch.allclose(run.sharpness_TM[-1], ends.high_M + torch.tensor([0.1, 0.2]), rtol=1e-4)


def test_members_are_what_they_are_alone():
    problem = CnnProblem.of(white_noise(16), kernel=4)
    starts = initial_kernels(problem, seeds=(0, 1, 2))
    rates, decays = [0.2, 3.0, 50.0], [0.1, 0.5, 0.1]
    for i, dtype in itertools.product(range(3), ["float64", "float32"]):
        together = simulate(problem, lr=rates, weight_decay=decays, steps=120, kernel=starts, dtype=dtype, twin=3)
        alone = simulate(problem, lr=rates[i], weight_decay=decays[i], steps=120, kernel=starts[i], dtype=dtype, twin=3)
        assert together.status_M[i] == alone.status_M[0]
        assert together.steps_M[i] == alone.steps_M[0]
        tolerance = 1e-10 if dtype == "float64" else 1e-4
        known = torch.isfinite(alone.loss_TM[:60, 0])
        assert torch.allclose(together.loss_TM[:60, i][known], alone.loss_TM[:60, 0][known], rtol=tolerance)


def test_members_that_settle_leave_early_and_keep_what_they_showed():
    problem = CnnProblem.of(checkerboard(16), kernel=4)
    run = simulate(problem, lr=[0.2, 0.9], weight_decay=1.0, steps=2000, record_every=100, twin=5, sharpness=True)
    assert run.status_M[0] == "converged"
    assert run.steps_M[0] < 2000
    for record in (run.loss_TM, run.kernel_norm_TM, run.twin_difference_TM, run.sharpness_TM):
        assert torch.isfinite(record[:, 0]).all()
        assert record[-1, 0] == record[-2, 0]


def test_overflow_is_a_status_and_never_a_warning():
    problem = CnnProblem.of(white_noise(12), kernel=3, label=0.0)
    for dtype in ("float64", "float32", "bfloat16"):
        run = simulate(
            problem, lr=[1e30, 1.0], weight_decay=[1e5, -3.0], steps=100, dtype=dtype, twin=3, sharpness=True
        )
        assert run.status_M == ["diverged", "diverged"]
        assert (run.steps_M < 100).any()


def test_low_precision_reaches_the_same_rest_to_its_own_digits():
    problem = CnnProblem.of(checkerboard(32), kernel=8)
    runs = [
        simulate(problem, lr=0.3, weight_decay=1.0, steps=200, dtype=dtype)
        for dtype in ("float64", "float32", "bfloat16")
    ]
    assert [run.status_M for run in runs] == [["converged"]] * 3
    norms = [run.final_kernel_MCnm.norm() for run in runs]
    assert float(norms[1]) == pytest.approx(float(norms[0]), rel=1e-5)
    assert float(norms[2]) == pytest.approx(float(norms[0]), rel=0.03)


def test_phase_diagram_is_split_by_its_curves():
    problem = CnnProblem.of(checkerboard(32), kernel=8)
    rates = torch.logspace(-1.3, 1.2, 14, dtype=torch.float64)
    diagram = phase_diagram(problem, lrs=rates, weight_decays=torch.logspace(-1, 1, 9), twin=3, steps=300)
    assert diagram.status_AE.shape == (9, 14)
    assert set(diagram.status_AE.flatten().tolist()) == {0, 1, 2}
    # Members within a hundredth of a curve may fall on either side; none of this grid is.
    assert diagram.agreement() >= 0.98
    low, high = diagram.theory_low_A[:, None], diagram.theory_high_A[:, None]
    assert (low <= high * (1 + 1e-9)).all()
    inside = (rates > 1.3 * low) & (rates < 0.95 * high)
    below = rates < 0.5 * low
    assert (diagram.twin_difference_AE[below] < 1e-6).all()
    assert float((diagram.twin_difference_AE[inside] > 1e-3).double().mean()) > 0.5
    assert torch.isnan(diagram.loss_AE[diagram.status_AE == 2]).all()
    unknown = replace(diagram, status_AE=torch.full_like(diagram.status_AE, 3))
    assert math.isnan(unknown.agreement())
    unknown.status_AE[0] = diagram.status_AE[0]
    assert unknown.agreement() >= 0.9
    undamped = phase_diagram(problem, lrs=[0.1], weight_decays=[-1.0, 0.5], steps=200)
    assert undamped.status_AE[0, 0] == 2
    assert torch.isnan(undamped.theory_high_A[0])


def test_relative_difference_of_zeros_is_zero():
    a, b = torch.tensor([[0.0, 1.0, -1.0]]), torch.tensor([[0.0, 3.0, 1.0]])
    assert float(mean_relative_l1(a, b)[0]) == pytest.approx((0 + 1 + 2) / 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.0}, "lr = 0: use a positive, finite learning rate"),
        ({"lr": float("nan")}, "lr = nan"),
        ({"lr": [0.1, 0.2], "weight_decay": [1.0, 2.0, 3.0]}, "2 values of lr for 3 members"),
        ({"weight_decay": float("inf")}, "weight_decay is not finite"),
        ({"steps": 0}, "steps = 0: use 1 or more"),
        ({"twin": 0}, "twin = 0: use a positive integer"),
        ({"record_every": -1}, "record_every = -1"),
        ({"kernel": torch.zeros(4, 4)}, r"kernel of shape \(1, 1, 4, 4\) does not fit: use \[1, 3, 3\]"),
        ({"kernel": torch.full((3, 3), torch.nan)}, "start kernel holds NaN"),
        ({"dtype": "half"}, "unknown dtype 'half'"),
    ],
)
def test_bad_simulations_are_refused_in_one_line(change, message):
    arguments = {"lr": 0.1, "weight_decay": 1.0, "steps": 5, **change}
    with pytest.raises(LastbitError, match=message) as caught:
        simulate(CnnProblem.of(white_noise(8), kernel=3), **arguments)
    assert "\n" not in str(caught.value)


def test_bad_windows_are_refused_in_one_line():
    problem = CnnProblem.of(white_noise(8), kernel=3)
    for decay in (0.0, -1.0, float("nan")):
        with pytest.raises(LastbitError, match="use a positive one; without damping nothing restrains the flow"):
            find_window(problem, weight_decay=decay)
    with pytest.raises(LastbitError, match=r"rtol = 0\.0001 with 800 steps"):
        find_window(problem, weight_decay=1.0, rtol=1e-4)
    with pytest.raises(LastbitError, match="at least one learning rate"):
        phase_diagram(problem, lrs=[], weight_decays=[1.0])


def test_progress_reaches_its_end():
    calls = []
    problem = CnnProblem.of(white_noise(8), kernel=3)
    for run in (
        lambda: simulate(problem, lr=0.1, weight_decay=1.0, steps=40, progress=lambda *at: calls.append(at)),
        lambda: find_window(problem, weight_decay=1.0, steps=400, progress=lambda *at: calls.append(at)),
    ):
        calls.clear()
        run()
        assert calls[-1][0] == calls[-1][1]
        assert all(a[0] <= b[0] for a, b in itertools.pairwise(calls))
