"""What every time scheme must do; one row in `SCHEMES` buys a scheme this whole suite."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.pde import DESCENTS, SCHEMES, TimeScheme, descent_scheme, make_scheme
from lastbit.pde.builtin_schemes import descent_direction
from lastbit.pde.linear import Grid, LinearEquation, VonNeumann, laplacian, simulate

# At steps this short every one-step scheme is accurate, and momentum moves by dt/(1 − momentum).
SMALL = 1e-4


@pytest.fixture(params=[(name, order) for name in SCHEMES for order in (1, 2) if order == 1 or name == "leapfrog"])
def scheme(request):
    name, order = request.param
    return make_scheme(name, time_order=order)


def spectral_radius(scheme, z):
    """Slow twin: NumPy's polynomial roots at one point."""
    return np.abs(np.roots(scheme.coefficients(np.array(z, dtype=complex))[::-1])).max()


def test_constant_solutions_are_kept(scheme):
    """Consistency of order 0: `Σ p_j(0) = 0`, so `g = 1` is a root at `dt = 0`."""
    assert sum(p[0] for p in scheme.polynomials) == pytest.approx(0, abs=1e-15)


def test_principal_root_follows_the_equation(scheme):
    """`g = 1 + c·z + …` with `c = 1/(1 − momentum)`; for `u'' = λu`, `g = 1 ± √z + …`."""
    z = -SMALL
    roots = np.roots(scheme.coefficients(np.array(z)).real[::-1])
    principal = roots[np.abs(roots - 1).argmin()]
    if scheme.time_order == 2:
        assert abs(principal.imag) == pytest.approx(math.sqrt(SMALL), rel=1e-3)
    else:
        scale = 1 / (1 - scheme.parameters.get("momentum", 0.0))
        assert (principal - 1).real / z == pytest.approx(scale, rel=20 * SMALL * scale**2)


@pytest.mark.parametrize("direction", [-1.0, 1j])
def test_stated_limits_are_where_a_root_leaves_the_disc(scheme, direction):
    """The closed forms on both axes against the companion's spectral radius on either side of them."""
    limit = scheme.real_limit if direction == -1.0 else scheme.imaginary_limit
    if limit is None:
        assert direction == 1j
        assert scheme.time_order == 2
        return
    if limit == 0:
        # Growth starts like a power of the step: visible at a moderate one, for every sign of the axis.
        assert spectral_radius(scheme, 0.1 * direction) > 1 + 1e-6
    elif math.isinf(limit):
        assert max(spectral_radius(scheme, r * direction) for r in np.geomspace(1e-3, 1e6, 50)) <= 1 + 1e-12
    else:
        assert max(spectral_radius(scheme, r * direction) for r in np.linspace(0.01, 0.9999, 60) * limit) <= 1 + 1e-9
        assert spectral_radius(scheme, 1.0001 * limit * direction) > 1 + 1e-6


def test_heat_or_wave_limit_is_found_and_simulated(scheme):
    grid = Grid(shape=(8,), spacing=(1.0,))
    equation = LinearEquation((laplacian(grid.spacing),), time_order=scheme.time_order)
    limit = VonNeumann(equation, scheme).max_stable_dt().dt
    expected = scheme.real_limit / 4 if scheme.time_order == 1 else math.sqrt(scheme.real_limit / 4)
    assert limit == pytest.approx(expected, rel=1e-10, abs=0)
    noise = np.random.default_rng(1).standard_normal(8)

    def ends(dt):
        return simulate(equation, scheme, grid, noise, dt, 4000, amplitude_limit=1e6).ended_at is not None

    if limit == 0:
        assert ends(0.05)
    elif math.isinf(limit):
        assert not ends(1e3)
    else:
        assert not ends(0.995 * limit)
        assert ends(1.005 * limit)


def test_first_values_follow_the_equation(scheme):
    """The starting polynomials must agree with the equation, or a multistep scheme starts a parasitic wave."""
    assert len(scheme.starting_polynomials()) == scheme.steps - 1
    for polynomial in scheme.starting_polynomials():
        assert polynomial[0] == 1.0
        assert polynomial[1] == pytest.approx(1.0 if scheme.time_order == 1 else 0.5)


def test_names_and_sources(scheme):
    assert scheme.name in SCHEMES
    assert scheme.source
    assert scheme.real_limit is not None


def one_step_map(scheme, h):
    """The matrix of (value, dt * velocity) -> (value, dt * velocity), from the update as code runs it."""
    columns = []
    for value, velocity in ((1.0, 0.0), (0.0, 1.0)):
        v, u = torch.tensor(value, dtype=torch.float64), torch.tensor(velocity, dtype=torch.float64)
        direction, u = descent_direction(scheme, h * v, u)
        columns.append([float(v - direction), float(u)])
    return np.array(columns).T


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(DESCENTS), st.floats(0, 0.99), st.floats(-1, 5))
def test_a_descent_is_its_stability_polynomial(name, momentum, h):
    """The update that flows and networks are stepped by has the roots that bounds are computed from."""
    scheme = descent_scheme(name, None if name == "euler" else momentum)
    matrix = one_step_map(scheme, h)
    found = np.abs(np.linalg.eigvals(matrix if name != "euler" else matrix[:1, :1])).max()
    # Near a double root an eigenvalue moves by the square root of the rounding.
    assert spectral_radius(scheme, -h) == pytest.approx(found, abs=1e-7)


@pytest.mark.parametrize("name", DESCENTS)
def test_a_descent_is_that_of_torch_optim(name):
    scheme = descent_scheme(name)
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=scheme.momentum, nesterov=name == "nesterov")
    v, u = parameter.detach().clone(), torch.zeros(2, dtype=torch.float64)
    for _ in range(20):
        optimizer.zero_grad()
        (1.5 * parameter.square().sum()).backward()
        optimizer.step()
        direction, u = descent_direction(scheme, 3 * v, u)
        v = v - 0.1 * direction
    assert torch.allclose(v, parameter.detach(), rtol=1e-13)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
def test_step_limits_are_the_closed_forms(momentum):
    assert descent_scheme().step_limit() == 2
    assert descent_scheme("heavy-ball", momentum).step_limit() == 2 + 2 * momentum
    assert descent_scheme("nesterov", momentum).step_limit() == (2 + 2 * momentum) / (1 + 2 * momentum)


def test_descents_that_cannot_be_are_refused():
    with pytest.raises(LastbitError, match=r"unknown descent scheme 'eular' \(did you mean 'euler'\?\)"):
        descent_scheme("eular")
    with pytest.raises(LastbitError, match="momentum 1"):
        descent_scheme("nesterov", 1.0)
    with pytest.raises(LastbitError, match="momentum nan"):
        descent_scheme("heavy_ball", float("nan"))
    with pytest.raises(LastbitError, match=r"Euler has no momentum, got 0\.9"):
        descent_scheme("euler", 0.9)
    with pytest.raises(LastbitError, match="no known limit on the real axis"):
        TimeScheme(name="mine", polynomials=((-1.0, -1.0), (1.0,))).step_limit()
