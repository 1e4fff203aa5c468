"""Is this still the task that the study was begun with?"""

from __future__ import annotations

import hashlib

import torch

from lastbit.core.generators import LentGenerators
from lastbit.tasks import Task

__all__ = ["fingerprint"]


def fingerprint(*tasks: Task) -> str:
    """Return a digest of each task's sizes, its model's initial weights under one seed, and its first samples.

    It tells a changed file, data set or model from the one a study was begun with; it is no proof of equality.
    """
    digest = hashlib.blake2b(digest_size=16)
    for task in tasks:
        _add(digest, task)
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, task: Task) -> None:
    with LentGenerators(0).active():
        model = task.model()
        optimizer = task.optimizer(model.parameters())
        samples = [split.batch(torch.arange(min(4, len(split)))) for split in (task.train, task.test)]
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().double().numpy().tobytes())
    for inputs, targets in samples:
        digest.update(inputs.cpu().double().numpy().tobytes())
        digest.update(targets.cpu().double().numpy().tobytes())
    groups = [{key: repr(value) for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    digest.update(f"{task.name}{len(task.train)}{len(task.test)}{task.epochs}{task.batch_size}{groups}".encode())
