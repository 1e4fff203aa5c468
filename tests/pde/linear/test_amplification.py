"""What one step does to the waves, against the closed form of Euler's scheme for heat."""

import math

import numpy as np
import pytest

from lastbit.pde.linear import Grid, analyse, simulate
from lastbit.pde.linear.amplification import judge_step


@pytest.mark.parametrize(
    ("dt", "dx", "diffusivity"), [(0.3, 1.0, 1.0), (0.55, 1.0, 1.0), (0.02, 0.5, 7.0), (1.0, 2.0, 1.9)]
)
def test_heat_by_euler_is_its_closed_form(dt, dx, diffusivity):
    """Stable for D dt/dx² ≤ 1/2; a wave k is multiplied by |1 − 4 D dt/dx² sin²(k dx/2)|."""
    problem = analyse("heat", dx=dx, diffusivity=diffusivity).von_neumann
    for grid in (None, Grid(shape=(16,), spacing=(dx,))):
        found = judge_step(problem, dt, grid)
        ratio = diffusivity * dt / dx**2
        assert found.stable is (ratio <= 0.5)
        assert found.max_stable_dt == pytest.approx(dx**2 / (2 * diffusivity))
        assert found.frequency == pytest.approx((math.pi / dx,))
        k = found.frequency[0]
        assert found.amplification == pytest.approx(abs(1 - 4 * ratio * math.sin(k * dx / 2) ** 2))


def test_a_grid_is_judged_by_its_own_waves():
    """The shortest wave of 5 points is not π per point but 4π/5."""
    problem = analyse("heat").von_neumann
    limit = 2 / (4 * math.sin(2 * math.pi / 5) ** 2)
    for dt, stable in ((0.999 * limit, True), (1.001 * limit, False)):
        found = judge_step(problem, dt, Grid(shape=(5,), spacing=(1.0,)))
        assert found.stable is stable
        assert found.max_stable_dt == pytest.approx(limit)
        assert found.frequency == pytest.approx((4 * math.pi / 5,))


def test_waves_in_two_dimensions_are_named_by_positive_phases():
    found = judge_step(analyse("heat", dim=2).von_neumann, 0.3, Grid(shape=(8, 8), spacing=(1.0, 1.0)))
    assert found.frequency == pytest.approx((math.pi, math.pi))
    assert found.amplification == pytest.approx(abs(1 - 8 * 0.3))


def test_a_simulation_keeps_fields_and_knows_its_growth():
    problem = analyse("heat").von_neumann
    grid, spike = Grid(shape=(16,), spacing=(1.0,)), np.eye(1, 16, 8)[0]
    grown = simulate(problem.equation, problem.scheme, grid, spike, 0.6, 80, keep=[0, 40, 80])
    assert list(grown.fields) == [0, 40, 80]
    assert np.array_equal(grown.fields[0], spike)
    assert np.array_equal(grown.fields[80], grown.u)
    assert grown.blew_up
    assert grown.growth == pytest.approx(1.4, rel=5e-3)  # the neighbouring waves grow by 1.31
    calm = simulate(problem.equation, problem.scheme, grid, spike, 0.5, 80)
    assert not calm.blew_up
    gone = simulate(problem.equation, problem.scheme, grid, spike, 50.0, 400)
    assert gone.blew_up
    assert gone.growth == pytest.approx(199.0, rel=0.02)


def test_what_multi_step_schemes_amplify_for_a_while_is_no_blow_up():
    problem = analyse("heat", scheme="heavy-ball", momentum=0.9).von_neumann
    grid = Grid(shape=(32,), spacing=(1.0,))
    noise = np.random.default_rng(0).standard_normal(32)
    for steps in (5, 20, 200):
        assert not simulate(problem.equation, problem.scheme, grid, noise, 0.94, steps).blew_up
    assert simulate(problem.equation, problem.scheme, grid, noise, 1.0, 400).blew_up
