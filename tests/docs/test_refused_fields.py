"""What does not fit a field of a Task is one line that says what to write, and exit code 2, before a folder is made."""

import re

import pytest

from lastbit.cli.app import main

FILE = """
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from lastbit import ACCURACY, BINARY_ACCURACY, MSE, Metric, Task

X = torch.randn(96, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
sgd = lambda params: torch.optim.SGD(params, lr=0.1)
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
first = lambda outputs, targets: outputs[:, 0]


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head, self.relu = nn.Linear(6, 6), nn.Linear(6, 2), nn.ReLU()

    def forward(self, pixels, both=False):
        out = self.head(self.relu(self.body(pixels)))
        return {"logits": out, "pixels": pixels} if both else out


class Both(Parts):
    def forward(self, pixels):
        return super().forward(pixels, both=True)


class Losing(Parts):
    def forward(self, pixels, label):
        logits = super().forward(pixels)
        return {"loss": nn.functional.cross_entropy(logits, label), "logits": logits}


def step(state, batch):
    state.optimizer.zero_grad()
    loss = nn.functional.cross_entropy(state.model(batch[0]), batch[1])
    loss.backward()
    state.optimizer.step()
    return loss


def keeps(what):
    def keeping(state, batch):
        state.kept["it"] = what
        return step(state, batch)

    return keeping


def ends(state, batch):
    raise SystemExit(3)


def made(**changes):
    usual = dict(name="bad", model=Parts, train=(X, Y), test=(X[:40], Y[:40]), optimizer=sgd, epochs=2, batch_size=16)
    return Task(**usual | changes)


def task():
    return made(CHANGES)
"""

