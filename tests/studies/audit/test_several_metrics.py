"""An audit of a task with several metrics, and of one whose only metric is of all examples."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lastbit as lb
from lastbit.report.html import render_html
from lastbit.report.text import render_text
from lastbit.tasks import Task
from lastbit.tasks.metric import ACCURACY, Metric

DRAWS = torch.Generator().manual_seed(3)
X = torch.randn(120, 5, generator=DRAWS)
Y = (X.sum(1) + torch.randn(120, generator=DRAWS) > 0).long()

NLL = Metric(
    name="nll",
    per_example=lambda outputs, targets: F.cross_entropy(outputs, targets, reduction="none"),
    unit="nats",
    higher_is_better=False,
)
PERPLEXITY = Metric(
    name="perplexity", over_all=lambda outputs, targets: F.cross_entropy(outputs, targets).exp(), higher_is_better=False
)


def make_task(**fields):
    plain = {
        "name": "metrics",
        "model": lambda: nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2)),
        "train": (X[:64], Y[:64]),
        "test": (X[64:], Y[64:]),
        "optimizer": lambda params: torch.optim.SGD(params, lr=0.5, momentum=0.9),
        "epochs": 3,
        "batch_size": 16,
    }
    return Task(**{**plain, **fields})


def audited(path, **fields):
    return lb.audit(make_task(**fields), seeds=3, perturbations=3, workers=1, quiet=True, out=path)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return audited(tmp_path_factory.mktemp("metrics") / "s", metrics=[NLL, PERPLEXITY, ACCURACY])


def test_the_first_metric_is_the_verdicts_and_every_one_has_its_spreads(study):
    result = study.result
    assert result.control.bitwise_identical
    assert [one.name for one in result.metrics] == ["nll", "perplexity", "accuracy"]
    first = result.metrics[0]
    assert result.metric.name == "nll"
    assert "nll" in result.verdict
    assert (first.sigma_last_bit, first.sigma_seed, first.mean) == (
        result.sigma_last_bit,
        result.sigma_seed,
        result.metric.mean,
    )
    assert [one.points for one in result.metrics] == ["nats", "", "points"]
    assert [one.higher_is_better for one in result.metrics] == [False, False, True]


def test_each_sampling_error_is_what_the_scores_say(study):
    """Of a mean `SD / sqrt(N)`; of a perplexity `exp(m) SD / sqrt(N)` to first order; of a share `sqrt(a(1-a)/N)`."""
    nll, perplexity, accuracy = study.result.metrics
    data = study.to_xarray()
    shares = data["accuracy"].values[..., -1] / 100
    assert accuracy.sampling_error == pytest.approx(100 * np.sqrt(np.mean(shares * (1 - shares)) / 55), rel=1e-6)
    means = data["nll"].values[..., -1]
    assert data["perplexity"].values[..., -1] == pytest.approx(np.exp(means), rel=1e-5)
    assert perplexity.sampling_error == pytest.approx(math.exp(means.mean()) * nll.sampling_error, rel=0.2)


def test_the_spreads_survive_json_and_stand_in_the_report(study):
    again = type(study.result).from_json(json.loads(json.dumps(study.to_json())))
    assert again.metrics == study.result.metrics
    lines = render_text(study.page).splitlines()
    first = next(number for number, line in enumerate(lines) if line.endswith("± test set"))
    row = next(line for line in lines[first:] if line.startswith("accuracy"))
    assert row.endswith("points")
    assert "Every metric" in render_html(study.page)


def test_a_task_with_one_metric_has_no_table_of_them(tmp_path):
    result = audited(tmp_path / "s", metric=PERPLEXITY).result
    assert result.metrics == ()
    assert result.distribution is not None
    assert result.distribution.n_examples == 50  # groups of the jackknife
    assert not result.churn_last_bit.measured


def test_a_selected_epoch_is_what_the_spreads_are_of(tmp_path):
    validation = (X[64:90], Y[64:90])
    study = audited(tmp_path / "s", validation=validation, select="best", epochs=6)
    data = study.to_xarray()
    chosen = data["validation_accuracy"].values.argmax(axis=-1)
    final = np.take_along_axis(data["accuracy"].values, chosen[..., None], -1)[..., 0]
    assert study.result.metric.mean.estimate == pytest.approx(final.mean())
    assert {run.metrics["accuracy"] for run in study.result.runs} <= set(final.ravel().tolist())
