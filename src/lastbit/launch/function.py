"""One training by a Python function, with every optimizer that steps in it perturbed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core.determinism import deterministic
from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.core.seeds import stream_seed
from lastbit.launch.arrays import record_arrays
from lastbit.launch.everywhere import Everywhere, Met
from lastbit.launch.record import Recorder
from lastbit.launch.records import read_processes
from lastbit.perturb.base import Perturbation

__all__ = ["FunctionRun", "call_seeded", "run_function"]


@dataclass(frozen=True)
class FunctionRun:
    """What one call of a training function left behind."""

    returned: Any
    steps: int
    """Steps of all optimizers."""
    perturbed: dict[str, str]
    """How each kind of optimizer was perturbed, or why not, by its class."""
    first: dict[str, Tensor]
    """The weights of all optimizers after their first step, by `opt0.group.place`."""
    final: dict[str, Tensor]
    """The same after the last."""
    arrays: dict[str, np.ndarray[Any, Any]]
    """What was recorded of the steps, see `launch.arrays`."""

    @property
    def finite(self) -> bool:
        """Whether every final weight is a finite number."""
        return all(bool(torch.isfinite(weight).all()) for weight in self.final.values())


def run_function(
    function: Callable[[int], Any],
    seed: int,
    perturbation: Perturbation,
    *,
    name: str,
    every: int | None = None,
    device: torch.device | None = None,
) -> FunctionRun:
    """Call `function(seed)` with every optimizer perturbed, under generators that the seed decides.

    Args:
        function: trains.
        seed: what it is called with; the global generators are seeded by it too, and put back afterwards.
        perturbation: of every optimizer's steps.
        name: of the function, for messages.
        every: steps between two records, a power of two; as many as keep recording below 3% of the time by default.
        device: whose generator is lent beside the CPU's; the first CUDA device where there is one by default.

    Raises:
        LastbitError: no optimizer took a step, or none of them could be perturbed.
        Exception: whatever the function raises.
    """
    home = os.getpid()

    def after(met: Met) -> None:
        if os.getpid() == home:  # what a forked child trains is not the function's
            recorder.step(met)

    with (
        tempfile.TemporaryDirectory(prefix="lastbit-") as folder,
        _seeded(seed, device),
        Everywhere(perturbation, on_step=after, keep_first=True) as everywhere,
    ):
        recorder = Recorder(Path(folder), every, let_go=False)
        returned = function(seed)
        recorder.finish()
        first, final = everywhere.first_weights(), everywhere.weights()
        arrays = record_arrays(read_processes(Path(folder)))
    if not everywhere.steps:
        raise LastbitError(
            f"{name} made no optimizer step: what it trains must be updated by a torch.optim.Optimizer in this process"
        )
    refused = [met.refused for met in everywhere.met if met.refused]
    if len(refused) == len(everywhere.met):
        raise LastbitError(f"no optimizer of {name} can be perturbed: {refused[0]}")
    perturbed = {met.name: met.refused or met.perturbed for met in everywhere.met}
    return FunctionRun(returned, everywhere.steps, perturbed, first, final, arrays)


def call_seeded(function: Callable[[int], Any], seed: int, device: torch.device | None = None) -> Any:
    """Call `function(seed)` as `run_function` does, with nothing done to its optimizers, and return what it returns."""
    with _seeded(seed, device):
        return function(seed)


@contextmanager
def _seeded(seed: int, device: torch.device | None) -> Iterator[None]:
    where = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with LentGenerators(stream_seed(seed, "function"), where).active(), deterministic():
        yield
