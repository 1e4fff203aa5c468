"""Networks laid out in another memory format: the same mathematics, the control, checkpoints, and what refuses it."""

import pytest
import torch
from small_trainings import CPU, make_task
from torch import nn

from lastbit.perturb.base import Identity
from lastbit.train.memory_format import convolved, faster_format, in_format, refusal
from lastbit.train.random_streams import streams
from lastbit.train.training import Training


def convolutional(*more):
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, *more, nn.Linear(32, 3))


def laid_out():
    return convolutional().to(memory_format=torch.channels_last)


def trained(task, dtype=torch.float64, steps=6, *, stopped_after=None):
    """Train, and go on from a checkpoint after some steps in a training of its own."""
    training = Training(task, streams(3), Identity(), device=CPU, dtype=dtype)
    for count in range(steps):
        if count == stopped_after:
            with training.active():
                kept = training.state()
            assert all(tensor.is_contiguous() for tensor in kept[0].values())
            training.close()
            training = Training(task, streams(3), Identity(), device=CPU, dtype=dtype)
            with training.active():
                training.restore(kept)
        with training.active():
            training.step()
    training.close()
    return training


def test_the_mathematics_are_those_of_the_task():
    plain = make_task(model=convolutional)
    training, other = trained(plain), trained(in_format(plain, "channels_last"))
    assert other.model[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert not other.model[3].weight.is_contiguous()
    assert in_format(plain, "contiguous") is plain
    torch.testing.assert_close(
        torch.from_numpy(other.weights()), torch.from_numpy(training.weights()), rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
        lambda params: torch.optim.AdamW(params, lr=0.01),
        lambda params: torch.optim.Adam(params, lr=0.01, foreach=True),
    ],
)
def test_a_checkpoint_goes_on_with_the_same_bits_and_layout(optimizer):
    task = in_format(make_task(model=convolutional, optimizer=optimizer), "channels_last")
    whole, resumed = (trained(task, torch.float32, stopped_after=after) for after in (None, 3))
    assert (whole.weights() == resumed.weights()).all()
    for parameter, state in resumed.optimizer.state.items():
        for tensor in state.values():
            if isinstance(tensor, torch.Tensor) and tensor.shape == parameter.shape:
                assert tensor.stride() == parameter.stride()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (convolutional, ""),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), "no convolution over images"),
        (lambda: convolutional(nn.Dropout(0.5)), "draws random numbers"),
        (laid_out, "a memory format of its own"),
    ],
)
def test_what_has_no_other_format_says_why(model, said):
    why = refusal(make_task(model=model), device=CPU, dtype=torch.float32)
    assert said in why
    assert bool(said) is bool(why)


def test_multiply_adds_are_counted_by_hand():
    # 8 images of 6 x 6: outputs of 4 x 4 with 9 inputs each, then of 2 x 2 with 36.
    assert convolved(make_task(model=convolutional)) == 8 * (4 * 16 * 9 + 8 * 4 * 36)


def test_the_faster_of_the_two_is_chosen(monkeypatch):
    taken = iter([3.0, 2.0, 2.8, 2.5])
    monkeypatch.setattr("lastbit.train.memory_format.step_seconds", lambda *_, **__: next(taken))
    name, told = faster_format(make_task(model=convolutional), device=CPU, dtype=torch.float32)
    assert (name, told) == ("channels_last", "a step is 1.4 times as fast in channels_last as in contiguous")
    taken = iter([2.1, 2.0, 2.1, 2.0])
    assert faster_format(make_task(model=convolutional), device=CPU, dtype=torch.float32)[0] == "contiguous"
