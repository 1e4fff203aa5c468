"""The process-wide random generators (torch on the CPU and on devices, NumPy, Python): saved, restored and lent.

A user's layers, data sets and augmentations may draw from any of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lastbit.core.seeds import stream_seed

__all__ = ["CPU", "LentGenerators", "replayed", "restore", "same", "save", "seed_all"]

CPU = torch.device("cpu")


def save(*devices: torch.device) -> dict[str, Any]:
    """Return the state of every generator, those of devices under their names, without moving any."""
    state = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "python": random.getstate(),
    }
    for device in devices:
        if device.type != "cpu":
            state[str(device)] = torch.get_device_module(device).get_rng_state(device)
    return state


def restore(state: Mapping[str, Any], *devices: torch.device) -> None:
    """Set every generator to a state that `save` returned."""
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    random.setstate(state["python"])
    for device in devices:
        if device.type != "cpu":
            torch.get_device_module(device).set_rng_state(state[str(device)], device)


def same(state: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether the CPU's generators stand alike in two states that `save` returned."""
    (_, keys, *at), (_, other_keys, *other_at) = state["numpy"], other["numpy"]
    return (
        torch.equal(state["torch"], other["torch"])
        and state["python"] == other["python"]
        and at == other_at
        and bool((keys == other_keys).all())
    )


def seed_all(seed: int, device: torch.device = CPU) -> None:
    """Set every generator, that of `device` too, to the start of its stream of `seed`."""
    # Not torch.manual_seed, which would seed every other accelerator of the process too.
    torch.default_generator.manual_seed(stream_seed(seed, "torch"))
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(stream_seed(seed, "torch"))
    np.random.seed(stream_seed(seed, "numpy") % 2**32)  # noqa: NPY002
    random.seed(stream_seed(seed, "python"))


@contextmanager
def replayed(state: Mapping[str, Any], device: torch.device = CPU) -> Iterator[None]:
    """Run the body from `state`, the same each time, and leave the generators as they were found."""
    found = save(device)
    restore(state, device)
    try:
        yield
    finally:
        restore(found, device)


class LentGenerators:
    """The generators as one run sees them, seeded by `seed`: lent while `active`, and the caller's put back after it.

    A run that is active again draws on from where it stood, whatever others drew in between.
    """

    def __init__(self, seed: int, device: torch.device = CPU) -> None:
        self._device = device
        with replayed(save(device), device):
            seed_all(seed, device)
            self._state = save(device)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let the run draw from its own states."""
        with replayed(self._state, self._device):
            try:
                yield
            finally:
                self._state = save(self._device)
