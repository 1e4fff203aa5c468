"""The ways to take the steps of several runs together, by name, and which of them a task allows."""

from __future__ import annotations

import torch

from lastbit.perturb.base import Perturbation
from lastbit.tasks import Task
from lastbit.train.replicas.refused import Refused
from lastbit.train.replicas.trial import check_graphs, check_stack

__all__ = ["ENGINES", "choose_engine"]

ENGINES = {"graphs": check_graphs, "stack": check_stack}
"""What refuses a task that an engine cannot train, by the engine's name; in the order in which they are preferred."""


def choose_engine(
    task: Task, perturbation: Perturbation, *, device: torch.device, dtype: torch.dtype
) -> tuple[str | None, str]:
    """Return the first engine that can train a task, and why those before it cannot.

    Args:
        task: what is trained.
        perturbation: of one of its runs.
        device: where it is trained.
        dtype: format of the weights.

    Returns:
        The name, None where every one refuses; and what they said, empty where none had to.
    """
    said = []
    for name, check in ENGINES.items():
        if name == "graphs" and device.type != "cuda":
            continue
        try:
            check(task, perturbation, device=device, dtype=dtype)
        except Refused as reason:
            said.append(str(reason))
        else:
            return name, "; ".join(said)
    return None, "; ".join(said)
