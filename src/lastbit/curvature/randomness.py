"""The random generators a forward pass may draw from, captured, replayed and put back bit for bit."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["RandomState"]


@dataclass(frozen=True)
class RandomState:
    """The state of torch's generators (CPU and the devices named), Python's and NumPy's.

    A measurement replays one captured state before every forward pass, so that dropout draws the same mask in every
    product, and puts back what it found, so that training goes on as if it had not happened.
    """

    python: Any
    numpy: Any
    cpu: Tensor
    devices: tuple[tuple[torch.device, Tensor], ...]

    @classmethod
    def capture(cls, devices: Iterable[torch.device] = ()) -> RandomState:
        """Read every generator without moving it."""
        others = sorted({device for device in devices if device.type != "cpu"}, key=str)
        found = [(device, torch.get_device_module(device).get_rng_state(device)) for device in others]
        # NumPy's legacy generator is read because layers and augmentations in user code draw from it.
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), tuple(found))  # noqa: NPY002

    def restore(self) -> None:
        """Set every generator to this state."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.set_rng_state(self.cpu)
        for device, state in self.devices:
            torch.get_device_module(device).set_rng_state(state, device)

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Run the body from this state and leave the generators as they were found."""
        found = RandomState.capture(device for device, _ in self.devices)
        self.restore()
        try:
            yield
        finally:
            found.restore()
