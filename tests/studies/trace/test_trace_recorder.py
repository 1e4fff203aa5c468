"""What a recorder keeps of a run, on twins that nobody trained."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import torch

from lastbit.core.ulp import step_ulps
from lastbit.dynamics.thinning import Thinning
from lastbit.studies.trace import recorder
from lastbit.studies.trace.recorder import TraceRecorder


def walk(total):
    """Record a base, its repeat and a twin of which one tensor differs from step 3 on, the other at step 7 alone."""
    base = {"a": torch.ones(5), "b": torch.ones(2, 2)}
    repeat, twin = ({name: x.clone() for name, x in base.items()} for _ in range(2))
    training = SimpleNamespace(
        losses=[torch.zeros(())] * total,
        active=nullcontext,
        evaluate=lambda: SimpleNamespace(loss=0.0, metric=0.0, predictions_N=np.zeros(4)),
    )
    twins = SimpleNamespace(
        start=0, total=total, position=0, trainings=[training] * 3, weights=lambda: [base, repeat, twin]
    )
    recorded = TraceRecorder(twins, 1)
    recorded.take(np.zeros(2))
    while twins.position < total:
        twins.position = recorded.next_step()
        if twins.position == 3:
            twin["b"][0, 0] = step_ulps(twin["b"][0, 0], 1)
        twin["a"] = base["a"] * (1.5 if twins.position == 7 else 1)
        recorded.take(np.zeros(2))
    return recorded.arrays()


def test_a_recorder_thins_but_remembers_the_first_difference(monkeypatch):
    dense = walk(39)
    assert dense["first_step"].tolist() == [[-1, -1], [7, 3]]
    rule = Thinning(dense=8, grid=4)
    monkeypatch.setattr(recorder, "RECORDED", rule)
    arrays = walk(39)
    assert arrays["step"].tolist() == rule.kept(39).tolist()
    assert arrays["first_step"].tolist() == [[-1, -1], [7, 3]]
    assert arrays["max_ulp"][1, -1].tolist() == [0, 1]
    assert not arrays["all_mean_relative_l1"][0].any()
    _, at, there = np.intersect1d(dense["step"], arrays["step"], return_indices=True)
    np.testing.assert_array_equal(dense["l2"][:, at], arrays["l2"][:, there])


def test_a_difference_that_is_gone_from_the_record_is_still_the_first(monkeypatch):
    monkeypatch.setattr(recorder, "RECORDED", Thinning(dense=4, grid=32))
    arrays = walk(70)
    assert 7 not in arrays["step"]
    assert arrays["first_step"].tolist() == [[-1, -1], [7, 3]]
