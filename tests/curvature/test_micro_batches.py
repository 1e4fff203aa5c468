"""Micro-batches of losses that are no plain mean: the Hessian of the whole, or a refusal."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.curvature import GaussNewtonOperator, HessianOperator, ModelLoss, StabilityMonitor, stable_learning_rates
from lastbit.curvature.decomposition import batch_scale

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(11, 4, generator=GENERATOR, dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 0, 0, 0, 2, 1, 0, 2, 1])


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()


def own_sum(outputs, targets):
    return 0.5 * (outputs - F.one_hot(targets, 3)).square().sum()


def masked_mean(outputs, targets):
    kept = (targets != 2).double()
    return (F.cross_entropy(outputs, targets, reduction="none") * kept).sum() / kept.sum()


LOSSES = {
    "own sum": own_sum,
    "sum over a constant": lambda z, y: own_sum(z, y) / 7,
    "partial": partial(F.cross_entropy, reduction="sum"),
    "ignored": partial(F.cross_entropy, ignore_index=0),
    "class weights": nn.CrossEntropyLoss(weight=torch.tensor([0.1, 2.0, 5.0], dtype=torch.float64)),
    "mask": masked_mean,
    "mean": F.cross_entropy,
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_hessian_is_that_of_the_whole(name):
    # With ignored class 0, examples 3 to 5 are parts of their own without any loss.
    model = network()
    vectors = torch.randn(3, 27, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for operator in (HessianOperator, GaussNewtonOperator):
        whole = operator(model, LOSSES[name], (X, Y))
        for micro_batch in (1, 2, 4, 7):
            parts = operator(model, LOSSES[name], (X, Y), micro_batch=micro_batch)
            for vector in vectors:
                torch.testing.assert_close(parts @ vector, whole @ vector, rtol=1e-9, atol=1e-12)
            for left, right in zip(parts.loss_and_gradient(), whole.loss_and_gradient(), strict=True):
                torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(parts.dense(), whole.dense(), rtol=1e-9, atol=1e-12)


def root_mean_square(outputs, targets):
    return (outputs - F.one_hot(targets, 3)).square().mean().sqrt()


def test_a_loss_that_does_not_add_up_is_refused_with_the_cure():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    penalised = lambda z, y: own_sum(z, y) + sum(p.square().sum() for p in model.parameters())  # noqa: E731
    calls = [
        lambda: HessianOperator(model, root_mean_square, (X, Y), micro_batch=3),
        lambda: HessianOperator(model, penalised, (X, Y), micro_batch=3),
        lambda: StabilityMonitor(model, optimizer, root_mean_square, (X, Y), micro_batch=3),
        lambda: stable_learning_rates(model, root_mean_square, (X, Y), optimizer, micro_batch=3),
        lambda: HessianOperator(model, ModelLoss(lambda m, b: LOSSES["ignored"](m(b[0]), b[1])), (X, Y), micro_batch=7),
    ]
    for call in calls:
        with pytest.raises(LastbitError, match="leave micro_batch out") as caught:
            call()
        assert "\n" not in str(caught.value)
    for given in ("mean", "sum"):
        with pytest.raises(LastbitError, match=f"no {given} over its micro-batches"):
            HessianOperator(model, LOSSES["class weights"], (X, Y), micro_batch=3, reduction=given)


@pytest.mark.parametrize("micro_batch", [1, 3, 7])
@pytest.mark.parametrize("loss_fn", [F.cross_entropy, own_sum])
def test_a_loss_that_calls_the_model_is_told_by_two_splits(loss_fn, micro_batch):
    model, loss = network(), ModelLoss(lambda model, batch: loss_fn(model(batch[0]), batch[1]))
    parts = HessianOperator(model, loss, (X, Y), micro_batch=micro_batch)
    torch.testing.assert_close(parts.dense(), HessianOperator(model, loss, (X, Y)).dense(), rtol=1e-9, atol=1e-12)


def test_the_monitor_derives_the_weights_once():
    model, calls = network(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.register_forward_hook(lambda *_: calls.append(1) if not torch.is_grad_enabled() else None)
    monitor = StabilityMonitor(model, optimizer, own_sum, (X, Y), micro_batch=4, budget=None, tol=1e-6)
    looks = len(calls)
    found = monitor.measure().sharpness
    assert looks == len(calls) == 3
    top = torch.linalg.eigvalsh(HessianOperator(model, own_sum, (X, Y)).dense())[-1]
    assert found == pytest.approx(float(top), rel=1e-5)


def test_a_probe_of_a_loss_that_sums_stands_for_a_batch():
    model = network()
    assert batch_scale(model, own_sum, (X, Y), 44) == 4.0
    assert batch_scale(model, LOSSES["ignored"], (X, Y), 44) == 1.0
    assert batch_scale(model, root_mean_square, (X, Y), 44) == 1.0
    with pytest.raises(LastbitError, match="neither averages nor sums"):
        batch_scale(model, lambda z, y: own_sum(z, y).sqrt(), (X, Y), 44)
