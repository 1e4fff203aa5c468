"""What a process says of itself on its tapes: versions, settings, and where its generators stand."""

from __future__ import annotations

import os
import platform
import random
import sys
from zlib import crc32

import numpy as np
import torch

import lastbit

__all__ = ["generators", "settings", "versions"]


_WORDS = 624
"""Of a Mersenne Twister: Python's stands behind the last of them until something draws from it."""

_FRESH = 623
"""Where NumPy's stands that nobody has seeded or drawn from."""


def versions() -> dict[str, str]:
    """Return the versions of what a training depends on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "lastbit": lastbit.__version__,
    }


def settings() -> dict[str, str]:
    """Return the settings under which the results of this process hold."""
    return {
        "threads": str(torch.get_num_threads()),
        "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "random" if sys.flags.hash_randomization else "0"),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        else platform.machine(),
    }


def generators() -> dict[str, str]:
    """Return CRC-32s of the states of the global generators, by their library; `NAME drawn` says that it was used.

    NumPy's counts as used where somebody has only seeded it.
    """
    numbers = np.random.get_state(legacy=False)  # noqa: NPY002
    place, words = numbers["state"]["pos"], random.getstate()[1]
    states = {
        "torch": torch.default_generator.get_state().numpy().tobytes(),
        "numpy": numbers["state"]["key"].tobytes() + repr((place, numbers["gauss"])).encode(),
        "random": repr(random.getstate()).encode(),
    }
    drawn = {"numpy": place != _FRESH, "random": words[-1] < _WORDS}
    return {name: f"{crc32(state):08x}" for name, state in states.items()} | {
        f"{name} drawn": "yes" if was else "no" for name, was in drawn.items()
    }
