"""Largest stable steps: closed forms, textbook numbers, amplification factors, and the cases that rounding hides."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from operators import FourierMultiplier

from lastbit.core.errors import LastbitError
from lastbit.pde import SCHEMES, TimeScheme, make_scheme
from lastbit.pde.linear import Grid, LinearEquation, Stencil, VonNeumann, analyse, derivative, laplacian
from lastbit.pde.linear.problems import PROBLEMS

# LeVeque, Finite Difference Methods for ODEs and PDEs (2007), chapters 9–10; Strikwerda (2004), chapters 1–6;
# Hindmarsh, Gresho and Griffiths (1984) for advection–diffusion. Speeds, diffusivities and dx as given.
TEXTBOOK = [
    ("heat", "euler", 1, 0.1, {}, 0.1**2 / 2),
    ("heat", "euler", 2, 0.1, {}, 0.1**2 / 4),
    ("heat", "euler", 3, 0.1, {"diffusivity": 2.0}, 0.1**2 / 12),
    ("heat", "rk4", 1, 1.0, {}, 2.785293563405282 / 4),
    ("heat", "crank-nicolson", 2, 1.0, {}, math.inf),
    ("heat", "backward-euler", 3, 1.0, {}, math.inf),
    ("heat", "leapfrog", 1, 1.0, {}, 0.0),
    ("heat", "heavy-ball", 1, 1.0, {"momentum": 0.5}, 3 / 4),
    ("heat", "nesterov", 1, 1.0, {"momentum": 0.5}, 1.5 / 4),
    ("heat", "euler", 1, 1.0, {"accuracy": 4}, 2 / (16 / 3)),
    ("advection-upwind", "euler", 1, 0.2, {"speed": 2.0}, 0.1),
    ("advection-upwind", "euler", 3, 0.3, {}, 0.1),
    ("advection-centred", "euler", 1, 1.0, {}, 0.0),
    ("advection-centred", "rk2", 1, 1.0, {}, 0.0),
    ("advection-centred", "rk4", 1, 0.5, {"speed": 2.0}, 2 * math.sqrt(2) * 0.25),
    ("advection-centred", "leapfrog", 1, 0.5, {"speed": 2.0}, 0.25),
    ("advection-lax-wendroff", "euler", 1, 0.5, {"speed": 2.0}, 0.25),
    ("advection-diffusion", "euler", 1, 1.0, {"diffusivity": 0.2, "speed": 1.0}, 0.4),
    ("advection-diffusion", "euler", 1, 1.0, {"diffusivity": 0.8, "speed": 1.0}, 0.625),
    ("advection-diffusion", "euler", 2, 1.0, {"diffusivity": 0.2, "speed": 1.0}, 0.2),
    ("wave", "leapfrog", 1, 0.5, {"speed": 2.0}, 0.25),
    ("wave", "leapfrog", 2, 1.0, {}, 1 / math.sqrt(2)),
    ("wave", "leapfrog", 3, 1.0, {}, 1 / math.sqrt(3)),
    ("wave", "rk4", 1, 1.0, {}, math.sqrt(2)),
    ("wave", "euler", 1, 1.0, {}, 0.0),
    ("wave", "crank-nicolson", 1, 1.0, {}, math.inf),
    ("biharmonic", "euler", 1, 0.5, {}, 0.5**4 / 8),
    ("biharmonic", "euler", 2, 1.0, {}, 1 / 32),
    ("anti-diffusion", "euler", 1, 1.0, {"decay": 5.0}, 0.4),
    ("anti-diffusion", "euler", 1, 1.0, {"decay": 3.99}, 0.0),
    ("anti-diffusion", "euler", 2, 1.0, {"decay": 8.0}, 0.25),
]


@pytest.mark.parametrize(("problem", "scheme", "dim", "dx", "parameters", "limit"), TEXTBOOK)
def test_textbook_limit(problem, scheme, dim, dx, parameters, limit):
    analysis = analyse(problem, dx=dx, scheme=scheme, dim=dim, **parameters)
    found = analysis.von_neumann.max_stable_dt().dt
    assert found == pytest.approx(limit, rel=1e-10, abs=0)
    assert analysis.closed_form == pytest.approx(limit, rel=1e-14, abs=0)
    assert analysis.max_stable_dt == analysis.closed_form


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_closed_form_is_what_the_root_condition_finds(problem, scheme):
    if PROBLEMS[problem].scheme not in (None, scheme):
        with pytest.raises(LastbitError, match="brings its own step"):
            analyse(problem, scheme=scheme)
        return
    analysis = analyse(problem, scheme=scheme, dx=0.7)
    found = analysis.von_neumann.max_stable_dt().dt
    if analysis.closed_form is None:
        assert analysis.max_stable_dt == found
    else:
        assert analysis.closed_form == pytest.approx(found, rel=1e-10, abs=0)


def test_growth_far_below_rounding_is_still_instability():
    """Forward Euler on centred advection grows by dt²/2 per step: 5e−19 at dt = 1e−9."""
    ftcs = analyse("advection-centred").von_neumann
    assert ftcs.amplification_factor(np.pi / 2, 1e-9) == 1.0
    assert not ftcs.is_stable(1e-9)
    # RK2 grows by dt⁴/8.
    assert not analyse("advection-centred", scheme="rk2").von_neumann.is_stable(1e-5)


@pytest.mark.parametrize(
    ("problem", "scheme"),
    [("heat", "euler"), ("heat", "nesterov"), ("advection-centred", "rk4"), ("advection-lax-wendroff", "euler")],
)
def test_is_stable_changes_at_the_limit_and_holds_there(problem, scheme):
    analysis = analyse(problem, scheme=scheme)
    limit = analysis.max_stable_dt
    assert analysis.attained
    assert analysis.von_neumann.is_stable(limit * (1 - 1e-9))
    assert analysis.von_neumann.is_stable(limit)
    assert not analysis.von_neumann.is_stable(limit * (1 + 1e-9))


@pytest.mark.parametrize("problem", ["wave", "advection-centred"])
def test_repeated_roots_on_the_circle_are_unstable(problem):
    """Leapfrog at its limit: a double root at −1 (or i), linear growth. Just below it, two simple ones."""
    analysis = analyse(problem, scheme="leapfrog")
    assert not analysis.attained
    assert "linearly" in analysis.note
    assert not analysis.von_neumann.is_stable(analysis.max_stable_dt)
    assert analysis.von_neumann.is_stable(analysis.max_stable_dt * (1 - 1e-9))


def test_wave_equation_keeps_its_own_double_root():
    """At ω = 0 the solution is a + bt: no defect of a scheme."""
    wave = analyse("wave", scheme="leapfrog").von_neumann
    np.testing.assert_allclose(wave.amplification_roots(0.0, 0.5), [1, 1], atol=1e-7)
    assert wave.is_stable(0.5)


def upwind(order, hyperdiffusion=0.0):
    """`-du/dx` by a one-sided stencil of this order (order 2 is fully backward), minus `hyperdiffusion · ∂⁴u`."""
    offsets, weights = {
        1: ((-1, 0), (-1.0, 1.0)),
        2: ((-2, -1, 0), (1 / 2, -2.0, 3 / 2)),
        3: ((-2, -1, 0, 1), (1 / 6, -1.0, 1 / 2, 1 / 3)),
        5: ((-3, -2, -1, 0, 1, 2), (-1 / 30, 1 / 4, -1.0, 1 / 3, 1 / 2, -1 / 20)),
    }[order]
    fourth = Stencil(tuple((s,) for s in range(-2, 3)), (1.0, -4.0, 6.0, -4.0, 1.0), (1.0,))
    return (-1.0) * Stencil(tuple((s,) for s in offsets), weights, (1.0,)) + (-hyperdiffusion) * fourth


def sixth_order_diffusion():
    """Centred advection damped by the sixth derivative: RK2 and AB2 need `dt³ ∝ ω²` there, a fractional power."""
    sixth = Stencil(tuple((s,) for s in range(-3, 4)), (1.0, -6.0, 15.0, -20.0, 15.0, -6.0, 1.0), (1.0,))
    return sixth + (-1.0) * derivative(1, spacing=(1.0,))


AB2 = TimeScheme(name="AB2", polynomials=((0.0, 0.5), (-1.0, -1.5), (1.0,)))
STABLE_FOR_NO_STEP = {
    "Euler, third-order upwind": (upwind(3), make_scheme("euler")),
    "Euler, fifth-order upwind": (upwind(5), make_scheme("euler")),
    "Euler, second-order backward": (upwind(2), make_scheme("euler")),
    "Euler, second-order backward with hyperdiffusion": (upwind(2, 0.1), make_scheme("euler")),
    "heavy ball, second-order backward with hyperdiffusion": (upwind(2, 1e-3), make_scheme("heavy-ball")),
    "AB2, fifth-order upwind": (upwind(5), AB2),
    "AB2, sixth-order diffusion": (sixth_order_diffusion(), AB2),
    "RK2, sixth-order diffusion": (sixth_order_diffusion(), make_scheme("rk2")),
}


@pytest.mark.parametrize("name", STABLE_FOR_NO_STEP)
def test_a_limit_that_falls_to_nothing_for_long_waves_is_0(name):
    """The growth of a wave, `dt^a ω^a`, falls more slowly with ω than its damping: every step loses waves long enough.

    By hand for Euler: `|1 + dt λ|² − 1 = dt² ω² − 2 dt d ω⁴ + … > 0` for every `ω < √(dt / 2d)`.
    """
    operator, scheme = STABLE_FOR_NO_STEP[name]
    analysis = VonNeumann(LinearEquation((operator,)), scheme)
    limit = analysis.max_stable_dt()
    assert (limit.dt, limit.attained) == (0, False)
    assert "no step is stable" in limit.note
    assert not any(analysis.is_stable(dt) for dt in (1e-2, 1e-7, 1e-12))


@pytest.mark.parametrize("diffusivity", [1e-3, 1e-6, 1e-8])
def test_a_small_limit_that_long_waves_set_is_not_taken_for_0(diffusivity):
    """With some diffusion the limit of Euler is `2 κ/c²` as ω → 0, however small beside that of the waves evaluated."""
    operator = upwind(3) + diffusivity * laplacian((1.0,))
    limit = VonNeumann(LinearEquation((operator,)), make_scheme("euler")).max_stable_dt()
    assert limit.dt == pytest.approx(2 * diffusivity, rel=1e-3)


@pytest.mark.parametrize(("order", "limit"), [(1, 1.2563726), (3, 1.6258886), (5, 1.4349800)])
def test_limits_that_long_waves_do_not_set_stay(order, limit):
    """RK3 on upwind stencils; the limits are those of a scan over 20,001 waves by companion eigenvalues."""
    rk3 = TimeScheme(name="RK3", polynomials=((-1.0, -1.0, -1 / 2, -1 / 6), (1.0,)))
    equation = LinearEquation((upwind(order),))
    assert VonNeumann(equation, rk3).max_stable_dt().dt == pytest.approx(limit, rel=1e-4)


def test_a_closed_form_below_rounding_does_not_contradict_itself():
    found = analyse("advection-diffusion", diffusivity=1e-15)
    assert found.max_stable_dt == pytest.approx(2e-15)
    assert "no step" not in found.note
    assert "closed form" in found.note


def test_critical_frequencies():
    assert analyse("heat", dx=0.5).critical_frequency == pytest.approx((2 * math.pi,))
    assert analyse("advection-centred", scheme="rk4").critical_frequency == pytest.approx((math.pi / 2,), abs=1e-6)
    long_waves = analyse("advection-diffusion", diffusivity=0.2)
    assert long_waves.critical_frequency == (0.0,)
    assert "long waves" in long_waves.note
    assert analyse("heat", scheme="crank-nicolson").critical_frequency is None
    fourth = analyse("advection-centred", scheme="leapfrog", accuracy=4)
    # 4th-order centred: max of (8 sin θ − sin 2θ)/6 where cos θ = 1 − √6/2.
    theta = math.acos(1 - math.sqrt(6) / 2)
    assert fourth.critical_frequency == pytest.approx((theta,), abs=1e-6)
    assert fourth.max_stable_dt == pytest.approx(6 / (8 * math.sin(theta) - math.sin(2 * theta)), rel=1e-10)


def test_amplification_factors_are_the_textbook_ones():
    theta = np.linspace(0, np.pi, 33)
    nu = 0.8
    sine = np.sin(theta / 2) ** 2
    expected = {
        ("heat", "euler", nu): abs(1 - 4 * nu * sine),
        ("heat", "backward-euler", nu): 1 / (1 + 4 * nu * sine),
        ("heat", "crank-nicolson", nu): abs((1 - 2 * nu * sine) / (1 + 2 * nu * sine)),
        ("advection-upwind", "euler", nu): np.sqrt(1 - 4 * nu * (1 - nu) * sine),
        ("advection-centred", "euler", nu): np.sqrt(1 + nu**2 * np.sin(theta) ** 2),
        ("advection-lax-wendroff", "euler", nu): np.sqrt(1 - 4 * nu**2 * (1 - nu**2) * sine**2),
        ("advection-centred", "crank-nicolson", nu): np.ones_like(theta),
    }
    for (problem, scheme, dt), factor in expected.items():
        found = analyse(problem, scheme=scheme).von_neumann.amplification_factor(theta, dt)
        np.testing.assert_allclose(found, factor, atol=1e-14, err_msg=f"{problem} by {scheme}")


def test_grid_modes_alone_set_a_larger_limit_where_the_worst_wave_does_not_fit():
    heat = analyse("heat").von_neumann
    odd = Grid(shape=(5,), spacing=(1.0,))
    worst = 4 * math.sin(math.pi * 2 / 5) ** 2
    assert heat.max_stable_dt(odd).dt == pytest.approx(2 / worst, rel=1e-14)
    assert heat.is_stable(0.54, odd)
    assert not heat.is_stable(0.54)
    ends = Grid(shape=(5,), spacing=(1.0,), boundary="dirichlet")
    assert heat.max_stable_dt(ends).dt == pytest.approx(2 / (4 * math.sin(math.pi * 5 / 12) ** 2), rel=1e-14)


def test_bounded_grid_refuses_an_asymmetric_operator():
    with pytest.raises(LastbitError, match="asymmetric operator has no symbol on a neumann grid"):
        analyse("advection-upwind").von_neumann.max_stable_dt(Grid(shape=(5,), spacing=(1.0,), boundary="neumann"))


def test_fourier_multiplier_in_place_of_a_stencil():
    spectral = LinearEquation((FourierMultiplier(lambda omega: -((omega**2).sum(axis=-1)), (0.5, 0.5)),))
    limit = VonNeumann(spectral, make_scheme("euler")).max_stable_dt()
    assert limit.dt == pytest.approx(2 / (2 * (2 * math.pi) ** 2), rel=1e-12)


@settings(deadline=None, max_examples=8)
@given(st.floats(0.1, 3.0), st.floats(0.05, 3.0), st.floats(-3.0, 3.0))
@example(0.9609375, 0.375, 2.703125)  # the shortest waves and the longest are lost within 1% of each other
def test_advection_diffusion_with_any_velocity_in_two_dimensions(kappa, first, second):
    """Hindmarsh's min(dx²/(4κ), 2κ/|c|²): the second needs the critical direction to be found, not guessed."""
    spacing = (1.0, 1.0)
    operator = kappa * laplacian(spacing)
    operator = operator - first * derivative(1, spacing=spacing) - second * derivative(1, spacing=spacing, axis=1)
    limit = VonNeumann(LinearEquation((operator,)), make_scheme("euler")).max_stable_dt()
    assert limit.dt == pytest.approx(min(1 / (4 * kappa), 2 * kappa / (first**2 + second**2)), rel=1e-8)


@settings(deadline=None, max_examples=5)
@given(st.sampled_from(["heat", "wave", "biharmonic"]), st.floats(0.05, 20.0), st.floats(0.1, 10.0))
def test_limits_scale_with_dx_and_coefficient_as_dimensions_demand(problem, dx, coefficient):
    name, power = {"heat": ("diffusivity", 2), "wave": ("speed", 1), "biharmonic": ("stiffness", 4)}[problem]
    scheme = "leapfrog" if problem == "wave" else "euler"
    unit = analyse(problem, scheme=scheme).max_stable_dt
    scaled = analyse(problem, scheme=scheme, dx=dx, **{name: coefficient}).von_neumann.max_stable_dt().dt
    assert scaled == pytest.approx(unit * dx**power / coefficient, rel=1e-10)


@pytest.mark.parametrize("dt", [0.0, -1.0, math.nan, math.inf])
def test_a_step_that_is_none_is_refused(dt):
    analysis = analyse("heat").von_neumann
    for ask in (lambda: analysis.is_stable(dt), lambda: analysis.amplification_factor(1.0, dt)):
        with pytest.raises(LastbitError, match="positive finite"):
            ask()
