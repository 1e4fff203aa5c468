"""A few steps of a small network as a digest: machines whose arithmetic differs hardly agree in it."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from lastbit.core.determinism import deterministic
from lastbit.core.generators import LentGenerators

__all__ = ["step_digest"]

_STEPS, _IMAGES = 3, 64


def step_digest(device: torch.device) -> str:
    """Return a digest of the weights of a small CNN after a few steps, computed with the threads in use.

    Equal digests do not prove that two machines compute alike; different ones prove that they do not.
    """
    with LentGenerators(0).active(), deterministic():
        layers = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 14 * 14, 10)]
        model = nn.Sequential(*layers)
        inputs, targets = torch.randn(_IMAGES, 3, 16, 16), torch.randint(10, (_IMAGES,))
        model, inputs, targets = model.to(device), inputs.to(device), targets.to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    digest = hashlib.blake2b(digest_size=16)
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
