"""The interval of a tensor's share of the growth, against a jackknife over twins written out."""

import numpy as np
import pytest
from scipy import stats
from small_traces import write_trace

from lastbit import open_study
from lastbit.store import StudyFolder
from lastbit.studies.trace.tensors import growth_share_intervals

NAMES = ("conv.weight", "head.weight", "head.bias")


def shares_of(arrays, episodes, twins):
    """The share of each tensor over the given twins: its part of each step's growth, in proportion to its energy."""
    grown = np.zeros(len(NAMES))
    for twin in twins:
        for a in range(len(arrays["step"]) - 1):
            start, end = arrays["step"][a], arrays["step"][a + 1]
            if not any(start >= e.start and end <= e.end for e in episodes):
                continue
            before, after = arrays["l2"][twin, a] ** 2, arrays["l2"][twin, a + 1] ** 2
            if before.sum() > 0:
                rise = after.sum() - before.sum()
                grown += 0.5 * (after - before) * (np.log(after.sum() / before.sum()) / rise)
    return grown / grown.sum()


@pytest.mark.parametrize("twins", [2, 4])
def test_the_interval_is_the_jackknifes_over_twins(tmp_path, twins):
    study = write_trace(tmp_path / "s", names=NAMES, twins=twins, steps=np.arange(0, 61))
    result = open_study(study).result
    with StudyFolder.read(study) as folder:
        arrays = folder.arrays("lr0.3-float32")
    found = growth_share_intervals(arrays, result.episodes)
    everyone = range(1, twins + 1)
    whole = shares_of(arrays, result.episodes, everyone)
    assert whole == pytest.approx([row.growth_share for row in result.tensors], rel=1e-9)
    left = np.array([shares_of(arrays, result.episodes, [t for t in everyone if t != out]) for out in everyone])
    error = np.sqrt((twins - 1) / twins * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
    reach = stats.t.ppf(0.975, twins - 1) * error
    np.testing.assert_allclose(found, np.stack([whole - reach, whole + reach], axis=1), rtol=1e-8)


def test_a_single_twin_has_no_interval(tmp_path):
    study = write_trace(tmp_path / "s", twins=1)
    result = open_study(study).result
    with StudyFolder.read(study) as folder:
        assert growth_share_intervals(folder.arrays("lr0.3-float32"), result.episodes) is None
    assert "95% interval over the twins" not in open_study(study).report().read_text("utf-8")
