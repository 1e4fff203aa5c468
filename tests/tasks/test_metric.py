"""Metrics over examples and over all of them, and the sampling error of both."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from lastbit.core.errors import LastbitError
from lastbit.tasks.metric import BINARY_ACCURACY, GROUPS, MSE, Metric, Tally

DRAW = np.random.default_rng(5)


def tally_of(metric, outputs, targets, parts=3):
    found = Tally(metric)
    for x, y in zip(outputs.chunk(parts), targets.chunk(parts), strict=True):
        found.add(x, y)
    return found


def test_the_jackknife_of_a_mean_is_its_standard_error():
    """With one example a group the pseudo-values of a mean are the scores themselves."""
    outputs, targets = torch.randn(GROUPS, generator=torch.Generator().manual_seed(0)), torch.zeros(GROUPS)
    plain = tally_of(MSE, outputs, targets)
    over_all = tally_of(Metric(name="m", over_all=lambda x, y: (x - y).double().square().mean()), outputs, targets)
    assert over_all.value == pytest.approx(plain.value, rel=1e-6)
    assert over_all.sampling_error == pytest.approx(plain.sampling_error, rel=1e-5)
    assert plain.sampling_error == pytest.approx(outputs.square().numpy().std(ddof=1) / math.sqrt(GROUPS), rel=1e-5)
    assert np.sort(over_all.scores) == pytest.approx(np.sort(outputs.square().numpy()), rel=1e-4)


def test_the_sampling_error_of_a_root_mean_square_is_that_of_many_test_sets():
    """Delta method: SD(sqrt(m)) = SD(m) / (2 sqrt(m)); for normal errors sigma / sqrt(2 N)."""
    rmse = Metric(name="rmse", over_all=lambda x, y: (x - y).square().mean().sqrt(), higher_is_better=False)
    examples, errors = 2000, []
    for seed in range(20):
        outputs = torch.randn(examples, generator=torch.Generator().manual_seed(seed))
        errors.append(tally_of(rmse, outputs, torch.zeros(examples)).sampling_error)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(1 / math.sqrt(2 * examples), rel=0.05)


@pytest.mark.parametrize("name", ["f1", "auroc"])
def test_a_metric_over_all_examples_sees_them_whole(name):
    """Scikit-learn on everything at once is the oracle."""
    labels = torch.from_numpy(DRAW.integers(0, 2, 90))
    scores = torch.from_numpy(DRAW.normal(size=90)) + labels
    functions = {
        "f1": lambda x, y: f1_score(y.numpy(), (x > 0.5).numpy(), average="macro"),
        "auroc": lambda x, y: roc_auc_score(y.numpy(), x.numpy()),
    }
    found = tally_of(Metric(name=name, over_all=functions[name], unit="%"), scores, labels)
    assert found.value == pytest.approx(100 * functions[name](scores, labels))
    assert found.scores.shape == (GROUPS,)
    assert 0 < found.sampling_error < 20


def test_a_group_without_which_there_is_no_metric_costs_the_sampling_error_alone():
    labels = torch.tensor([1] + [0] * 59)
    auroc = Metric(name="auroc", over_all=lambda x, y: roc_auc_score(y.numpy(), x.numpy(), labels=None))

    def strict(x, y):
        if len(set(y.tolist())) < 2:
            raise ValueError("one class")
        return auroc.over_all(x, y)

    found = tally_of(Metric(name="auroc", over_all=strict), torch.linspace(1, 0, 60), labels)
    assert found.value == 1.0
    assert np.isnan(found.scores).sum() == 1
    assert math.isnan(found.sampling_error)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_logit_is_right_where_its_sign_is(shape):
    outputs, targets = torch.tensor([2.0, -1.0, 0.5]).reshape(shape), torch.tensor([1, 0, 0])
    assert BINARY_ACCURACY.per_example(outputs, targets).tolist() == [True, True, False]
    assert BINARY_ACCURACY.per_example(outputs, targets.float().reshape(shape)).tolist() == [True, True, False]
    with pytest.raises(LastbitError, match="needs one logit and one label"):
        BINARY_ACCURACY.per_example(torch.zeros(3, 2), targets)


@pytest.mark.parametrize("functions", [{}, {"per_example": len, "over_all": len}, {"over_all": 3}])
def test_a_metric_is_one_function(functions):
    with pytest.raises(LastbitError, match="metric 'm' needs one function"):
        Metric(name="m", **functions)


@given(values=st.lists(st.floats(allow_nan=True), min_size=1, max_size=8), higher=st.booleans())
def test_the_best_value_is_the_first_of_the_best_numbers(values, higher):
    metric, best, at = Metric(name="m", over_all=len, higher_is_better=higher), math.nan, None
    for place, value in enumerate(values):
        if metric.better(value, best):
            best, at = value, place
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        assert at is None
    else:
        assert at == values.index((max if higher else min)(numbers))
