"""What should be known before the runs is said before them, and stays with the study."""

import warnings
from dataclasses import replace

import pytest
import torch
from own_steps import Untaught
from torch import nn

import lastbit
from lastbit import Task

X = torch.rand(64, 6, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 2.5).long()


def made(model, optimizer, epochs=2):
    return Task(
        name="toy",
        model=model,
        train=(X[:48], Y[:48]),
        test=(X[48:], Y[48:]),
        optimizer=optimizer,
        epochs=2,
        batch_size=16,
    )


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def muon(parameters):
    return torch.optim.Muon(list(parameters), lr=0.02)


def untaught(parameters):
    return Untaught(parameters, lr=1e-3)


def two_layers(width=16):
    return nn.Sequential(nn.Linear(6, width, bias=False), nn.ReLU(), nn.Linear(width, 2, bias=False))


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (torch.float16, "is made in float16, but is trained in float32 (--dtype takes float32, float64, bfloat16)"),
        (torch.float64, "is made in float64, but is trained in float32 (--dtype float64 trains it in that)"),
        (torch.float32, ""),
    ],
)
def test_a_model_of_another_format_is_said_to_be_trained_in_float32(tmp_path, capsys, dtype, words):
    task = made(lambda: nn.Linear(6, 2).to(dtype), sgd)
    study = lastbit.audit(task, seeds=1, perturbations=2, workers=1, out=tmp_path / "study")
    said = capsys.readouterr().err
    assert words in said
    assert words in study.result.advice
    assert ("is made in" in said) == bool(words)


def test_a_model_trained_in_its_own_format_needs_no_word(tmp_path):
    task = made(lambda: nn.Linear(6, 2).double(), sgd)
    study = lastbit.sharpness(task, dtype="float64", out=tmp_path / "study", quiet=True)
    assert "is made in" not in study.result.advice


@pytest.mark.parametrize(
    ("optimizer", "perturb", "words"),
    [
        (untaught, "rescale", "of the weights; --perturb rounding changes "),
        (muon, "rescale", ""),
        (muon, "reorder", "In the first 3 steps --perturb reorder changes no weight; --perturb rounding changes "),
        (muon, "rounding", ""),
        (sgd, "rescale", ""),
        (sgd, "reorder", ""),
        (lambda parameters: torch.optim.SGD(parameters, lr=0.0), "rescale", "no other perturbation does more"),
    ],
)
def test_a_perturbation_that_hardly_lands_is_named_before_the_runs(tmp_path, capsys, optimizer, perturb, words):
    task = made(two_layers, optimizer)
    study = lastbit.audit(task, perturb=perturb, seeds=1, perturbations=2, workers=1, out=tmp_path / "study")
    before_the_runs = capsys.readouterr().err.partition("[1/")[0]
    assert words in before_the_runs
    assert words in study.result.advice
    assert ("In the first" in before_the_runs) == bool(words)


SUM = nn.CrossEntropyLoss(reduction="sum")
WEIGHTED = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))


@pytest.mark.parametrize(
    ("loss", "sums"),
    [(SUM, True), (lambda o, t: SUM(o, t) / 16, True), (WEIGHTED, False), (lambda o, t: SUM(o, t).sqrt(), False)],
)
def test_a_loss_that_sums_over_its_batch_is_said_once(tmp_path, capsys, loss, sums):
    """With every example twice a sum is doubled, however it is scaled, and a mean, weighted or not, stays."""
    task = replace(made(lambda: nn.Linear(6, 2), sgd), loss=loss)
    words = "is a sum over the batch, where the mean is expected: its learning rate suits batches of 16 alone"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        task.check()
    assert [words in str(one.message) for one in told] == ([True] if sums else [])
    study = lastbit.audit(task, seeds=1, perturbations=2, workers=1, out=tmp_path / "study")
    assert capsys.readouterr().err.count(words) == sums
    assert study.result.advice.count(words) == sums


def test_a_reordered_batch_lands_on_muon_where_the_network_is_not_tiny(tmp_path):
    """Muon rounds its update to bfloat16, which absorbs the last bit of nearly every gradient."""
    wide = made(
        lambda: nn.Sequential(nn.Linear(6, 2048, bias=False), nn.ReLU(), nn.Linear(2048, 2, bias=False)), muon, 6
    )
    settings = {"perturb": "reorder", "seeds": 1, "perturbations": 3, "workers": 1, "quiet": True}
    assert lastbit.audit(wide, out=tmp_path / "study", **settings).result.perturbation.landed_fraction == 1
