"""The root condition against planted roots and against its slow twin: companion eigenvalues and bisection."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.pde import TimeScheme, make_scheme
from lastbit.pde.linear import LinearEquation, Stencil, VonNeumann
from lastbit.pde.linear.root_condition import Condition, first_negative, root_conditions


def point_equation(symbol):
    """An 'equation' on one frequency: two stencil points give it any complex symbol at ω = π/2."""
    return LinearEquation((Stencil(((0,), (1,)), (symbol.real, symbol.imag), (1.0,)),))


def limits_at(symbol, scheme):
    return VonNeumann(point_equation(symbol), scheme)._limits_at(np.array([[np.pi / 2]]))[0]


def slow_limit(symbol, scheme, largest=50.0, points=600):
    """First step on a fine scan at which a companion eigenvalue leaves the disc, then bisection."""

    def radius(dt):
        return np.abs(np.roots(scheme.coefficients(np.array(dt * symbol))[::-1])).max()

    scan = np.geomspace(1e-3, largest, points)
    out = [dt for dt in scan if radius(dt) > 1 + 1e-9]
    if not out:
        return np.inf
    if out[0] == scan[0]:
        return 0.0
    low, high = out[0] * (scan[0] / scan[1]), out[0]
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if radius(middle) > 1 + 1e-9 else (middle, high)
    return low


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.floats(0.05, 2.0), st.floats(0, 6.28)), min_size=1, max_size=4),
    st.floats(0, 6.28),
)
def test_conditions_tell_planted_roots_apart(planted, turn):
    roots = np.array([r * np.exp(1j * phi) for r, phi in planted])
    if (np.abs(np.abs(roots) - 1) < 1e-2).any():
        return  # too close to the circle for numbers without a step
    coefficients = np.poly(roots)[::-1] * np.exp(1j * turn)
    conditions = root_conditions(coefficients[None, :, None].astype(complex))
    inside = not any(condition.is_broken(np.ones(1))[0] for condition in conditions)
    assert inside == (np.abs(roots) < 1).all()


def test_mirrored_roots_on_and_off_the_circle():
    on_circle = np.poly(np.exp(1j * np.array([0.3, 1.0, 2.5])))[::-1]
    mirrored_off = np.poly([0.5 * np.exp(0.4j), 2.0 * np.exp(0.4j)])[::-1]
    off_with_unit_product = np.poly([0.5, 2.0j])[::-1]
    for coefficients, expected in [(on_circle, True), (mirrored_off, False), (off_with_unit_product, False)]:
        conditions = root_conditions(coefficients[None, :, None].astype(complex))
        assert (not any(condition.is_broken(np.ones(1))[0] for condition in conditions)) == expected


ADAMS_BASHFORTH = {
    # (scheme, limit on the negative real axis): Hairer and Wanner, Solving ODEs II, table V.1.1.
    "ab2": (((0.0, 1 / 2), (-1.0, -3 / 2), (1.0,)), 1.0),
    "ab3": (((0.0, -5 / 12), (0.0, 16 / 12), (-1.0, -23 / 12), (1.0,)), 6 / 11),
    "ab4": (((0.0, 9 / 24), (0.0, -37 / 24), (0.0, 59 / 24), (-1.0, -55 / 24), (1.0,)), 3 / 10),
}
BDF = {
    "bdf2": ((1 / 3,), (-4 / 3,), (1.0, -2 / 3)),
    "bdf3": ((-2 / 11,), (9 / 11,), (-18 / 11,), (1.0, -6 / 11)),
}


@pytest.mark.parametrize("name", ADAMS_BASHFORTH)
def test_user_schemes_reach_the_published_real_limits(name):
    polynomials, limit = ADAMS_BASHFORTH[name]
    assert limits_at(complex(-1.0), TimeScheme(name=name, polynomials=polynomials)) == pytest.approx(limit, rel=1e-10)


def test_backward_differentiation_is_stable_for_decay_and_bdf2_for_oscillation_too():
    bdf2, bdf3 = (TimeScheme(name=name, polynomials=p) for name, p in BDF.items())
    assert limits_at(complex(-1.0), bdf2) == np.inf
    assert limits_at(complex(-1.0), bdf3) == np.inf
    assert limits_at(1j, bdf2) == np.inf
    # BDF3 is not A-stable: it amplifies slow oscillations at every small step, by O(dt⁴).
    assert limits_at(1j, bdf3) == 0


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from(["euler", "heavy-ball", "nesterov", "rk2", "rk4", "ab2", "ab3", "ab4", "bdf2", "bdf3"]),
    st.floats(2.0, 4.28),
)
def test_limit_equals_its_slow_twin(name, angle):
    """Decaying oscillations, away from the imaginary axis where a twin in plain numbers cannot see the growth."""
    symbol = complex(np.exp(1j * angle))
    if name in ADAMS_BASHFORTH:
        scheme = TimeScheme(name=name, polynomials=ADAMS_BASHFORTH[name][0])
    elif name in BDF:
        scheme = TimeScheme(name=name, polynomials=BDF[name])
    else:
        scheme = make_scheme(name)
    fast, slow = limits_at(symbol, scheme), slow_limit(symbol, scheme)
    if np.isinf(fast) or fast > 50:
        assert np.isinf(slow)
    else:
        # The twin's own threshold of 1e−9 on |g| moves its answer by about 1e−9 over the slope of |g|.
        assert fast == pytest.approx(slow, rel=1e-6)


def test_first_negative_finds_the_first_of_several_sign_changes_and_ignores_a_touch():
    # (1 − r)(2 − r)(3 − r): negative on (1, 2) and beyond 3; (1 − r)²(4 − r): touches at 1, negative beyond 4.
    several = np.poly([1, 2, 3])[::-1] * -1
    touch = np.poly([1, 1, 4])[::-1] * -1
    falls, never, zero = np.array([0, -1.0, 1, 0]), np.array([0, 1.0, 1, 0]), np.zeros(4)
    polynomials = np.stack([several, touch, falls, never, zero])
    found = first_negative(Condition(polynomials, 1e-15 * np.abs(polynomials)))
    np.testing.assert_allclose(found, [1, 4, 0, np.inf, np.inf], rtol=1e-12)
