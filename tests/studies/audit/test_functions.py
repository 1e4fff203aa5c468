"""An audit of a training function: what it sees is the optimizers' steps, and what the function returns."""

import json
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.report.html import render_html
from lastbit.tasks import Task
from lastbit.tasks.function import TrainingFunction, is_training

DRAWS = torch.Generator().manual_seed(3)
X = torch.randn(96, 5, generator=DRAWS)
Y = (X.sum(1) + torch.randn(96, generator=DRAWS) > 0).long()


def network():
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2))


def sgd(params):
    return torch.optim.SGD(params, lr=0.5, momentum=0.9)


def train(seed):
    """Seeds nothing itself: the study does."""
    model = network()
    optimizer = sgd(model.parameters())
    for index in torch.randperm(64).split(16) * 3:
        optimizer.zero_grad()
        F.cross_entropy(model(X[index]), Y[index]).backward()
        optimizer.step()
    with torch.no_grad():
        outputs = model(X[64:])
    return {"nll": F.cross_entropy(outputs, Y[64:]), "seed": seed, "predictions": outputs.argmax(1)}


def audited(function, path, **settings):
    return lb.audit(function, **{"seeds": 2, "perturbations": 3, "workers": 1, "quiet": True, "out": path, **settings})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return audited(train, tmp_path_factory.mktemp("function") / "s")


def test_its_runs_repeat_land_and_spread(study):
    result = study.result
    assert result.control.bitwise_identical
    assert result.perturbation.landed_fraction == 1
    assert result.perturbation.kind == "auto"
    assert result.optimizers == {"SGD": "rescale"}
    assert result.metric.name == "nll"
    assert result.sigma_seed.measured
    assert [one.name for one in result.metrics] == ["nll", "seed"]
    assert result.metrics[1].mean.estimate == 0.5
    assert result.churn_last_bit.measured
    assert result.weight_distance_last_bit.measured
    assert result.loss is None
    assert result.distribution is None


def test_what_it_cannot_know_is_not_measured_and_the_report_draws(study, tmp_path):
    assert set(study.result.not_measured) == {"loss", "distribution"}
    assert "Audit of train" in render_html(study.page)
    data = study.to_xarray()
    assert set(data.data_vars) == {"nll", "seed_metric", "predictions", "status", "label"}
    assert data["seed_metric"].values[:, 0, 0].tolist() == [0, 1]
    study.export(tmp_path / "runs.csv")
    again = type(study.result).from_json(json.loads(json.dumps(study.to_json())))
    assert again.verdict == study.result.verdict


def test_it_has_the_bits_of_the_same_task(tmp_path):
    """The same weights, batches and steps, as a Task and as a function: perturbed run by perturbed run."""
    start = network().state_dict()

    def copied():
        model = network()
        model.load_state_dict(start)
        return model

    batches = [list(range(first, first + 16)) for first in range(0, 64, 16)]

    def function(seed):
        model = copied()
        optimizer = sgd(model.parameters())
        for index in batches * 3:
            optimizer.zero_grad()
            F.cross_entropy(model(X[index]), Y[index]).backward()
            optimizer.step()
        return 0.0

    task = Task(
        name="same",
        model=copied,
        train=(X[:64], Y[:64]),
        test=(X[64:], Y[64:]),
        optimizer=sgd,
        sampler=lambda generator: batches,
        epochs=3,
        batch_size=16,
        augment=lambda inputs, draws: inputs + 0 * draws[:, :1],
        augment_draws=1,
    )
    weights = []
    for what, name in ((task, "t"), (function, "f")):
        one = lb.audit(what, seeds=1, perturbations=4, perturb="rescale", workers=1, quiet=True, out=tmp_path / name)
        with one._folder() as folder:
            weights.append([folder.arrays(f"seed000-p{p:03d}")["weights_final_digest"] for p in range(4)])
    for as_task, as_function in zip(*weights, strict=True):
        assert np.array_equal(as_task, as_function)
    assert not np.array_equal(weights[1][0], weights[1][1])


