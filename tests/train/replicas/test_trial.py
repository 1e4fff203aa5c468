"""What no batched pass can stand for says so in one line, before anything is trained."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from small_trainings import CPU, IMAGES, LABELS, Net, make_task
from torch import nn

from lastbit.perturb.base import Identity
from lastbit.perturb.reorder_batch import ReorderBatch
from lastbit.train.replicas.engines import choose_engine

calm = partial(Net, dropout=0.0)


class Tricky(nn.Module):
    """A network that does something particular in every pass."""

    def __init__(self, trick):
        super().__init__()
        self.own, self.trick, self.scale = nn.Linear(36, 3), trick, torch.rand(36)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images):
        return self.own(self.trick(self, images.flatten(1)))


def counting(network, x):
    network.seen = network.seen * 0.9 + x.mean()
    return x


def hooked():
    network = calm()
    network.conv.register_forward_hook(lambda module, inputs, output: output)
    return network


TRICKS = {
    "branches on the values": lambda network, x: x if x.sum() > 0 else -x,
    r"reads a value that it computes \(.item": lambda network, x: x * float(x.sum() > 0),
    "its examples or its network draw at random": lambda network, x: x * np.random.rand(),  # noqa: NPY002
    "its loss would be another than alone": lambda network, x: x * network.scale,
    "its buffers would be another than alone": counting,
    "torch cannot batch it": lambda network, x: x + x[x > 0].sum(),
}
TASKS = {
    r"draws at random \(dropout\)": {"model": Net},
    "a step of LBFGS computes the loss several times": {"optimizer": torch.optim.LBFGS, "schedule": None},
    "a training step of its own": {"step": lambda state, batch: None},
    "its network has a hook, at 'conv'": {"model": hooked},
    "networks differ in form from seed to seed": {
        "model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 3, bias=torch.rand(()).item() < 0.5))
    },
}


def refused(task, perturbation=None):
    name, said = choose_engine(task, perturbation or Identity(), device=CPU, dtype=torch.float32)
    assert name is None
    assert "\n" not in said
    return said


@pytest.mark.parametrize("reason", TRICKS)
def test_what_a_network_does_that_cannot_be_stacked(reason):
    task = make_task(model=lambda: Tricky(TRICKS[reason]), train=(IMAGES, LABELS), augment=None, augment_draws=0)
    with np.errstate(all="ignore"):
        assert re.search(reason, refused(task))


@pytest.mark.parametrize("reason", TASKS)
def test_what_a_task_has_that_cannot_be_stacked(reason):
    assert re.search(reason, refused(make_task(**{"model": calm, **TASKS[reason]})))


def test_a_perturbation_inside_the_network_cannot_be_stacked():
    assert "reorder perturbs inside each network" in refused(make_task(model=calm), ReorderBatch(seed=1))


def test_what_can_be_stacked_is():
    assert choose_engine(make_task(model=calm), Identity(), device=CPU, dtype=torch.float64) == ("stack", "")
