import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.dynamics.localise import first_difference, gini, participation_ratio

ENERGIES = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e3)), min_size=1, max_size=12)


def slow_gini(values):
    """The mean absolute difference of all pairs over twice the mean: the coefficient's own definition."""
    mean = math.fsum(values) / len(values)
    pairs = math.fsum(abs(x - y) for x in values for y in values) / len(values) ** 2
    return pairs / (2 * mean) if mean else 0.0


@settings(deadline=None, max_examples=60)
@given(ENERGIES)
def test_both_measures_against_their_definitions(values):
    e = torch.tensor(values, dtype=torch.float64)
    assert float(gini(e)) == pytest.approx(slow_gini(values), abs=1e-12)
    squares = math.fsum(x * x for x in values)
    expected = math.fsum(values) ** 2 / squares if squares else 0.0
    assert float(participation_ratio(e)) == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(ENERGIES, st.floats(1e-200, 1e200), st.randoms())
def test_scale_and_order_do_not_matter_and_the_ends_are_as_stated(values, scale, random):
    e = torch.tensor(values, dtype=torch.float64)
    mixed = list(values)
    random.shuffle(mixed)
    other = torch.tensor(mixed, dtype=torch.float64) * scale
    assert float(gini(e)) == pytest.approx(float(gini(other)), abs=1e-9)
    assert float(participation_ratio(e)) == pytest.approx(float(participation_ratio(other)), rel=1e-9)
    assert 0 <= float(gini(e)) <= 1 - 1 / len(values) + 1e-12
    if any(values):
        assert 1 - 1e-12 <= float(participation_ratio(e)) <= len(values) * (1 + 1e-12)


def test_filters_and_elements_of_a_known_difference():
    energies = torch.zeros(6, 2, 3, 3)
    energies[[1, 4]] = 0.25
    assert float(participation_ratio(energies.flatten(1).sum(1))) == pytest.approx(2, rel=1e-12)
    assert float(participation_ratio(energies.reshape(-1))) == pytest.approx(36, rel=1e-12)
    assert float(gini(energies.reshape(-1))) == pytest.approx(2 / 3, rel=1e-12)


@pytest.mark.parametrize("count", [0, 6])
def test_no_difference_has_no_carrier(count):
    assert float(participation_ratio(torch.zeros(count))) == 0
    assert float(gini(torch.zeros(count))) == 0


def test_the_first_difference_names_step_and_tensor():
    names = ["stem", "body", "head"]
    assert first_difference([0, 1], torch.zeros(2, 3), names) is None
    found = first_difference([0, 3, 9], [[0, 0, 0], [0, 2e-8, 1e-8], [1, 1, 1]], names)
    assert (found.step, found.tensor, found.tensors) == (3, "body", ("body", "head"))
    found = first_difference([0, 3], [[0, 0, 0], [1.0, 1.0, math.nan]], names)
    assert (found.tensor, found.tensors) == ("head", ("stem", "body", "head"))


def test_of_several_twins_the_first_that_differs_names_the_tensor():
    never, late, early = [[0, 0], [0, 0], [0, 0]], [[0, 0], [0, 0], [9, 1]], [[0, 0], [0, 2], [1, 1]]
    found = first_difference([0, 3, 9], [never, late, early], ["stem", "head"])
    assert (found.step, found.tensor, found.tensors) == (3, "head", ("head",))
    other = [[0, 0], [5, 0], [1, 1]]
    found = first_difference([0, 3, 9], [never, early, other], ["stem", "head"])
    assert (found.tensor, found.tensors) == ("head", ("stem", "head"))


def test_bad_input_is_named():
    with pytest.raises(LastbitError, match=r"shape \(2,\): pass \(1, 2\)"):
        first_difference([0], [1, 2], ["a", "b"])
