"""The process-wide settings under which a training repeats bit for bit, set for a while and put back."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from lastbit.core.seeds import stream_seed

__all__ = ["GlobalGenerators", "deterministic"]


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask torch for deterministic algorithms, no autotuning and no TF32, and put everything back at the end.

    An operation without a deterministic algorithm warns and goes on: whether the run repeats is then for the control
    to find, which measures it.
    """
    # cuBLAS reads this when its handle is made; without it, matrix products may pick another workspace each run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    benchmark, tf32 = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    matmul = torch.get_float32_matmul_precision()
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = benchmark, tf32
        torch.set_float32_matmul_precision(matmul)


class GlobalGenerators:
    """The states of the process-wide generators (torch on CPU and on one CUDA device, NumPy, Python) that one run sees.

    Swapped in while the run is stepped and out afterwards, so that runs in one process do not share draws and the
    caller's generators are left as they were.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        outside = self._read()
        # Not torch.manual_seed, which would seed every other accelerator of the process too.
        torch.default_generator.manual_seed(stream_seed(seed, "torch"))
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(stream_seed(seed, "torch"))
        np.random.seed(stream_seed(seed, "numpy") % 2**32)  # noqa: NPY002 -- user data sets draw from it
        random.seed(stream_seed(seed, "python"))
        self._state = self._read()
        self._write(outside)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let the run draw from its own states."""
        outside = self._read()
        self._write(self._state)
        try:
            yield
        finally:
            self._state = self._read()
            self._write(outside)

    def _read(self) -> dict[str, object]:
        state: dict[str, object] = {
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state(),  # noqa: NPY002
            "python": random.getstate(),
        }
        if self._device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self._device)
        return state

    def _write(self, state: dict[str, object]) -> None:
        torch.set_rng_state(state["torch"])  # type: ignore[arg-type]
        np.random.set_state(state["numpy"])  # type: ignore[arg-type]  # noqa: NPY002
        random.setstate(state["python"])  # type: ignore[arg-type]
        if "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self._device)  # type: ignore[arg-type]

    def current(self) -> dict[str, object]:
        """Return the live states, while active."""
        return self._read()

    def restore(self, state: dict[str, object]) -> None:
        """Set the live states, while active."""
        self._write(state)
