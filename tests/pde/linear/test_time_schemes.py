"""Schemes against hand-written steps, PyTorch's own optimizer, and their companion matrices."""

import numpy as np
import pytest
import torch

from lastbit.core.errors import LastbitError
from lastbit.pde import TimeScheme, make_scheme
from lastbit.pde.linear import Grid, LinearEquation, Stencil, simulate
from lastbit.pde.linear.region import stability_region
from lastbit.pde.linear.root_condition import amplification_roots

EIGENVALUE = -1.3
POINT = Grid(shape=(1,), spacing=(1.0,))
DECAY = LinearEquation((Stencil(((0,),), (EIGENVALUE,), (1.0,)),))


def hand_written_runge_kutta(order, u, dt):
    def slope(v):
        return EIGENVALUE * v

    if order == 2:
        return u + dt * slope(u + dt / 2 * slope(u))
    k1 = slope(u)
    k2 = slope(u + dt / 2 * k1)
    k3 = slope(u + dt / 2 * k2)
    k4 = slope(u + dt * k3)
    return u + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


@pytest.mark.parametrize("order", [2, 4])
def test_runge_kutta_polynomials_are_the_methods(order):
    u = 1.0
    for steps in range(1, 6):
        u = hand_written_runge_kutta(order, u, 0.4)
        simulation = simulate(DECAY, make_scheme(f"rk{order}"), POINT, np.ones(1), 0.4, steps)
        assert simulation.u[0] == pytest.approx(u, rel=1e-14)


@pytest.mark.parametrize(("name", "is_nesterov"), [("heavy-ball", False), ("nesterov", True)])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_schemes_are_torch_sgd(name, is_nesterov, momentum):
    """PyTorch keeps the points Nesterov looks ahead to; they obey the scheme's recurrence as its iterates do."""
    lr, steps = 0.3, 12
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    nesterov = is_nesterov and momentum > 0
    optimizer = torch.optim.SGD([weight], lr=lr, momentum=momentum, nesterov=nesterov)
    seen = [1.0]
    for _ in range(steps):
        optimizer.zero_grad()
        (-EIGENVALUE / 2 * weight**2).sum().backward()
        optimizer.step()
        seen.append(weight.item())
    # Both sequences obey the scheme's recurrence Σ p_j(z) u^{n+j} = 0, whatever they start from.
    coefficients = make_scheme(name, momentum=momentum).coefficients(np.array(lr * EIGENVALUE)).real
    values = np.array(seen)
    residual = coefficients[0] * values[1:-2] + coefficients[1] * values[2:-1] + coefficients[2] * values[3:]
    np.testing.assert_allclose(residual, 0, atol=1e-14)
    if not nesterov:
        simulation = simulate(DECAY, make_scheme(name, momentum=momentum), POINT, np.ones(1), lr, steps)
        assert simulation.u[0] == pytest.approx(seen[-1], rel=1e-12)


def test_companion_and_polynomial_describe_the_same_scheme():
    beta = 0.7
    companion = TimeScheme.from_companion("mine", [[[1, beta], [0, beta]], [[1, 0], [1, 0]]])
    heavy_ball = make_scheme("heavy-ball", momentum=beta)
    z = np.array([-0.3, -3.9, 0.2 + 1j])
    np.testing.assert_allclose(companion.coefficients(z), heavy_ball.coefficients(z), atol=1e-14)


def test_characteristic_polynomial_of_a_three_part_state():
    generator = np.random.default_rng(5)
    matrices = np.stack([np.diag([1.0, 0.5, -0.2]), 0.1 * generator.standard_normal((3, 3))])
    scheme = TimeScheme.from_companion("three", matrices)
    for z in (-0.4, 0.7, 2.0):
        expected = np.poly(matrices[0] + z * matrices[1])[::-1]
        np.testing.assert_allclose(scheme.coefficients(np.array(z)).real, expected, atol=1e-13)


def test_amplification_roots_are_the_roots():
    generator = np.random.default_rng(2)
    coefficients = generator.standard_normal((20, 4)) + 1j * generator.standard_normal((20, 4))
    roots = amplification_roots(coefficients)
    values = sum(coefficients[:, j, None] * roots**j for j in range(4))
    np.testing.assert_allclose(np.abs(values), 0, atol=1e-10)
    assert np.isinf(amplification_roots(np.array([1.0, 2.0, 0.0]))).all()


def test_stability_region_of_euler_is_the_disc():
    x, y = np.linspace(-2.5, 0.5, 61), np.linspace(-1.5, 1.5, 61)
    inside = stability_region(make_scheme("euler"), x, y) <= 1
    disc = np.hypot(x[None, :] + 1, y[:, None]) <= 1
    clear = np.abs(np.hypot(x[None, :] + 1, y[:, None]) - 1) > 1e-9
    assert (inside == disc)[clear].all()


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: TimeScheme(name="bad", polynomials=((-2.0, -1.0), (1.0,))), "unstable by construction: its root 2"),
        (lambda: TimeScheme(name="bad", polynomials=((1.0,), (-2.0, -1.0), (1.0,))), "repeated more than 1×"),
        (lambda: TimeScheme(name="bad", polynomials=((1.0,),)), "at least two"),
        (lambda: TimeScheme(name="bad", polynomials=((1.0,), (0.0, 1.0))), "not determined"),
        (lambda: TimeScheme(name="bad", polynomials=((np.nan,), (1.0,))), "finite"),
        (lambda: TimeScheme(name="bad", polynomials=((-1.0,), (1.0,)), time_order=3), "time order"),
        (lambda: TimeScheme(name="bad", polynomials=((-1.0,), (1.0,)), start=((1.0,),)), "needs 0 starting"),
        (lambda: TimeScheme.from_companion("bad", np.zeros((2, 3))), r"\(degree \+ 1, k, k\)"),
        (lambda: make_scheme("eular"), "did you mean 'euler'"),
        (lambda: make_scheme("heavy-ball", momentum=1.0), "momentum 1.0"),
        (lambda: make_scheme("heavy-ball", beta=0.9), "choose one of momentum"),
        (lambda: make_scheme("euler", momentum=0.9), "takes no parameter"),
    ],
)
def test_bad_schemes_are_refused_in_one_line(action, message):
    with pytest.raises(LastbitError, match=message) as caught:
        action()
    assert "\n" not in str(caught.value)
