"""The controls of every kind of study, made to fail: a repeat that differs, a perturbation that is seen only once."""

import json
import os

import pytest
import torch
from torch import nn

from lastbit import Task, audit, eos, trace

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


def plain_loss(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets)


def hooked(hook, lr=0.5):
    """Gradient descent, after whose every step `hook(step, parameters)` is called."""

    def make(parameters):
        parameters = list(parameters)
        optimizer = torch.optim.SGD(parameters, lr=lr)
        steps = []

        def after(*_):
            steps.append(1)
            with torch.no_grad():
                hook(len(steps), parameters)

        optimizer.register_step_post_hook(after)
        return optimizer

    return make


def noise():
    return int.from_bytes(os.urandom(4), "little") / 2**32


def task(hook=lambda step, parameters: None, **more):
    settings = {
        "name": "toy",
        "model": lambda: nn.Sequential(nn.Linear(4, 40), nn.Tanh(), nn.Linear(40, 3)),
        "train": (X, Y),
        "test": (X, Y),
        "epochs": 12,
        "batch_size": 20,
        "loss": plain_loss,
        "optimizer": hooked(hook),
    }
    return Task(**{**settings, **more})


def disturbed(at, **more):
    """A task that no seed governs: after step `at` its weights are moved by what the operating system draws."""

    def disturb(step, parameters):
        if step == at:
            parameters[0].add_(1e-3 * (noise() - 0.5))

    return task(disturb, **more)


def result_of(study):
    return json.loads((study.path / "result.json").read_text("utf-8"))


def first_step(control):
    first = control["first_difference"]
    return first["step"] if isinstance(first, dict) else first


def test_an_eos_whose_repeat_differs_says_so(tmp_path):
    study = eos(disturbed(at=7, epochs=4), out=tmp_path / "s", every=1, twins=1, quiet=True)
    result = result_of(study)
    control = result["cells"][0]["control"]
    assert control["bitwise_identical"] is False
    assert first_step(control) == 7
    assert result["verdict_kind"] == "not_reproducible"
    assert "step 7" in study.verdict
    assert not study.passed


def test_an_eos_compares_the_losses_of_its_repeat_between_measurements(tmp_path):
    """Weights are compared at step 19 alone; the loss of step 8 shows what happened after step 7."""
    control = result_of(eos(disturbed(at=7), out=tmp_path / "s", every=19, twins=1, quiet=True))["cells"][0]["control"]
    assert control["bitwise_identical"] is False
    assert first_step(control) == 8


def test_an_eos_whose_repeat_differs_in_its_losses_alone_says_so(tmp_path):
    def noisy(outputs, targets):
        return plain_loss(outputs, targets) + noise()

    study = eos(task(loss=noisy, epochs=4), out=tmp_path / "s", every=1, twins=1, quiet=True)
    control = result_of(study)["cells"][0]["control"]
    assert control["bitwise_identical"] is False
    assert first_step(control) == 1
    assert not study.passed


def test_an_eos_whose_repeat_matches_says_so(tmp_path):
    study = eos(task(epochs=4), out=tmp_path / "s", every=1, twins=1, quiet=True)
    control = result_of(study)["cells"][0]["control"]
    assert (control["bitwise_identical"], first_step(control)) == (True, None)
    assert study.passed


def test_a_trace_whose_repeat_differs_says_so(tmp_path):
    study = trace(disturbed(at=7), out=tmp_path / "s", twins=1, quiet=True)
    control = result_of(study)["members"][0]["control"]
    assert control["bitwise_identical"] is False
    assert first_step(control) == 7
    assert "step 7" in study.verdict
    assert not study.passed


def warm_up(optimizer, total):
    """No step at all at first: rescaled or not, the first update is 0."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: float(step > 0))


def forget(optimizer, total):
    """Weights that differ after every step but the last, when they are all set to 0."""

    def rate(step):
        if step == total:
            for parameter in optimizer.param_groups[0]["params"]:
                parameter.data.zero_()
        return 1.0

    return torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


@pytest.mark.parametrize(
    ("settings", "first", "last"),
    [({"schedule": warm_up}, False, True), ({"schedule": forget}, True, False), ({}, True, True)],
    ids=["seen only in the end", "seen only at first", "seen at both"],
)
def test_a_perturbation_seen_at_either_end_has_landed(tmp_path, settings, first, last):
    study = audit(task(**settings), seeds=2, perturbations=3, workers=1, out=tmp_path / "s", quiet=True)
    landing = result_of(study)["perturbation"]
    assert (landing["first_step_share"]["min"] > 0, landing["last_step_share"]["min"] > 0) == (first, last)
    assert landing["landed_fraction"] == 1
    assert landing["not_landed"] == []
    assert study.passed


def test_a_perturbation_seen_at_neither_end_has_not_landed(tmp_path):
    still = task(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    study = audit(still, seeds=2, perturbations=3, workers=1, out=tmp_path / "s", quiet=True)
    landing = result_of(study)["perturbation"]
    assert landing["landed_fraction"] == 0
    assert len(landing["not_landed"]) == 4
    assert not study.passed
