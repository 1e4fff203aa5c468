import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from lastbit.core.errors import LastbitError
from lastbit.pde import DESCENTS, descent_scheme
from lastbit.pde.cnn import CnnProblem, checkerboard
from lastbit.pde.cnn.activation import REGIMES
from lastbit.pde.cnn.correlation import PatchCorrelator
from lastbit.pde.cnn.images import white_noise
from lastbit.pde.cnn.linear_flow import simulated_bounds
from lastbit.pde.cnn.linearisation import linearise_regime
from lastbit.pde.cnn.regimes import full_support_spectrum, regime_stability
from lastbit.pde.linear.root_condition import amplification_roots


def natural(channels):
    photo = torch.as_tensor(load_sample_image("china.jpg")[100:140, 200:240].copy()).double() / 127.5 - 1
    return photo.permute(2, 0, 1)[:channels]


IMAGES = {
    "checkerboard": lambda: checkerboard(40),
    "noise": lambda: white_noise(40, seed=1),
    "natural": lambda: natural(1),
    "colour": lambda: natural(3),
    "batch": lambda: torch.stack([white_noise(24, seed=s) for s in range(3)]),
}


def test_reference_values_of_the_checkerboard():
    problem = CnnProblem.of(checkerboard(256), kernel=32, pooling="sum")
    found = regime_stability(problem, dt=1e-8)["transitioning"]
    assert found["full_support"].alpha_min == pytest.approx(65536**2 / 4, rel=1e-12)
    assert found["full_support"].alpha_min == pytest.approx(1.0737e9, rel=1e-4)
    # 225^2 positions of a window of 32^2 entries, all of size one.
    assert found["windowed"].alpha_min == pytest.approx(1024 * 50625 / 4, rel=1e-10)
    assert found["windowed"].alpha_max == pytest.approx(2.0e8, rel=1e-10)
    assert found["windowed"].spectrum.converged
    # With full support no weight decay is stable at this step: the ends have crossed.
    assert found["full_support"].alpha_max < found["full_support"].alpha_min


@pytest.mark.parametrize(
    ("image", "label", "boundary"), list(itertools.product(IMAGES, [0.0, 1.0], ["valid", "periodic"]))
)
def test_windowed_bounds_are_those_of_the_dense_matrix(image, label, boundary):
    problem = CnnProblem.of(IMAGES[image](), kernel=5, label=label, beta=1.5, boundary=boundary)
    A_PX = PatchCorrelator(problem)._patches_PX
    matrix = (0.5 - label) * 1.5 / 2 * problem.pool / len(problem.labels_B) * A_PX @ A_PX.T
    exact = torch.linalg.eigvalsh(matrix)
    bounds = regime_stability(problem, dt=0.01, tolerance=1e-9)["transitioning"]["windowed"]
    scale = float(exact.abs().max())
    assert bounds.alpha_min == pytest.approx(-float(exact[0]), abs=1e-9 * scale)
    assert bounds.alpha_max == pytest.approx(200 - float(exact[-1]), rel=1e-9)
    # The sign of a decides which end of the symbol binds where.
    largest, smallest = float(torch.linalg.eigvalsh(A_PX @ A_PX.T)[-1]), float(torch.linalg.eigvalsh(A_PX @ A_PX.T)[0])
    share = 1.5 / 4 * problem.pool / len(problem.labels_B)
    ends = (share * largest, 200 + share * smallest) if label == 1 else (-share * smallest, 200 - share * largest)
    assert (bounds.alpha_min, bounds.alpha_max) == pytest.approx(ends, abs=1e-9 * scale, rel=1e-9)


@pytest.mark.parametrize(
    ("regime", "channels", "batch", "gauss_newton"), list(itertools.product(REGIMES, [1, 3], [1, 2], [False, True]))
)
def test_full_support_symbol_is_the_spectrum_of_the_periodic_operator(regime, channels, batch, gauss_newton):
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(batch, channels, 6, 5, generator=generator, dtype=torch.float64) + 0.3
    problem = CnnProblem.of(images, kernel=(6, 5), boundary="periodic", label=[1.0, 0.2][:batch], beta=1.3)
    J = linearise_regime(problem, regime, gauss_newton=gauss_newton)
    size = int(np.prod(problem.kernel_shape))
    matrix = J(torch.eye(size, dtype=torch.float64).reshape(size, *problem.kernel_shape)).reshape(size, size)
    exact = torch.linalg.eigvalsh(matrix)
    found = full_support_spectrum(problem, regime, gauss_newton=gauss_newton)
    assert (found.low, found.high) == pytest.approx((float(exact[0]), float(exact[-1])), abs=1e-13)
    if regime == "transitioning" and channels == batch == 1 and not gauss_newton:
        power = torch.fft.fft2(images[0, 0]).abs().square() / 30
        assert found.low == pytest.approx(-1.3 / 4 * float(power.max()))
        assert found.high == pytest.approx(-1.3 / 4 * float(power.min()))


