"""How the runs of a study are executed: chosen once, kept in the study, and the same when it is resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.report.formatting import plural
from lastbit.store import StudyFolder
from lastbit.studies.frame.progress import GridProgress
from lastbit.train.executors.choose import ExecutorChoice, choose_executor, gpus, unmeasured_choice
from lastbit.train.jobs import Executor, WorkerFactory

__all__ = ["Asked", "Interrupted", "choose_execution", "interrupted", "now_and_then"]

_PROGRESS_SECONDS = 0.3
"""Shortest time between two progress reports of one run."""


_MOST = 4096
"""Processes or threads: more is a slip of the pen, and each costs memory."""


@dataclass(frozen=True)
class Asked:
    """How the user wants the runs executed; a number that is None is for a measurement to decide."""

    workers: int | None = None
    """Number of processes; 1 stays in this one."""
    threads: int | None = None
    """Intra-op threads of each."""
    checkpoint_seconds: float = 20.0
    """Time between the checkpoints of a run."""

    def __post_init__(self) -> None:
        """Refuse what is no number of either."""
        _check_count("--workers", self.workers)
        _check_count("--threads", self.threads)


class Interrupted(LastbitError):
    """The user stopped the study; finished runs are safe."""

    exit_code = ExitCode.INTERRUPTED


def interrupted(folder: StudyFolder, done: int, total: int, what: str, did: str = "finished") -> Interrupted:
    """Return the error of a study that the user stopped, which says how to go on, and note the stop in the study."""
    there = f"{done} of {plural(total, what)}"
    folder.event("interrupted", f"{there} finished")
    said = f"stopped with {there} {did} and safe" if done or total > 1 else f"stopped before the {what} was {did}"
    return Interrupted(f"{said}: continue with lastbit {folder.facts['kind']} --resume {folder.path}")


def _check_count(flag: str, count: Any) -> None:
    """Refuse what is no number of processes or threads; None is for the measurement to decide.

    Raises:
        LastbitError: it is not a whole number of at least 1.
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST):
        what = flag.removeprefix("--").replace("workers", "processes")
        raise LastbitError(f"{flag} = {count!r}: give a whole number of {what}, 1 to {_MOST}")


def choose_execution(
    folder: StudyFolder,
    factory: WorkerFactory,
    asked: Asked,
    jobs: int,
    progress: GridProgress,
    *,
    travels: bool,
    measured: bool,
    shared: bool,
    small: bool,
) -> Executor:
    """Return the executor for the runs that are left, and keep the choice in the study before any step is taken.

    A study that was begun goes on with the threads that it was begun with, whether a run of it has ended or not.

    Args:
        folder: the study, opened to write.
        factory: makes a worker.
        asked: what the user fixed.
        jobs: number of runs that are left.
        progress: told what was chosen.
        measured: whether steps of it can be taken to measure how fast they are.
        shared: whether the runs write into one folder.
        travels: whether other processes could rebuild what is trained; else the runs stay in this one.
        small: whether every step is too small for several threads to share.

    Raises:
        LastbitError: other threads are asked for than those that the study was begun with; a step raised.
    """
    workers, before, one_gpu = asked.workers, folder.facts.get("execution"), False
    if not travels and workers != 1 and jobs > 1:
        progress.event(
            "what is trained cannot be sent to other processes: runs go one after another "
            "(put it in a file and name it FILE.py:FUNCTION to use every core)"
        )
        workers = 1
    if before is not None:
        threads = before["threads"]
        if asked.threads not in (None, threads):
            raise LastbitError(
                f"{folder.path} was begun with --threads {threads}, not {asked.threads}: the number decides the order "
                "of sums; leave --threads out to resume, or start another study with --out"
            )
        choice = ExecutorChoice(min(workers or before["workers"], jobs), threads, "as the study was begun")
        one_gpu = before.get("one_gpu", False)
        executor = choice.build(factory, places=_one_gpu_each() if one_gpu else ())
    else:
        if measured:
            progress.event("choosing processes and threads: as asked, or by a few measured steps ...")
            choice, executor = choose_executor(factory, workers, jobs, threads=asked.threads, small=small)
        else:
            choice = unmeasured_choice(workers, jobs, threads=asked.threads, shared=shared)
            one_gpu = shared and choice.workers > 1 and bool(gpus())
            executor = choice.build(factory, places=_one_gpu_each() if one_gpu else ())
        progress.event(
            f"{plural(choice.workers, 'process', 'processes')} × {plural(choice.threads, 'thread')} ({choice.reason})"
        )
    chosen = {"workers": choice.workers, "threads": choice.threads, "reason": choice.reason}
    # How many a run sees decides its bits: so it stays, whatever number of processes the study is resumed with.
    folder.update_facts(execution={**chosen, "one_gpu": True} if one_gpu else chosen)
    return executor


def _one_gpu_each() -> list[dict[str, str]]:
    return [{"CUDA_VISIBLE_DEVICES": name} for name in gpus()]


def now_and_then(progress: Callable[[int], None]) -> Callable[[int], None]:
    """Return a `progress` that may be called at every step, and passes on a few calls a second."""
    last = 0.0

    def on_step(position: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _PROGRESS_SECONDS:
            last = now
            progress(position)

    return on_step
