"""`ReorderBatch`: what the model sees, what the loss sees, and what is refused."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lastbit.core.errors import LastbitError
from lastbit.perturb.reorder_batch import ReorderBatch

Pair = namedtuple("Pair", ["logits", "loss"])


class Spy(nn.Module):
    """Keeps what it saw; answers in the form asked for."""

    def __init__(self, answer=lambda y: y):
        super().__init__()
        self.linear, self.answer, self.seen = nn.Linear(3, 2).double(), answer, []

    def forward(self, x, mask=None, **rest):
        self.seen.append((x.detach().clone(), None if mask is None else mask.clone()))
        return self.answer(self.linear(x))


def attached(model, seed=0):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return optimizer, ReorderBatch(seed=seed).attach(optimizer, model)


def batch(n=16):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_model_sees_a_permutation_and_the_loss_the_original_order():
    model, x = Spy(), batch()
    _, attachment = attached(model)
    y = model(x, mask=torch.arange(16))
    seen, mask = model.seen[0]
    assert not torch.equal(seen, x)
    assert torch.equal(seen, x[mask])
    assert torch.equal(torch.sort(mask).values, torch.arange(16))
    attachment.detach()
    torch.testing.assert_close(y, model(x), rtol=1e-14, atol=1e-14)
    assert torch.equal(model.seen[1][0], x)


def test_gradients_are_the_same_sums_in_another_order():
    model, x = Spy(), batch().requires_grad_()
    grads = []
    for perturbed in (True, False):
        _, attachment = attached(model)
        if not perturbed:
            attachment.detach()
        loss = ((model(x) - torch.arange(32.0).view(16, 2)) ** 2).sum()
        grads.append(torch.autograd.grad(loss, [*model.parameters(), x]))
        attachment.detach()
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_order_changes_with_step_and_seed_but_not_within_a_step():
    orders = []
    for seed in (0, 0, 1):
        model = Spy()
        optimizer, _ = attached(model, seed)
        for _ in range(2):
            model(batch())
            model(batch())
            optimizer.step()
        orders.append([seen for seen, _ in model.seen])
    assert torch.equal(orders[0][0], orders[0][1])
    assert not torch.equal(orders[0][1], orders[0][2])
    assert all(torch.equal(a, b) for a, b in zip(orders[0], orders[1], strict=True))
    assert not torch.equal(orders[0][0], orders[2][0])


def test_a_checkpointed_forward_pass_meets_the_same_order_again():
    model, x = Spy(), batch().requires_grad_()
    attached(model)
    want = torch.autograd.grad((model(x) ** 3).sum(), list(model.parameters()))
    got = torch.autograd.grad((checkpoint(model, x, use_reentrant=False) ** 3).sum(), list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_evaluation_is_left_alone():
    model, x = Spy().eval(), batch()
    attached(model)
    model(x)
    assert torch.equal(model.seen[0][0], x)


@pytest.mark.parametrize(
    "answer",
    [
        lambda y: (y, y.sum()),
        lambda y: [y, None],
        lambda y: {"logits": y, "kind": "raw"},
        lambda y: Pair(y, y.mean()),
    ],
    ids=["tuple", "list", "dict", "namedtuple"],
)
def test_outputs_in_containers_are_put_back_in_order(answer):
    model, x = Spy(answer), batch()
    _, attachment = attached(model)
    got = model(x)
    attachment.detach()
    want = model(x)
    assert type(got) is type(want)
    got, want = (list(each.values()) if isinstance(each, dict) else list(each) for each in (got, want))
    for a, b in zip(got, want, strict=True):
        if isinstance(b, torch.Tensor):
            torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)
        else:
            assert a == b


@dataclass
class Answer:
    logits: torch.Tensor


def test_outputs_that_cannot_be_put_back_are_refused():
    model = Spy(Answer)
    attached(model)
    with pytest.raises(LastbitError, match="output of type Answer: return tensors"):
        model(batch())
    model = Spy(lambda y: y.t())
    attached(model)
    with pytest.raises(LastbitError, match=r"batch of 16 in dimension 0 of every output, got \(2, 16\)"):
        model(batch())


def test_inputs_without_a_common_batch_are_refused():
    model = Spy()
    attached(model)
    with pytest.raises(LastbitError, match=r"one batch size in dimension 0, got sizes \[5, 16\]"):
        model(batch(), mask=torch.arange(5))


def test_the_model_must_be_given_and_be_the_one_that_is_trained():
    model = Spy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(LastbitError, match="needs the model: write"):
        ReorderBatch().attach(optimizer)
    with pytest.raises(LastbitError, match="holds none of its parameters"):
        ReorderBatch().attach(optimizer, Spy())


@pytest.mark.parametrize(
    "module",
    [
        nn.Dropout(0.1),
        nn.Dropout2d(0.5),
        nn.RReLU(),
        nn.LSTM(3, 3, 2, dropout=0.2),
        nn.MultiheadAttention(4, 2, dropout=0.1),
    ],
    ids=lambda module: type(module).__name__,
)
def test_modules_that_draw_per_sample_are_refused(module):
    model = nn.Sequential(nn.Linear(3, 3), module)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(LastbitError, match="random numbers of '1'"):
        ReorderBatch().attach(optimizer, model)
    assert not model._forward_pre_hooks


def test_dropout_at_rate_zero_is_accepted():
    model = nn.Sequential(nn.Linear(3, 3).double(), nn.Dropout(0.0))
    attached(model)
    assert model(batch()).shape == (16, 3)