@pytest.mark.parametrize(
    ("image", "label", "scheme"),
    [
        *itertools.product(["checkerboard", "noise", "natural", "colour"], [0.0, 1.0], ["euler"]),
        ("noise", 1.0, "heavy-ball"),
        pytest.param("colour", 0.0, "nesterov", marks=pytest.mark.slow),
    ],
)
def test_simulated_thresholds_are_the_bounds_to_half_a_percent(image, label, scheme):
    problem = CnnProblem.of(IMAGES[image](), kernel=4, label=label)
    J = linearise_regime(problem, "transitioning")
    size = int(np.prod(problem.kernel_shape))
    matrix = J(torch.eye(size, dtype=torch.float64).reshape(size, *problem.kernel_shape)).reshape(size, size)
    values, vectors = torch.linalg.eigh(matrix)
    dt = 0.7 / float(values.abs().max())
    bounds = regime_stability(problem, dt=dt, scheme=descent_scheme(scheme))["transitioning"]["windowed"]
    low, high = vectors[:, 0].reshape(problem.kernel_shape), vectors[:, -1].reshape(problem.kernel_shape)
    found = simulated_bounds(J, low, high, dt=dt, scheme=descent_scheme(scheme), steps=200)
    # An end that is zero (a null space) has no relative width: there half a percent of 1 / dt is meant.
    floor = 5e-3 / dt * 1e-2
    assert found.alpha_min == pytest.approx(bounds.alpha_min, rel=5e-3, abs=floor)
    assert found.alpha_max == pytest.approx(bounds.alpha_max, rel=5e-3)


@pytest.mark.parametrize("scheme", DESCENTS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_max_stable_dt_is_where_the_fastest_mode_meets_the_limit(scheme, label):
    problem = CnnProblem.of(white_noise(20), kernel=3, label=label)
    step = descent_scheme(scheme)
    for decay in (0.0, 0.4, 3.0):
        for by_support in regime_stability(problem, dt=0.1, weight_decay=decay, scheme=step).values():
            for bounds in by_support.values():
                rates = np.array([bounds.spectrum.low + decay, bounds.spectrum.high + decay])
                if bounds.max_stable_dt in (0.0, float("inf")):
                    worst = float(rates[0]) if bounds.max_stable_dt == 0 else float(rates[1])
                    assert (worst < 0) == (bounds.max_stable_dt == 0)
                    continue
                inside, outside = (
                    np.abs(amplification_roots(step.coefficients(-dt * bounds.max_stable_dt * rates))).max()
                    for dt in (1 - 1e-9, 1 + 1e-6)
                )
                assert float(inside) <= 1 + 1e-12
                assert float(outside) > 1


def test_max_stable_dt_without_weight_decay_is_where_the_ends_meet():
    problem = CnnProblem.of(white_noise(20), kernel=3)
    bounds = regime_stability(problem, dt=0.1)["transitioning"]["windowed"]
    at = regime_stability(problem, dt=bounds.max_stable_dt)["transitioning"]["windowed"]
    assert at.alpha_min == pytest.approx(at.alpha_max, rel=1e-9)


def test_bounds_say_what_is_stable():
    problem = CnnProblem.of(checkerboard(32), kernel=4, pooling="sum")
    limit = 0.25 * 16 * 29**2
    below, inside, above = (
        regime_stability(problem, dt=1e-4, weight_decay=decay)["transitioning"]["windowed"]
        for decay in (0.99 * limit, 1.01 * limit, 2.01e4)
    )
    assert [bounds.stable for bounds in (below, inside, above)] == [False, True, False]
    assert below.max_stable_dt == 0.0
    damped = regime_stability(problem, dt=1e-4, weight_decay=0.0)["not_activated"]["windowed"]
    assert damped.stable
    assert damped.max_stable_dt == float("inf")


def test_negative_weight_decay_is_anti_damping_not_an_error():
    problem = CnnProblem.of(white_noise(16), kernel=3)
    bounds = regime_stability(problem, dt=0.1, weight_decay=-1.0)["not_activated"]["windowed"]
    assert bounds.stable is False
    assert bounds.max_stable_dt == 0.0


@pytest.mark.parametrize("dt", [0.0, -1.0, float("nan"), float("inf")])
def test_steps_that_cannot_be_are_refused(dt):
    with pytest.raises(LastbitError, match=f"dt = {dt}: use a positive, finite step"):
        regime_stability(CnnProblem.of(white_noise(8), kernel=2), dt=dt)


def test_weight_decay_must_be_finite():
    with pytest.raises(LastbitError, match="weight decay = nan"):
        regime_stability(CnnProblem.of(white_noise(8), kernel=2), dt=0.1, weight_decay=float("nan"))
