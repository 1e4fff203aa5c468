"""The Task: what it takes, what it refuses, and that checking it changes nothing."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from lastbit.core.errors import LastbitError
from lastbit.tasks import Task
from lastbit.tasks.metric import ACCURACY, MSE, Metric

X = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 3


def sgd(params):
    return torch.optim.SGD(params, lr=0.1)


def task(**changes):
    parts = {
        "name": "toy",
        "model": lambda: nn.Linear(4, 3),
        "train": (X, Y),
        "test": (X[:5], Y[:5]),
        "optimizer": sgd,
        "batch_size": 8,
    }
    return Task(**parts | changes)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x), x


def test_sizes_and_steps():
    made = task(epochs=3, settings={"note": "mine", "epochs": 99})
    assert made.steps_per_epoch == 2
    assert made.total_steps == 6
    assert made.settings == {
        "name": "toy",
        "note": "mine",
        "metric": "accuracy",
        "epochs": 3,
        "batch_size": 8,
        "train_size": 20,
        "test_size": 5,
    }


@pytest.mark.parametrize("train", [TensorDataset(X, Y), DataLoader(TensorDataset(X, Y), batch_size=2)])
def test_datasets_and_loaders_become_splits(train):
    made = task(train=train)
    made.check()
    assert torch.equal(made.train.batch(torch.tensor([4]))[1], Y[4:5])


def test_predictions_default_to_the_largest_output_for_accuracy_only():
    outputs = torch.tensor([[0.0, 2.0, 1.0]])
    assert task().predict(outputs).tolist() == [1]
    assert task(metric=MSE).predict is None
    assert task(predict=lambda out: out.argmin(1)).predict(outputs).tolist() == [0]


def test_accuracy_is_a_percentage_of_the_examples():
    outputs = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    right = ACCURACY.per_example(outputs, torch.tensor([1, 1, 1]))
    assert right.tolist() == [True, False, True]
    assert ACCURACY.scale == 100
    with pytest.raises(LastbitError, match=r"accuracy needs .*, got \(3, 2\) float32 and \(3, 1\) int64"):
        ACCURACY.per_example(outputs, torch.ones(3, 1, dtype=torch.int64))
    with pytest.raises(LastbitError, match="of two classes or more"):
        ACCURACY.per_example(torch.zeros(3, 1), torch.tensor([0, 0, 0]))


def test_mse_averages_what_follows_the_first_axis_and_never_broadcasts():
    outputs, targets = torch.randn(6, 2, 3), torch.randn(6, 2, 3)
    errors = MSE.per_example(outputs, targets)
    assert errors.shape == (6,)
    torch.testing.assert_close(errors.mean(), F.mse_loss(outputs, targets))
    assert MSE.per_example(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).tolist() == [1.0, 4.0]
    assert not MSE.higher_is_better
    with pytest.raises(LastbitError, match=r"of one shape, got \(6, 1\) and \(6,\)"):
        MSE.per_example(torch.zeros(6, 1), torch.zeros(6))


def test_a_regression_task_passes_its_check():
    targets = X.sum(1, keepdim=True)
    task(
        model=lambda: nn.Linear(4, 1), train=(X, targets), test=(X, targets), loss=F.mse_loss, metric=MSE
    ).check()  # raises if a part does not fit
    with pytest.raises(LastbitError, match="accuracy needs"):
        task(
            model=lambda: nn.Linear(4, 1), train=(X, targets[:, 0]), test=(X, targets[:, 0]), loss=lambda o, t: o.mean()
        ).check()


def test_a_float64_network_is_checked_on_float64_inputs():
    seen = []
    made = task(
        model=lambda: nn.Linear(4, 3, dtype=torch.float64),
        loss=lambda o, t: seen.append(o.dtype) or F.cross_entropy(o, t),
    )
    made.check()
    assert set(seen) == {torch.float64}


def test_checking_leaves_generators_data_and_gradient_mode_alone():
    def noisy_model():
        random.random()
        np.random.rand()  # noqa: NPY002
        return nn.Sequential(nn.Dropout(), nn.Linear(4, 3))

    made = task(model=noisy_model, augment=lambda x, u: x + u, augment_draws=4)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    copy = made.train.tensors[0].clone()
    made.check()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002
    assert torch.equal(made.train.tensors[0], copy)
    assert torch.is_grad_enabled()


def test_generators_are_restored_when_the_check_fails():
    def failing():
        random.random()
        torch.rand(3)
        raise ValueError("no such layer\nand more")

    before = torch.get_rng_state(), random.getstate()
    with pytest.raises(LastbitError, match=r"^the model factory raised ValueError: no such layer$"):
        task(model=failing).check()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": " "}, "name must be a word, got ' '"),
        (
            {"model": nn.Linear(4, 3)},
            "model must .* got an instance of Linear: write model=lambda: Linear",
        ),
        ({"model": None}, "model must be a function, got None"),
        (
            {"optimizer": sgd([nn.Parameter(X)])},
            r"optimizer .* got an instance of SGD: .*torch\.optim\.SGD\(params",
        ),
        ({"loss": "mse"}, "loss must be a function, got 'mse'"),
        ({"predict": 1}, "predict must be a function or None, got 1"),
        ({"metric": "accuracy"}, "metric must be a lastbit Metric, got 'accuracy'"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
        ({"batch_size": True}, "batch_size must be a whole number"),
        ({"augment_draws": 2}, "augment_draws = 2, but there is no augment"),
        (
            {"augment": lambda x, u: x, "augment_draws": -1},
            "must be a whole number of at least 0, got -1",
        ),
        ({"settings": {"f": sgd}}, "settings must be plain values"),
        ({"settings": {"lr": float("nan")}}, "settings must be plain values"),
        ({"train": "digits"}, "train that is not a Dataset"),
        ({"test": (X, Y[:3])}, "test: inputs .* must agree"),
    ],
)
def test_fields_of_the_wrong_kind_are_refused_at_once(changes, match):
    with pytest.raises(LastbitError, match=match):
        task(**changes)


LABELS = Y.clone()
LABELS[19] = 37


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"batch_size": 21}, "batch size 21 exceeds the 20 training examples"),
        ({"train": (X, LABELS)}, "the model gives 3 outputs but the labels go up to 37"),
        ({"test": (X, LABELS)}, "the model gives 3 outputs but the labels go up to 37"),
        ({"train": (X, Y - 1)}, "the labels go down to -1: they must count from 0"),
        ({"train": (X, Y.float())}, r"cross entropy needs integer labels, got \(8,\) float32"),
        ({"model": lambda: "net"}, "must return a torch.nn.Module, got str"),
        ({"model": nn.Identity}, "the model Identity has no trainable parameters"),
        ({"model": lambda: nn.Linear(4, 3).requires_grad_(False)}, "no trainable parameters"),
        ({"model": lambda: nn.Linear(5, 3)}, r"the model raised RuntimeError: .* on train inputs \(8, 4\) float32"),
        ({"test": (X[:, :2], Y)}, r"the model raised RuntimeError: .* on test inputs \(8, 2\)"),
        ({"train": X}, r"a batch of train must be \(inputs, targets\) or a mapping of tensors, got \(8, 4\) float32"),
        ({"model": Two}, "the loss raised TypeError: .* on outputs tuple of Tensor, Tensor"),
        ({"optimizer": lambda params: torch.optim.SGD(params)}, None),
        ({"optimizer": lambda params: torch.optim.SGD(params, lr=-1)}, "optimizer factory raised ValueError: Invalid"),
        ({"optimizer": lambda params: "sgd"}, "must return a torch.optim.Optimizer, got str"),
        ({"optimizer": lambda params: sgd([nn.Parameter(X)])}, "holds none of the model's parameters"),
        ({"schedule": lambda optimizer: None}, "the schedule factory raised TypeError"),
        ({"schedule": lambda optimizer, total: 0.1}, "must return a learning-rate scheduler, got float"),
        ({"schedule": lambda optimizer, total: LambdaLR(optimizer, lambda t: 1 - t / total)}, None),
        ({"loss": lambda o, t: F.cross_entropy(o, t, reduction="none")}, r"must be a scalar .* got \(8,\) float32"),
        ({"loss": lambda o, t: 1.0}, "loss must be a scalar tensor, .* got float"),
        ({"loss": lambda o, t: F.cross_entropy(o.detach(), t)}, "the loss has no gradient"),
        ({"loss": lambda o, t: nn.Parameter(X).sum()}, "does not depend on any trainable parameter"),
        ({"loss": lambda o, t: o.mean() / 0}, r"the loss of the untrained model is (nan|-?inf)"),
        ({"loss": lambda o, t: F.mse_loss(o, t)}, r"UserWarning: Using a target size .* outputs \(8, 3\)"),
        ({"metric": Metric(name="m", per_example=lambda o, t: o.mean())}, r"'m' must give one .* \(5,\), got \(\)"),
        ({"metric": Metric(name="m", per_example=lambda o, t: o.no)}, "metric 'm' raised AttributeError"),
        ({"predict": lambda o: o}, r"predict must give one number per example, \(5,\), got \(5, 3\) float32"),
        ({"predict": lambda o: o[:, 0]}, r"predict must give integers, got \(5,\) float32"),
        ({"augment": lambda x, u: x[:2], "augment_draws": 1}, "augment must return 8 inputs for 8"),
        ({"augment": lambda x, u: x @ u}, "augment raised RuntimeError"),
    ],
)
def test_parts_that_do_not_fit_are_named_by_the_check(changes, match):
    made = task(**changes)
    if match is None:
        made.check()
        return
    with pytest.raises(LastbitError, match=match) as caught:
        made.check()
    assert "\n" not in str(caught.value)


def test_ignored_labels_are_no_error():
    ignored = torch.where(Y == 0, -100, Y)
    made = task(train=(X, ignored), test=(X, ignored))
    made.check()
    with pytest.raises(LastbitError, match="they must count from 0"):
        replace(made, train=(X, torch.where(Y == 0, -7, Y))).check()
