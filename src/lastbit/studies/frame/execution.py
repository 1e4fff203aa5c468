"""How the runs of a study are executed: chosen once, kept in the study, and the same when it is resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.core.threads import threads as torch_threads
from lastbit.core.words import typed
from lastbit.launch.program import CommandProgram
from lastbit.report.formatting import plural
from lastbit.store import StudyFolder
from lastbit.studies.frame.asked import Asked
from lastbit.studies.frame.kind import Plan
from lastbit.studies.frame.memory import MemoryFormat
from lastbit.studies.frame.progress import GridProgress
from lastbit.studies.frame.travel import home_of, luggage_of
from lastbit.train.executors.choose import (
    ExecutorChoice,
    choose_executor,
    default_workers,
    gpus,
    unmeasured_choice,
)
from lastbit.train.executors.on_ray import RayExecutor, RayRoom
from lastbit.train.jobs import Executor, Together, WorkerFactory

__all__ = [
    "Interrupted",
    "Left",
    "choose_execution",
    "interrupted",
    "now_and_then",
]

_PROGRESS_SECONDS = 0.3
"""Shortest time between two progress reports of one run."""


_ON_CPU, _ON_GPU = 8, 32
"""Runs that are taken in step unless otherwise asked: activations of so many fit a cache, or feed an accelerator."""


class Interrupted(LastbitError):
    """The user stopped the study; finished runs are safe."""

    exit_code = ExitCode.INTERRUPTED


def interrupted(folder: StudyFolder, done: int, total: int, what: str, did: str = "finished") -> Interrupted:
    """Return the error of a study that the user stopped, which says how to go on, and note the stop in the study."""
    there = f"{done} of {plural(total, what)}"
    folder.event("interrupted", f"{there} finished")
    said = f"stopped with {there} {did} and safe" if done or total > 1 else f"stopped before the {what} was {did}"
    return Interrupted(f"{said}: continue with lastbit {folder.facts['kind']} --resume {folder.path}")


@dataclass(frozen=True, kw_only=True)
class Left:
    """The runs of a study that are left, as far as how to execute them hangs on it.

    Attributes:
        jobs: how many.
        plan: what is trained.
        small: whether every step is too small for several threads to share.
        memory_format: of the networks, which the workers have too.
        engine: finds what can take the steps of several runs at once, None where nothing can, and why.
    """

    jobs: int
    plan: Plan[Any]
    small: bool
    memory_format: MemoryFormat
    engine: Callable[[], tuple[str | None, str]]

    @property
    def travels(self) -> bool:
        """Whether other processes could rebuild what is trained; else the runs stay in this one."""
        return all(program.travels for program in self.plan.programs)

    @property
    def measured(self) -> bool:
        """Whether steps can be taken to measure how fast they are."""
        return not any(program.is_opaque for program in self.plan.programs)

    @property
    def shared(self) -> bool:
        """Whether the runs write into one folder."""
        return any(isinstance(program.source, CommandProgram) for program in self.plan.programs)


def choose_execution(
    folder: StudyFolder, factory: WorkerFactory, asked: Asked, left: Left, progress: GridProgress
) -> Executor:
    """Return the executor for the runs that are left, and keep the choice in the study before any step is taken.

    A study that was begun goes on with the threads that it was begun with, whether a run of it has ended or not.

    Args:
        folder: the study, opened to write.
        factory: makes a worker.
        asked: what the user fixed.
        left: the runs.
        progress: told what was chosen.

    Raises:
        LastbitError: another executor, number of replicas or number of threads is asked for than
            that which the study was begun with; a step raised.
    """
    before = folder.facts.get("execution")
    if before is not None:
        _check_resumed(folder, before, asked)
    executor: Executor
    if asked.executor == "ray":
        executor, chosen = _on_ray(folder, factory, asked, left, progress)
    elif before is not None:
        executor, chosen = _as_begun(before, factory, _here(asked, left, progress), left.jobs)
    else:
        executor, chosen = _anew(factory, asked, left, progress)
    folder.update_facts(execution=chosen | left.memory_format.facts)
    return executor


def _here(asked: Asked, left: Left, progress: GridProgress) -> int | None:
    """Return how many processes of this machine the runs may have; None is for a measurement to decide."""
    workers = asked.workers
    if not left.travels and workers != 1 and left.jobs > 1:
        progress.event(
            "what is trained cannot be sent to other processes: runs go one after another "
            "(put it in a file and name it FILE.py:FUNCTION to use every core)"
        )
        workers = 1
    return 1 if asked.executor == "serial" else workers


def _as_begun(
    before: Mapping[str, Any], factory: WorkerFactory, workers: int | None, jobs: int
) -> tuple[Executor, dict[str, Any]]:
    """Return the executor of a study that goes on, and what is kept of it."""
    in_step, was = before.get("together"), before.get("executor", "")
    # What a cluster had is no measure of what this machine bears.
    several = before["workers"] if was != "ray" else max(1, default_workers() // before["threads"])
    choice = ExecutorChoice(
        min(workers or several, jobs),
        before["threads"],
        "as the study was begun",
        executor="" if was == "ray" else was,
        together=None if in_step is None else Together(**in_step),
    )
    one_gpu = bool(before.get("one_gpu", False))
    executor = choice.build(factory, places=_one_gpu_each() if one_gpu else ())
    return executor, _kept(choice, one_gpu=one_gpu)


def _anew(factory: WorkerFactory, asked: Asked, left: Left, progress: GridProgress) -> tuple[Executor, dict[str, Any]]:
    """Return the executor of a study that begins, and what is kept of it."""
    workers, one_gpu = _here(asked, left, progress), False
    executor: Executor
    if asked.executor == "replicas":
        choice = _in_step(asked, left, progress)
        return choice.build(factory), _kept(choice)
    if left.measured and asked.executor is None:
        progress.event("choosing processes and threads: as asked, or by a few measured steps ...")
        choice, executor = choose_executor(factory, workers, left.jobs, threads=asked.threads, small=left.small)
    else:
        choice = unmeasured_choice(workers, left.jobs, threads=asked.threads, shared=left.shared)
        one_gpu = left.shared and choice.workers > 1 and bool(gpus())
        executor = choice.build(factory, places=_one_gpu_each() if one_gpu else ())
    progress.event(
        f"{plural(choice.workers, 'process', 'processes')} × {plural(choice.threads, 'thread')} ({choice.reason})"
    )
    return executor, _kept(choice, one_gpu=one_gpu)


def _kept(choice: ExecutorChoice, *, one_gpu: bool = False) -> dict[str, Any]:
    """Return what a study keeps of a choice."""
    kept: dict[str, Any] = {"workers": choice.workers, "threads": choice.threads, "reason": choice.reason}
    if choice.executor:
        kept["executor"] = choice.executor
    if choice.together is not None:
        kept["together"] = asdict(choice.together)
    # How many a run sees decides its bits: so it stays, whatever number of processes the study is resumed with.
    return kept | ({"one_gpu": True} if one_gpu else {})


def _on_ray(
    folder: StudyFolder, factory: WorkerFactory, asked: Asked, left: Left, progress: GridProgress
) -> tuple[RayExecutor, dict[str, Any]]:
    """Return the executor of a cluster, and what is kept of it.

    Runs that share a folder go one after another, unless otherwise asked.

    Raises:
        LastbitError: what is trained cannot be sent to other machines.
    """
    if not left.travels:
        names = ", ".join(program.name for program in left.plan.programs if not program.travels)
        raise LastbitError(
            f"--executor ray: {names} cannot be sent to other machines: put it in a file and name it FILE.py:FUNCTION"
        )
    before = folder.facts.get("execution", {})
    threads = before.get("threads") or asked.threads or asked.cluster_threads
    luggage = luggage_of(factory, left.plan, folder.path.absolute(), threads)
    gpus = asked.per_run_gpus if asked.per_run_gpus is not None else float(luggage.device.startswith("cuda"))
    most = asked.workers or (1 if left.shared else None)
    if left.shared and asked.workers is None:
        progress.event("one run after another, for the runs share a folder: --workers N runs N at once")
    cpus = "" if asked.per_run_cpus is None else f" and {typed(asked.per_run_cpus)} CPUs"
    each = plural(threads, "thread") + cpus + (f" and {typed(gpus)} GPUs" if gpus else "")
    progress.event(f"on Ray ({asked.ray_address or 'RAY_ADDRESS, else local'}), {each} for each run")
    room = RayRoom(address=asked.ray_address, cpus=asked.per_run_cpus, gpus=gpus, most=most)
    executor = RayExecutor(luggage, room, home=home_of(Path(luggage.home)), say=progress.event)
    told = {"workers": asked.workers or 0, "threads": threads, "reason": "as asked", "executor": "ray"}
    return executor, told | ({"one_gpu": True} if before.get("one_gpu") else {})


def _check_resumed(folder: StudyFolder, before: Mapping[str, Any], asked: Asked) -> None:
    """Refuse to go on in a way that gives other bits than the one in which a study was begun.

    Raises:
        LastbitError: says how it was begun.
    """
    was, size = before.get("executor", ""), before.get("together", {}).get("size")
    if asked.executor is not None and (asked.executor == "replicas") != (was == "replicas"):
        how = "with --executor replicas" if was == "replicas" else "without --executor replicas"
        raise LastbitError(
            f"{folder.path} was begun {how}, which decides the last bits: leave --executor out to resume, or start "
            "another study with --out"
        )
    if asked.threads not in (None, before["threads"]):
        raise LastbitError(
            f"{folder.path} was begun with --threads {before['threads']}, not {asked.threads}: the number decides the "
            "order of sums; leave --threads out to resume, or start another study with --out"
        )
    if asked.replicas not in (None, size):
        raise LastbitError(
            f"{folder.path} was begun with "
            + (f"--replicas {size}" if size else "runs one after another, as the task refused to be stacked")
            + f", not {asked.replicas}: leave --replicas out to resume"
        )


def _in_step(asked: Asked, left: Left, progress: GridProgress) -> ExecutorChoice:
    """Choose how runs are taken in step with each other: by the best engine that what is trained allows."""
    threads = asked.threads or (1 if left.small else torch.get_num_threads())
    size = asked.replicas or min(left.jobs, _ON_GPU if gpus() else _ON_CPU)
    progress.event("trying one step of runs together ...")
    with torch_threads(threads):
        name, said = left.engine()
    if name is None:
        progress.event(f"runs go one after another: {said}")
        return ExecutorChoice(1, threads, f"one after another: {said}", executor="replicas")
    if said:
        progress.event(f"runs go in step by {name}: {said}")
    return ExecutorChoice(
        1, threads, f"{plural(size, 'run')} in step, by {name}", executor="replicas", together=Together(name, size)
    )


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