@pytest.mark.usefixtures("one_process")
def test_a_file_holds_it_and_workers_call_it(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n\n"
        "def train(seed):\n"
        "    weight = torch.nn.Parameter(torch.randn(40))\n"
        "    optimizer = torch.optim.Adam([weight], lr=0.1)\n"
        "    for _ in range(20):\n"
        "        optimizer.zero_grad()\n"
        "        (weight.square().sum() + weight.sin().sum()).backward()\n"
        "        optimizer.step()\n"
        "    return float(weight.sum())\n"
    )
    study = audited(f"{tmp_path / 'mine.py'}:train", tmp_path / "s", workers=2)
    assert study.result.control.bitwise_identical
    assert study.result.perturbation.landed_fraction == 1
    assert study.result.metric.name == "result"
    assert study.result.execution["workers"] == 2
    again = audited(None, None, resume=tmp_path / "s", workers=2, seeds=None, perturbations=None)
    assert again.result.to_json()["sigma_last_bit"] == study.result.to_json()["sigma_last_bit"]
    for kind in (lb.eos, lb.sharpness):
        with pytest.raises(LastbitError, match=r"needs a Task, and .*mine\.py:train is a training function"):
            kind(f"{tmp_path / 'mine.py'}:train", quiet=True, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda seed: 1.0, "made no optimizer step"),
        (lambda: 1.0, r"a training is a function of a seed alone, def train\(seed\): ..., got"),
        (lambda seed, lr: 1.0, "a function of a seed alone"),
        (3, "a function of a seed alone, .* got a int"),
        (lambda seed: train(seed) and None, "must return a number or a mapping of names to numbers, got None"),
        (lambda seed: {**train(seed), "extra": "text"}, "got a str as 'extra'"),
        (lambda seed: {**train(seed), "predictions": [[1.0]]}, r"predictions of .* must be whole numbers \(N,\)"),
        (lambda seed: train(seed) and {}, "got no number"),
    ],
)
def test_what_is_no_training_is_refused_in_one_line(function, match, tmp_path):
    with pytest.raises(LastbitError, match=match) as caught:
        audited(function, tmp_path / "s")
    assert "\n" not in str(caught.value)


def _yielding(seed):
    yield seed


async def _awaiting(seed):
    return seed


@pytest.mark.parametrize("function", [_yielding, _awaiting])
def test_a_function_whose_call_trains_nothing_is_refused(function, tmp_path):
    with pytest.raises(LastbitError, match=f"{function.__name__} yields or awaits, and a call of it trains nothing"):
        audited(function, tmp_path / "s")


@pytest.mark.parametrize("study", [lb.audit, lb.trace])
@pytest.mark.parametrize("raised", [ValueError("boom"), SystemExit(1)], ids=lambda error: type(error).__name__)
def test_a_function_whose_first_call_raises_is_called_once(study, raised, tmp_path):
    calls = []

    def fails(seed):
        calls.append(seed)
        train(seed)
        raise raised

    line = fails.__code__.co_firstlineno + 3
    said = f"^fails raised {type(raised).__name__}: {raised} .{re.escape(__file__)}, line {line}.$"
    with pytest.raises(LastbitError, match=said) as caught:
        study(fails, quiet=True, out=tmp_path / "s")
    assert calls == [0]
    assert caught.value.__cause__ is raised


def test_a_later_call_that_raises_is_tried_again_and_costs_no_other(tmp_path):
    calls = []

    def fails_later(seed):
        calls.append(seed)
        if len(calls) == 3:
            raise ValueError("the third")
        return train(seed)

    result = audited(fails_later, tmp_path / "s").result
    assert result.finished
    assert {run.status for run in result.runs} == {"ok"}
    assert max(run.attempts for run in result.runs) == 2


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"vary": "init"}, "--vary belongs to tasks"),
        ({"dtype": "float64"}, "--dtype belongs to tasks"),
        ({"epochs": 3}, "epochs belongs to built-in tasks: set it in your function"),
        ({"perturb": "reorder"}, "reorder needs a task"),
    ],
)
def test_settings_of_tasks_are_refused(settings, match, tmp_path):
    with pytest.raises(LastbitError, match=match):
        audited(train, tmp_path / "s", **settings)


def test_a_function_that_does_not_repeat_is_found(tmp_path):
    calls = []

    def drifting(seed):
        calls.append(seed)
        return train(seed)["nll"] + len(calls)

    study = audited(drifting, tmp_path / "s")
    assert study.result.verdict_kind == "not_reproducible"


def test_which_functions_train():
    assert is_training(lambda seed: 0)
    assert is_training(lambda seed, lr=0.1, *more, **named: 0)
    assert not is_training(lambda: 0)
    assert not is_training(lambda seeds: 0)
    assert TrainingFunction(train).name == "train"
    assert TrainingFunction(lambda seed: 0).name == "function"
