"""A Ray cluster that is joined once for all that one command runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lastbit.studies.frame.asked import Asked
from lastbit.train.executors.choose import default_workers
from lastbit.train.executors.on_ray import RayRoom
from lastbit.train.executors.ray_cluster import check_room, joined, nodes_alive

__all__ = ["on_cluster"]


@contextmanager
def on_cluster(asked: Asked, device: torch.device, threads: int) -> Iterator[RayRoom | None]:
    """Join the cluster that is asked for; yield None where it is this machine.

    Args:
        asked: what the user wants.
        device: where is trained.
        threads: of each run.

    Raises:
        LastbitError: it cannot be joined, or a run fits on no node of it.
    """
    if asked.executor != "ray":
        yield None
        return
    cpus, gpus = asked.per_run_cpus, asked.per_run_gpus
    cpus = float(threads) if cpus is None else cpus
    gpus = float(device.type == "cuda") if gpus is None else gpus
    with joined(asked.ray_address, max(default_workers(), round((asked.workers or 1) * cpus))):
        check_room(nodes_alive(), cpus, gpus)
        yield RayRoom(address="auto", cpus=cpus, gpus=gpus, most=asked.workers)
