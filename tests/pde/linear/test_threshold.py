"""A bisection by simulation finds the limits of the textbook."""

import numpy as np
import pytest

from lastbit.core.errors import LastbitError
from lastbit.pde import make_scheme
from lastbit.pde.linear.analysis import analyse
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.threshold import simulated_limit

GRID = Grid(shape=(8,), spacing=(1.0,))
START = np.random.default_rng(0).standard_normal(8)


def limit(scheme, **given):
    heat = analyse("heat", scheme=scheme).von_neumann.equation
    return simulated_limit(heat, make_scheme(scheme), GRID, START, **{"steps": 1000} | given)


@pytest.mark.parametrize(("scheme", "closed_form"), [("euler", 0.5), ("rk4", 2.7852935634 / 4)])
def test_it_brackets_the_closed_form(scheme, closed_form):
    low, high = limit(scheme, between=(0.5 * closed_form, 2 * closed_form))
    assert low <= closed_form * 1.005
    assert closed_form <= high <= low * 1.01


@pytest.mark.parametrize("between", [(0.6, 0.8), (0.1, 0.2)])
def test_a_bracket_without_the_limit_is_refused(between):
    with pytest.raises(LastbitError, match="does not lie between"):
        limit("euler", between=between)


def test_too_few_steps_for_the_width_are_refused():
    with pytest.raises(LastbitError, match="at least 100 steps"):
        limit("euler", between=(0.1, 1.0), steps=10)
