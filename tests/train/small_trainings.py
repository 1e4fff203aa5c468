"""A small network with everything that could leak between runs: batch norm, dropout, augmentation, several groups."""

import itertools
import random
from functools import partial

import numpy as np
import torch
from torch import nn

from lastbit.perturb.base import Identity
from lastbit.tasks import Task
from lastbit.tasks.registry import AUGMENTATIONS
from lastbit.tasks.schedules import make_schedule
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

CPU = torch.device("cpu")
_DRAWS = torch.Generator().manual_seed(0)
IMAGES = torch.randn(44, 1, 6, 6, generator=_DRAWS)
LABELS = torch.randint(0, 3, (44,), generator=_DRAWS)


class Net(nn.Module):
    """A CNN of a few weights."""

    def __init__(self, dropout=0.25):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(64, 3)

    def forward(self, images):
        return self.head(self.drop(torch.relu(self.norm(self.conv(images)))).flatten(1))


def sgd(params):
    return torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)


OPTIMIZERS = {
    "nesterov": sgd,
    "adam": lambda params: torch.optim.Adam(params, lr=0.01, amsgrad=True),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda params: torch.optim.RMSprop(params, lr=0.01, momentum=0.5, centered=True),
}


def make_task(**more):
    """Five steps of 8 examples in an epoch (4 of the 44 are left out), two epochs."""
    schedule = more.pop("schedule", "cosine")
    settings = {
        "name": "toy",
        "model": more.pop("model", Net),
        "train": (IMAGES, LABELS),
        "test": (IMAGES[:20], LABELS[:20]),
        "optimizer": sgd,
        "epochs": 2,
        "batch_size": 8,
        "augment": AUGMENTATIONS["crop-flip"].make(1),
        "augment_draws": 3,
        "schedule": partial(make_schedule, name=schedule) if isinstance(schedule, str) else schedule,
    }
    return Task(**{**settings, **more})


def make_training(task=None, seed=0, perturbation=None, dtype=torch.float32, **more):
    return Training(task or make_task(), streams(seed), perturbation or Identity(), device=CPU, dtype=dtype, **more)


def bits(x):
    """The bytes of a tensor or array, so that NaN equals NaN and -0.0 differs from 0.0."""
    if isinstance(x, torch.Tensor):
        x = x.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return np.ascontiguousarray(x).tobytes()


def snapshot(training):
    """Every bit of a training that later steps depend on; needs to be taken while it is active."""
    tensors, facts = training.state()
    return {name: (tensor.dtype, tuple(tensor.shape), bits(tensor)) for name, tensor in tensors.items()}, facts


def finish(training, steps=None):
    """Step to the end (or `steps` times) and return the snapshot there."""
    with training.active():
        for _ in itertools.repeat(None, steps or training.total_steps - training.position):
            training.step()
        return snapshot(training)


def outside():
    """What belongs to the caller and must stay as it is."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return (
        bits(torch.get_rng_state()),
        numpy_state[1].tobytes(),
        numpy_state[2:],
        random.getstate(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
    )
