"""What every time scheme must do; one row in `SCHEMES` buys a scheme this whole suite."""

import math

import numpy as np
import pytest

from lastbit.pde.linear import SCHEMES, Grid, LinearEquation, VonNeumann, laplacian, make_scheme, simulate

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
