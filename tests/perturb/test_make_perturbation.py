"""The families that studies draw from."""

import pytest

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError
from lastbit.perturb.base import Identity
from lastbit.perturb.flip_ulp import FlipUlp
from lastbit.perturb.registry import PERTURBATIONS, make_perturbation
from lastbit.perturb.rescale import Rescale


def test_the_families():
    assert set(PERTURBATIONS) == {"auto", "identity", "rescale", "ulp", "rounding", "reorder"}
    assert [make_perturbation("rescale", index) for index in range(6)] == [
        Identity(),
        *(Rescale(k=k) for k in (3, 5, 7, 9, 11)),
    ]
    flip = make_perturbation("ulp", 2)
    assert isinstance(flip, FlipUlp)
    assert (flip.step, flip.n_weights) == (0, 1)


@pytest.mark.parametrize("kind", ["ulp", "rounding", "reorder"])
def test_every_pair_of_seed_and_index_has_draws_of_its_own(kind):
    members = [make_perturbation(kind, index, seed=seed) for seed in range(12) for index in range(1, 12)]
    assert len({member.seed for member in members}) == len(members)


def test_what_is_not_there_is_refused():
    with pytest.raises(LastbitError, match=r"unknown perturbation 'rescal' \(did you mean 'rescale'\?\)"):
        make_perturbation("rescal", 1)
    with pytest.raises(LastbitError, match="index = -1"):
        make_perturbation("rescale", -1)
    with pytest.raises(LastbitError, match="seed = -2"):
        make_perturbation("rescale", 1, seed=-2)
    with pytest.raises(LastbitError, match="unknown setting 'factor'"):
        validated(Rescale, {"factor": 3, "k": 3})