REFUSED = {
    "step='mine'": "step must be a function or None, got 'mine'",
    "step=lambda: None": "the step raised TypeError",
    "step=lambda state, batch: None": "the step must return the loss, .* got NoneType",
    "step=lambda state, batch: step(state, batch).item()": "the step must return the loss, .* got float",
    "step=lambda state, batch: torch.zeros(3)": r"the step must return the loss, .* got \(3,\) float32",
    "step=lambda state, batch: step(state, batch) / 0": "the loss of the first step is inf",
    "step=lambda state, batch: state.scheduler": "the step raised AttributeError: .* no attribute 'scheduler'",
    "step=ends": "the step raised SystemExit: 3",
    "step=keeps(object())": "cannot write state/step/kept/it to a checkpoint: a object is not a number",
    "step=keeps({1, 2})": "cannot write state/step/kept/it to a checkpoint: a set is not a number",
    "step=step, optimizer={'body': sgd, 'head': sgd}": r"are body, head: write state.optimizers\['body'\]",
    "step=step, loss=lambda outputs, targets: outputs": "the loss must be a scalar tensor",
    "optimizer={}": "optimizer must be a function, got {}",
    "optimizer=[sgd, sgd]": r"optimizer must be a function, got a list: write optimizer=lambda params: \[",
    "optimizer=lambda params: []": "the optimizer factory returned none",
    "optimizer=lambda params: ['adam']": "must return a torch.optim.Optimizer, got str",
    "optimizer={'head': sgd(nn.Linear(1, 1).parameters())}": r"optimizer\['head'\] must be a function .* write lambda",
    "optimizer={'tail': sgd}": "optimizer 'tail' has the name of no part of the model: its parts are body, head, relu",
    "optimizer={'relu': sgd}": "optimizer 'relu' is of a part of the model that has no parameters",
    "optimizer=lambda params: [sgd(params), sgd(params)]": r"begin with params = list\(params\)",
    "optimizer={'body': torch.optim.LBFGS, 'head': sgd}": "needs a step of the task's own",
    "schedule={'adam': plateau}": "schedule 'adam' is of no optimizer: they are called optimizer",
    "schedule=[plateau]": "schedule must be a function, got a list: write schedule=lambda optimizer, steps:",
    "schedule=lambda optimizer: None": "the schedule factory raised TypeError",
    "schedule=lambda optimizer, steps: 0.1": "must return a learning-rate scheduler, got float",
    "schedule=lambda optimizer, steps: plateau(optimizer, 'max')": "follows the metric: give the task validation=",
    "step=step, validation=(X, Y), schedule=lambda optimizer, steps: plateau(optimizer)": "give the task loss=",
    "metrics=ACCURACY": r"metrics must be a list of Metrics, got a Metric: write metrics=\[",
    "metrics=['accuracy']": "must be a lastbit Metric, got 'accuracy'",
    "metrics=[ACCURACY, BINARY_ACCURACY]": "got 'accuracy' twice",
    "metric=MSE, metrics=[ACCURACY]": "not both: the first of metrics is the metric",
    "metric=Metric(name='test_loss', per_example=first)": "name must be its own",
    "metric=Metric(name=' ', per_example=first)": "a metric's name must be a word, got ' '",
    "metric=Metric(name=3, per_example=first)": "a metric's name must be a word, got 3",
    "metric=Metric(name='x')": "metric 'x' needs one function: .*; got none",
    "metric=Metric(name='x', per_example=first, over_all=first)": "got per_example and over_all",
    "metric=Metric(name='x', per_example=first, unit=5)": "the unit of metric 'x' must be text, .* got 5",
    "metric=Metric(name='x', per_example=first, higher_is_better='no')": "must be True or False, got 'no'",
    "metric=Metric(name='x', over_all=first)": r"'x' raised .* must give one number .* got \(40,\) float32",
    "metric=Metric(name='x', over_all=lambda outputs, targets: {'f1': 1})": "must give one number .* got dict of f1",
    "metric=Metric(name='x', over_all=lambda outputs, targets: 1 / 0)": "metric 'x' raised ZeroDivisionError",
    "metric=BINARY_ACCURACY": "binary accuracy needs one logit",
    "metric=BINARY_ACCURACY, model=lambda: nn.Linear(6, 1), train=(X, 2 * Y - 1), test=(X, 2 * Y - 1), "
    "loss=lambda outputs, targets: outputs.mean()": "binary accuracy needs the labels 0 and 1, got -1 to 1",
    "validation=0.2": "validation that is not a Dataset, .* must be tensors or arrays, .* got float",
    "validation=(X[:, :3], Y)": "the model raised RuntimeError: .* on validation inputs",
    "validation=(X[:0], Y[:0])": "validation: no examples",
    "select='best'": "select = 'best' needs validation examples: write validation=",
    "select='bets', validation=(X, Y)": "unknown select 'bets' .*did you mean 'best'",
    "patience=0": "patience must be a whole number of at least 1, got 0",
    "sampler=torch.utils.data.RandomSampler(X)": "must be a function, got a RandomSampler: write sampler=lambda",
    "sampler=lambda: range(96)": "the sampler raised TypeError",
    "sampler=lambda generator: range(200)": "the sampler draws example 199, but they count from 0 to 95",
    "sampler=lambda generator: [0.5] * 96": "the sampler must give indices of examples",
    "sampler=lambda generator: [1, 2, 3]": "the sampler draws fewer examples than a batch of 16",
    "sampler=lambda generator: iter(int, 1)": "the sampler does not end",
    "sampler=lambda generator: [[1, 2]] * int(torch.randint(1, 99, (), generator=generator))": "as many in each",
    "drop_last='no'": "drop_last must be True or False, got 'no'",
    "train={'image': X, 'label': Y}": "image, label, of which the model takes none by name: it takes both, pixels",
    "train={'pixels': X, 'label': Y}": r"write loss=.* cross_entropy\(outputs, targets\['label'\]\)",
    "model=Losing, train={'pixels': X, 'label': Y}": r"write loss=lambda outputs, batch: outputs\['loss'\]",
    "model=Both": r"write loss=.* cross_entropy\(outputs\['logits'\], targets\)",
    "train={'pixels': X.tolist(), 'label': Y.tolist()}": "must be tensors or arrays, .* got dict of pixels: list",
    "train={'pixels': X, 'label': Y}, loss=lambda outputs, batch: outputs.mean(), augment=lambda x, draws: x": (
        "augment takes batches of one input tensor, got dict of pixels: Tensor: use a step of its own"
    ),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.items(), ids=[changes[:60] for changes in REFUSED])
def test_what_does_not_fit_is_one_line_and_exit_code_2(tmp_path, capsys, changes, words):
    path, folder = tmp_path / "bad.py", tmp_path / "study"
    path.write_text(FILE.replace("CHANGES", changes))
    assert main(["audit", "--task", f"{path}:task", "--seeds", "2", "--perturbations", "2", "--out", str(folder)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(words, said), said
    assert not folder.exists()
