"""How the user wants the runs of a study executed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lastbit.core.errors import LastbitError, choose
from lastbit.train.executors.choose import EXECUTORS
from lastbit.train.executors.ray_cluster import check_address, check_installed
from lastbit.train.memory_format import MEMORY_FORMATS

__all__ = ["Asked"]

_MOST = 4096
"""Processes or threads: more is a slip of the pen, and each costs memory."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How the user wants the runs executed; a number that is None is for a measurement to decide."""

    workers: int | None = None
    """Number of processes; 1 stays in this one."""
    threads: int | None = None
    """Intra-op threads of each."""
    checkpoint_seconds: float = 20.0
    """Time between the checkpoints of a run."""
    executor: str | None = None
    """A key of `EXECUTORS`, or `ray`; None measures."""
    replicas: int | None = None
    """How many runs are taken in step with each other."""
    ray_address: str | None = None
    """Of a cluster, as `lastbit.train.executors.ray_cluster.joined` takes it."""
    per_run_cpus: float | None = None
    """Of a run on a cluster; None is its threads."""
    per_run_gpus: float | None = None
    """Of a run on a cluster; None is 0, or 1 where it trains on a GPU."""
    memory_format: str | None = None
    """One of `MEMORY_FORMATS`; None measures, where the number of threads is measured too."""

    @property
    def cluster_threads(self) -> int:
        """Threads of a run on a cluster where none are named: as many as it has CPUs."""
        return max(1, int(self.per_run_cpus or 1))

    def __post_init__(self) -> None:
        """Refuse what is no number, and what does not go together."""
        _check_count("--workers", self.workers)
        _check_count("--threads", self.threads)
        _check_count("--replicas", self.replicas)
        if self.executor is not None:
            choose(self.executor, (*EXECUTORS, "ray"), "--executor")
        if self.memory_format is not None:
            choose(self.memory_format, MEMORY_FORMATS, "--memory-format")
        if self.executor == "replicas" and self.memory_format not in (None, MEMORY_FORMATS[0]):
            raise LastbitError(
                f"--memory-format {self.memory_format}: --executor replicas takes networks as the task makes them: "
                "leave one of them out"
            )
        if self.replicas is not None and self.executor != "replicas":
            raise LastbitError(f"--replicas {self.replicas} belongs to --executor replicas: write both")
        if self.executor in ("serial", "replicas") and (self.workers or 1) > 1:
            raise LastbitError(
                f"--workers {self.workers}: --executor {self.executor} has one process: leave one of them out"
            )
        if self.executor == "ray":
            check_installed()
            check_address(self.ray_address)
            _check_share("--per-run-cpus", self.per_run_cpus, zero=False)
            _check_share("--per-run-gpus", self.per_run_gpus, zero=True)
            return
        for name in ("ray_address", "per_run_cpus", "per_run_gpus"):
            if getattr(self, name) is not None:
                flag = f"--{name.replace('_', '-')}"
                raise LastbitError(f"{flag} {getattr(self, name)} belongs to --executor ray: add that, or leave it out")


def _check_count(flag: str, count: Any) -> None:
    """Refuse what is no number of processes or threads; None is for the measurement to decide.

    Raises:
        LastbitError: it is not a whole number of at least 1.
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST):
        what = flag.removeprefix("--").replace("workers", "processes")
        raise LastbitError(f"{flag} = {count!r}: give a whole number of {what}, 1 to {_MOST}")


def _check_share(flag: str, share: Any, *, zero: bool) -> None:
    """Refuse what is no number of CPUs or GPUs as Ray shares them out: whole, or a part of one.

    Raises:
        LastbitError: says what to write.
    """
    if share is None or (zero and share == 0 and not isinstance(share, bool)):
        return
    number = isinstance(share, int | float) and not isinstance(share, bool)
    if not number or not 0.001 <= share <= _MOST or (share > 1 and share != int(share)):
        raise LastbitError(f"{flag} {share}: give a whole number, or a part of one such as 0.25")
