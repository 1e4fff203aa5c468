"""How the runs of a study are executed: chosen once, kept in the study, and the same when it is resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.store import StudyFolder
from lastbit.studies.frame.progress import GridProgress
from lastbit.train.executors.choose import ExecutorChoice, choose_executor
from lastbit.train.jobs import Executor, WorkerFactory

__all__ = ["Interrupted", "check_workers", "choose_execution", "interrupted", "now_and_then"]

_PROGRESS_SECONDS = 0.3
"""Shortest time between two progress reports of one run."""


class Interrupted(LastbitError):
    """The user stopped the study; finished runs are safe."""

    exit_code = ExitCode.INTERRUPTED


def interrupted(folder: StudyFolder, done: int, total: int, what: str, did: str = "finished") -> Interrupted:
    """Return the error of a study that the user stopped, which says how to go on, and note the stop in the study."""
    folder.event("interrupted", f"{done} of {total} {what} finished")
    return Interrupted(
        f"stopped with {done} of {total} {what} {did} and safe: continue with lastbit {folder.facts['kind']} "
        f"--resume {folder.path}"
    )


def check_workers(workers: Any) -> None:
    """Refuse what is no number of processes; None is for the measurement to decide.

    Raises:
        LastbitError: it is not a whole number of at least 1.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise LastbitError(f"--workers = {workers!r}: give a whole number of processes, at least 1")


def choose_execution(
    folder: StudyFolder,
    factory: WorkerFactory,
    workers: int | None,
    jobs: int,
    progress: GridProgress,
    *,
    travels: bool,
    begun: bool,
    threads: int | None = None,
) -> Executor:
    """Return the executor for the runs that are left, and keep the choice in the study's facts.

    Args:
        folder: the study, opened to write.
        factory: makes a worker.
        workers: number of processes; 1 stays in this process; None measures.
        jobs: number of runs that are left.
        progress: told what was chosen.
        travels: whether other processes could rebuild what is trained; else the runs stay in this one.
        begun: whether runs of the study are in already, whose number of threads the others must share.
        threads: intra-op threads of the runs that stay in this process; torch's own number by default.
    """
    if not travels and workers != 1 and jobs > 1:
        progress.event(
            "this Task cannot be sent to other processes: runs go one after another "
            "(put it in a file and name it FILE.py:FUNCTION to use every core)"
        )
        workers = 1
    before = folder.facts.get("execution")
    if begun and before is not None:
        # The number of threads decides the order of sums. Several processes have one each.
        count = min(workers or before["workers"], jobs) if before["threads"] == 1 else 1
        choice = ExecutorChoice(count, before["threads"], "as the study was begun")
        executor = choice.build(factory)
    else:
        if workers is None and jobs > 1:
            progress.event("measuring a few steps: one process with all threads, or one thread each in several ...")
        choice, executor = choose_executor(factory, workers, jobs, threads=threads)
        progress.event(f"{choice.workers} process(es) x {choice.threads} thread(s) ({choice.reason})")
    folder.update_facts(execution={"workers": choice.workers, "threads": choice.threads, "reason": choice.reason})
    return executor


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
