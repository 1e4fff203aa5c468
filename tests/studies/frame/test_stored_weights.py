import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lastbit.core.digests import sha256_of
from lastbit.core.status import Role
from lastbit.store import RunFiles, StudyFolder
from lastbit.studies.frame.stored_weights import differing, digested, stored_weights
from lastbit.studies.frame.weighing import SMALL, Weigher, stays
from lastbit.train.weighed import of_weights, weighed

FEW = st.sampled_from([0.0, -0.0, 1.0, 2.0, np.inf, np.nan])
WEIGHTS = {"a": torch.tensor([[1.5, -0.0], [3.0, 4.0]]), "half": torch.tensor([0.1, 7.0], dtype=torch.bfloat16)}
NEXT = {"a": WEIGHTS["a"] + 1, "half": WEIGHTS["half"] + 1}


@given(arrays(np.float32, st.just(40), elements=FEW), arrays(np.float32, st.just(40), elements=FEW), st.integers(1, 39))
@settings(max_examples=50)
def test_elements_are_counted_exactly(one, two, cut):
    apart = int((~((one == two) | (np.isnan(one) & np.isnan(two)))).sum())
    split = [[torch.from_numpy(x[:cut]), torch.from_numpy(x[cut:])] for x in (one, two)]
    assert differing(*split) == apart
    assert differing([torch.from_numpy(one)], split[1]) == apart
    assert differing([torch.from_numpy(one[1:])], split[1]) is None


def test_more_elements_than_are_compared_at_a_time_are_counted():
    one = torch.zeros(3 * 2**20 + 5)
    two = one.clone()
    two[[0, 2**20 - 1, 2**20, -1]] = 1
    assert differing([one], [two]) == 4


def test_runs_of_a_former_lastbit_get_the_digests_of_their_bits():
    new = of_weights(WEIGHTS, NEXT, weighed) | {"losses": np.ones(3)}
    flat = {when: torch.cat([x.float().reshape(-1) for x in w.values()]).numpy() for when, w in
            (("first", WEIGHTS), ("final", NEXT))}  # fmt: skip
    former = {"weights_first": flat["first"], "weights_final": flat["final"], "losses": np.ones(3)}
    found = digested(former, new)
    assert found.keys() == new.keys()
    assert all(np.array_equal(found[name], new[name]) for name in new)
    assert digested(new, former) is new
    other = {**former, "weights_final": flat["final"][1:]}
    assert digested(other, new) is other


@pytest.mark.parametrize("role", [Role.BASE, Role.TWIN, Role.REPEAT])
@pytest.mark.parametrize("keep", ["all", "base", "none", None])
@pytest.mark.parametrize("weights", [SMALL, SMALL + 1])
def test_whose_weights_stay(role, keep, weights):
    wanted = {"all": role != Role.REPEAT, "base": role == Role.BASE, "none": False}
    chosen = keep or ("all" if weights == SMALL else "none")
    assert stays(keep, role, weights) == wanted[chosen]


@pytest.fixture
def files(tmp_path):
    with StudyFolder.create(tmp_path / "study", {"kind": "audit"}) as study:
        yield RunFiles(study.path, "r.1")


@pytest.mark.parametrize(("keep", "there"), [("all", {"weights/r.1.safetensors"}), ("none", set())])
def test_weights_stay_or_are_lent_and_come_back_bit_for_bit(files, keep, there):
    arrays = of_weights(WEIGHTS, NEXT, Weigher(files, Role.TWIN, keep, lends=True))
    for when, wanted in (("first", WEIGHTS), ("final", NEXT)):
        found = stored_weights(files, arrays, when)
        assert [x.dtype for x in found] == [x.dtype for x in wanted.values()]
        assert np.array_equal(sha256_of(dict(zip("ab", found, strict=True))), sha256_of(wanted))
    (files.folder / "checkpoints" / "r.1.x.safetensors").touch()  # of another run
    files.drop_lent()
    left = {str(path.relative_to(files.folder)) for path in files.folder.glob("*/r*")}
    assert left == {"checkpoints/r.1.x.safetensors", *there}
    assert stored_weights(files, arrays, "first") is None


@pytest.mark.parametrize("role", [Role.TWIN, Role.REPEAT])
def test_a_repeat_and_a_run_that_nobody_waits_for_leave_no_weights(files, role):
    of_weights(WEIGHTS, NEXT, Weigher(files, role, "none" if role == Role.TWIN else "all", lends=role == Role.REPEAT))
    assert not list(files.folder.glob("*/r*"))


def test_weights_that_are_not_those_of_the_run_are_not_read(files, tmp_path):
    arrays = of_weights(WEIGHTS, NEXT, Weigher(files, Role.BASE, "base", lends=False))
    assert stored_weights(files, arrays, "final") is not None
    files.keep_weights(WEIGHTS)
    assert stored_weights(files, arrays, "final") is None
    for content in (b"", b"\xff" * 40, files.weights_path.read_bytes()[:-3]):
        files.weights_path.write_bytes(content)
        assert stored_weights(files, arrays, "final") is None
    files.weights_path.unlink()
    (tmp_path / "elsewhere").write_bytes(b"x")
    files.weights_path.symlink_to(tmp_path / "elsewhere")
    assert stored_weights(files, arrays, "final") is None
