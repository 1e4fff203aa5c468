"""Simulations against exact solutions, against the analysis they must confirm, and against overflow."""

import math

import numpy as np
import pytest
from operators import FourierMultiplier

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import numpy_stream
from lastbit.core.status import RunStatus
from lastbit.pde import make_scheme
from lastbit.pde.linear import Grid, LinearEquation, VonNeumann, analyse, laplacian, simulate
from lastbit.pde.linear.problems import PROBLEMS

# Every built-in with a finite limit, on grids whose own modes hold the critical wave. Advection–diffusion is near its
# long-wave limit, where growth is slow: a short grid and the limit of its own modes.
CASES = [
    ("heat", "euler", (16,), {}),
    ("heat", "euler", (8, 8), {}),
    ("heat", "euler", (4, 4, 4), {}),
    ("heat", "heavy-ball", (16,), {"momentum": 0.9}),
    ("heat", "nesterov", (16,), {"momentum": 0.9}),
    ("heat", "rk2", (16,), {}),
    ("heat", "rk4", (16,), {}),
    ("advection-upwind", "euler", (16,), {"speed": 2.0}),
    ("advection-upwind", "euler", (8, 8), {}),
    ("advection-centred", "rk4", (16,), {}),
    ("advection-centred", "leapfrog", (16,), {}),
    ("advection-lax-wendroff", "euler", (16,), {}),
    ("advection-diffusion", "euler", (16,), {"diffusivity": 0.8}),
    ("advection-diffusion", "euler", (8,), {"diffusivity": 0.45}),
    ("wave", "leapfrog", (16,), {}),
    ("wave", "leapfrog", (8, 8), {}),
    ("wave", "rk4", (16,), {}),
    ("biharmonic", "euler", (16,), {}),
    ("biharmonic", "euler", (8, 8), {}),
    ("anti-diffusion", "euler", (16,), {"decay": 5.0}),
]


def case(problem, scheme, shape, parameters):
    analysis = analyse(problem, scheme=scheme, dim=len(shape), **parameters)
    grid = Grid(shape=shape, spacing=(1.0,) * len(shape))
    return analysis, grid, analysis.von_neumann.max_stable_dt(grid).dt


def grows(analysis, grid, dt, steps):
    noise = np.random.default_rng(3).standard_normal(grid.shape)
    neumann = analysis.von_neumann
    simulation = simulate(neumann.equation, neumann.scheme, grid, noise, dt, steps, amplitude_limit=1e3)
    return simulation.ended_at is not None


