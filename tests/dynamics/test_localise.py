import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.dynamics import (
    concentration,
    filter_energies,
    first_difference,
    gini,
    localisation,
    participation_ratio,
)

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


def states():
    generator = torch.Generator().manual_seed(0)
    base = {"conv": torch.randn(6, 2, 3, 3, generator=generator), "bias": torch.randn(6, generator=generator)}
    return base, {name: x.clone() for name, x in base.items()}


def test_filters_and_elements_of_a_known_difference():
    base, twin = states()
    twin["conv"][1] += 0.5
    twin["conv"][4] += 0.5
    found = localisation(base, twin)
    assert found.filters["conv"].participation == pytest.approx(2, rel=1e-6)
    assert found.filters["conv"].share == pytest.approx(1 / 3, rel=1e-6)
    assert found.elements["conv"].participation == pytest.approx(36, rel=1e-6)
    assert found.elements["conv"].carriers == 108
    assert found.tensors.participation == 1
    assert found.elements["bias"] == concentration(torch.zeros(6))
    assert set(found.filters) == {"conv"}
    energies = filter_energies(base, twin)["conv"]
    slow = [
        sum((x - y) ** 2 for x, y in zip(a.double().view(-1), b.double().view(-1), strict=True))
        for a, b in zip(twin["conv"], base["conv"], strict=True)
    ]
    assert energies.tolist() == pytest.approx([float(x) for x in slow], rel=1e-12)


def test_no_difference_has_no_carrier():
    base, twin = states()
    found = localisation(base, twin)
    assert found.tensors.participation == 0
    assert found.tensors.gini == 0
    assert concentration(torch.zeros(0)).share == 0


def test_the_first_difference_names_step_and_tensor():
    names = ["stem", "body", "head"]
    assert first_difference([0, 1], torch.zeros(2, 3), names) is None
    found = first_difference([0, 3, 9], [[0, 0, 0], [0, 2e-8, 1e-8], [1, 1, 1]], names)
    assert (found.step, found.tensor, found.tensors) == (3, "body", ("body", "head"))
    found = first_difference([0, 3], [[0, 0, 0], [1.0, 1.0, math.nan]], names)
    assert (found.tensor, found.tensors) == ("head", ("stem", "body", "head"))


def test_bad_input_is_named():
    base, twin = states()
    twin["bias"] = torch.zeros(3)
    with pytest.raises(LastbitError, match="do not hold the same tensors"):
        localisation(base, twin)
    with pytest.raises(LastbitError, match=r"shape \(2,\): pass \(1, 2\)"):
        first_difference([0], [1, 2], ["a", "b"])
