import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.dynamics.localise import growth_split, log_growth

ENERGIES = st.lists(st.floats(1e-30, 1e30), min_size=3, max_size=3).map(lambda x: torch.tensor(x, dtype=torch.float64))


@settings(deadline=None, max_examples=60)
@given(ENERGIES, ENERGIES)
def test_contributions_add_up_to_the_growth(before, after):
    total = math.log(math.sqrt(math.fsum(after.tolist())) / math.sqrt(math.fsum(before.tolist())))
    assert float(log_growth(before, after)) == pytest.approx(total, abs=1e-12)
    split = growth_split(before, after)
    # Terms of opposite sign may cancel: the error is relative to the largest of them.
    assert float(split.sum()) == pytest.approx(total, abs=1e-12 * float(split.abs().max() + 1))


@settings(deadline=None, max_examples=30)
@given(ENERGIES, ENERGIES)
def test_grouping_tensors_groups_their_contributions(before, after):
    split = growth_split(before, after)
    pooled = growth_split(torch.stack([before[0] + before[1], before[2]]), torch.stack([after[:2].sum(), after[2]]))
    scale = float(split.abs().max() + 1)
    assert float(pooled[0]) == pytest.approx(float(split[0] + split[1]), abs=1e-12 * scale)


def test_no_growth_is_split_without_dividing_by_zero():
    before, after = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 3.0])
    assert float(log_growth(before, after)) == 0
    assert growth_split(before, after).tolist() == [-0.25, 0.25]


def test_vanishing_and_absent_differences():
    some, none = torch.tensor([1.0, 0.0]), torch.zeros(2)
    assert float(log_growth(some, none)) == -math.inf
    assert growth_split(some, none).tolist() == [-math.inf, 0.0]
    assert math.isnan(float(log_growth(none, some)))
    assert growth_split(none, some).isnan().all()