@pytest.mark.parametrize(("problem", "scheme", "shape", "parameters"), CASES)
def test_simulation_holds_just_below_the_limit_and_grows_just_above(problem, scheme, shape, parameters):
    analysis, grid, limit = case(problem, scheme, shape, parameters)
    if not (problem == "advection-diffusion" and len(shape) == 1 and shape[0] == 8):
        assert limit == pytest.approx(analysis.max_stable_dt, rel=1e-9)
    # Long waves near advection–diffusion's limit grow by a thousandth per step, the others by a hundredth.
    steps = 8000 if shape == (8,) else 1500
    assert not grows(analysis, grid, 0.9955 * limit, steps)
    assert grows(analysis, grid, 1.0045 * limit, steps)


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "scheme", "shape", "parameters"), CASES)
def test_bisection_on_the_simulation_finds_the_limit(problem, scheme, shape, parameters):
    analysis, grid, limit = case(problem, scheme, shape, parameters)
    equation, time_scheme = analysis.von_neumann.equation, analysis.von_neumann.scheme
    steps = 20_000 if shape == (8,) else 6000
    noise = numpy_stream(0, "initial field").standard_normal(grid.shape)

    def grows_beyond_its_start(dt):
        run = simulate(equation, time_scheme, grid, noise, dt, steps, amplitude_limit=1e9)
        return run.ended_at is not None or np.nanmax(run.amplitudes) > 3 * np.nanmax(run.amplitudes[: steps // 10])

    low, high = 0.8 * limit, 1.3 * limit
    assert not grows_beyond_its_start(low)
    assert grows_beyond_its_start(high)
    while high - low > 2e-3 * low:
        middle = (low + high) / 2
        low, high = (low, middle) if grows_beyond_its_start(middle) else (middle, high)
    found = (low + high) / 2
    assert found == pytest.approx(limit, rel=5e-3)


@pytest.mark.parametrize("scheme", ["backward-euler", "crank-nicolson"])
@pytest.mark.parametrize("boundary", ["periodic", "dirichlet", "neumann"])
def test_implicit_schemes_hold_at_steps_far_beyond_the_explicit_limit(scheme, boundary):
    grid = Grid(shape=(16, 16), spacing=(1.0, 1.0), boundary=boundary)
    noise = np.random.default_rng(0).standard_normal(grid.shape)
    simulation = simulate(LinearEquation((laplacian(grid.spacing),)), make_scheme(scheme), grid, noise, 1e4, 50)
    assert simulation.status is RunStatus.OK
    assert np.linalg.norm(simulation.u) <= np.linalg.norm(noise)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("scheme", ["euler", "rk4", "heavy-ball", "backward-euler", "crank-nicolson", "leapfrog"])
def test_one_wave_is_multiplied_by_a_combination_of_the_roots(problem, scheme):
    """A wave's history obeys the stability polynomial at its own symbol: the simulation knows the stencil only."""
    if PROBLEMS[problem].scheme not in (None, scheme):
        return
    chosen = PROBLEMS[problem]
    equation = chosen.build((0.5,), chosen.parameters({}))
    neumann = VonNeumann(equation, make_scheme(scheme, time_order=chosen.time_order))
    grid = Grid(shape=(12,), spacing=(0.5,))
    omega, dt = 2 * math.pi * 2 / 6.0, 0.004
    wave = np.exp(1j * omega * grid.coordinates()[0])
    history = [(simulate(neumann.equation, neumann.scheme, grid, wave, dt, steps).u / wave)[0] for steps in range(1, 6)]
    roots = neumann.amplification_roots(omega, dt)
    characteristic = np.poly(roots)
    residual = np.convolve(history, characteristic, mode="valid")
    np.testing.assert_allclose(residual, 0, atol=1e-12 * np.abs(characteristic).sum() * max(np.abs(history)))


@pytest.mark.parametrize(
    ("scheme", "order"),
    [("euler", 1), ("rk2", 2), ("rk4", 4), ("crank-nicolson", 2), ("backward-euler", 1), ("leapfrog", 2)],
)
def test_converges_to_the_exact_solution_at_its_order(scheme, order):
    """cos(x) under the exact spectral heat equation (advection for leapfrog, which cannot bear decay)."""
    grid = Grid(shape=(8,), spacing=(2 * math.pi / 8,))
    rotates = scheme == "leapfrog"
    factor = 1j if rotates else -1.0
    symbol = (lambda omega: 1j * omega[..., 0]) if rotates else (lambda omega: -(omega[..., 0] ** 2))
    equation = LinearEquation((FourierMultiplier(symbol, grid.spacing),))
    wave = np.exp(1j * grid.coordinates()[0])

    def error(steps):
        u = simulate(equation, make_scheme(scheme), grid, wave, 1.0 / steps, steps).u
        return np.abs(u - np.exp(factor) * wave).max()

    assert math.log2(error(20) / error(40)) == pytest.approx(order, abs=0.15)


def test_wave_starts_with_its_velocity():
    grid = Grid(shape=(32,), spacing=(2 * math.pi / 32,))
    equation = LinearEquation((FourierMultiplier(lambda omega: -(omega**2).sum(axis=-1), grid.spacing),), time_order=2)
    x = grid.coordinates()[0]
    for scheme, tolerance in ((make_scheme("leapfrog", time_order=2), 1e-4), (make_scheme("rk4"), 1e-7)):
        u = simulate(equation, scheme, grid, np.zeros(32), 0.01, 100, v0=np.sin(x)).u
        np.testing.assert_allclose(u, np.sin(1.0) * np.sin(x), atol=tolerance)


def test_overflow_is_a_status_and_no_warning():
    grid = Grid(shape=(16,), spacing=(1.0,))
    noise = np.random.default_rng(0).standard_normal(16)
    heat = LinearEquation((laplacian((1.0,)),))
    simulation = simulate(heat, make_scheme("euler"), grid, noise, 5.0, 1000)
    assert simulation.status is RunStatus.DIVERGED
    ended = simulation.ended_at
    assert simulation.finite[:ended].all()
    assert not simulation.finite[ended:].any()
    assert np.isfinite(simulation.amplitudes[:ended]).all()
    implicit = LinearEquation((-1.0 * laplacian((1.0,)),))
    blown = simulate(implicit, make_scheme("crank-nicolson"), grid, noise, 0.499, 2000)
    assert blown.status is RunStatus.DIVERGED


def test_single_precision_is_kept_and_differs_by_its_rounding():
    grid = Grid(shape=(32,), spacing=(1.0,))
    noise = np.random.default_rng(0).standard_normal(32)
    heat = LinearEquation((laplacian((1.0,)),))
    for scheme in ("euler", "crank-nicolson"):
        double = simulate(heat, make_scheme(scheme), grid, noise, 0.4, 20)
        single = simulate(heat, make_scheme(scheme), grid, noise.astype(np.float32), 0.4, 20)
        assert single.u.dtype == np.float32
        assert 0 < np.abs(single.u - double.u).max() < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u0": np.zeros(5)}, "one value per grid point"),
        ({"u0": np.zeros(4, int)}, "floating-point"),
        ({"u0": np.array([0, np.nan, 0, 0])}, "NaN or infinity"),
        ({"dt": math.nan}, "positive finite"),
        ({"steps": 0}, "at least 1"),
        ({"v0": np.zeros(4)}, "first order in time"),
        ({"grid": Grid(shape=(4,), spacing=(2.0,))}, "use one"),
    ],
)
def test_bad_input_is_one_clear_line(change, message):
    arguments = {"grid": Grid(shape=(4,), spacing=(1.0,)), "u0": np.zeros(4), "dt": 0.1, "steps": 3, "v0": None}
    arguments |= change
    with pytest.raises(LastbitError, match=message):
        simulate(
            LinearEquation((laplacian((1.0,)),)),
            make_scheme("euler"),
            arguments["grid"],
            arguments["u0"],
            arguments["dt"],
            arguments["steps"],
            v0=arguments["v0"],
        )
