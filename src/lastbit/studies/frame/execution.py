"""How the runs of a study are executed: chosen once, kept in the study, and the same when it is resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lastbit.core.errors import LastbitError, choose
from lastbit.core.exit_codes import ExitCode
from lastbit.core.threads import threads as torch_threads
from lastbit.core.words import typed
from lastbit.report.formatting import plural
from lastbit.store import StudyFolder
from lastbit.studies.frame.kind import Plan
from lastbit.studies.frame.memory import MemoryFormat
from lastbit.studies.frame.progress import GridProgress
from lastbit.studies.frame.travel import home_of, luggage_of
from lastbit.train.executors.away import Luggage
from lastbit.train.executors.choose import (
    EXECUTORS,
    ExecutorChoice,
    choose_executor,
    default_workers,
    gpus,
    unmeasured_choice,
)
from lastbit.train.executors.on_ray import RayExecutor, RayRoom
from lastbit.train.executors.ray_cluster import check_address, check_installed
from lastbit.train.jobs import Executor, Together, WorkerFactory
from lastbit.train.memory_format import MEMORY_FORMATS

__all__ = [
    "Asked",
    "Interrupted",
    "choose_execution",
    "interrupted",
    "now_and_then",
]

_PROGRESS_SECONDS = 0.3
"""Shortest time between two progress reports of one run."""


_ON_CPU, _ON_GPU = 8, 32
"""Runs that are taken in step unless otherwise asked: activations of so many fit a cache, or feed an accelerator."""

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


def choose_execution(
    folder: StudyFolder,
    factory: WorkerFactory,
    asked: Asked,
    jobs: int,
    progress: GridProgress,
    *,
    plan: Plan[Any],
    travels: bool,
    measured: bool,
    shared: bool,
    small: bool,
    memory_format: MemoryFormat,
    engine: Callable[[], tuple[str | None, str]],
) -> Executor:
    """Return the executor for the runs that are left, and keep the choice in the study before any step is taken.

    A study that was begun goes on with the threads that it was begun with, whether a run of it has ended or not.

    Args:
        folder: the study, opened to write.
        factory: makes a worker.
        asked: what the user fixed.
        jobs: number of runs that are left.
        progress: told what was chosen.
        plan: what is trained.
        measured: whether steps of it can be taken to measure how fast they are.
        shared: whether the runs write into one folder.
        travels: whether other processes could rebuild what is trained; else the runs stay in this one.
        small: whether every step is too small for several threads to share.
        memory_format: of the networks, which the workers that `factory` makes have too.
        engine: finds what can take the steps of several runs at once, None where nothing can, and why.

    Raises:
        LastbitError: another executor, number of replicas or number of threads is asked for than
            that which the study was begun with; a step raised.
    """
    workers, before, one_gpu = asked.workers, folder.facts.get("execution"), False
    if before is not None:
        _check_resumed(folder, before, asked)
    if asked.executor == "ray":
        threads = before["threads"] if before else asked.threads or max(1, int(asked.per_run_cpus or 1))
        if not travels:
            names = ", ".join(program.name for program in plan.programs if not program.travels)
            raise LastbitError(
                f"--executor ray: {names} cannot be sent to other machines: put it in a file and name it "
                "FILE.py:FUNCTION"
            )
        luggage = luggage_of(factory, plan, folder.path.absolute(), threads)
        on_ray = _on_ray(luggage, asked, progress, shared=shared)
        told = {"workers": asked.workers or 0, "threads": threads, "reason": "as asked", "executor": "ray"}
        told |= {"one_gpu": True} if before and before.get("one_gpu") else {}
        folder.update_facts(execution=told | memory_format.facts)
        return on_ray
    if not travels and workers != 1 and jobs > 1:
        progress.event(
            "what is trained cannot be sent to other processes: runs go one after another "
            "(put it in a file and name it FILE.py:FUNCTION to use every core)"
        )
        workers = 1
    workers = 1 if asked.executor == "serial" else workers
    executor: Executor
    if before is not None:
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
        one_gpu = before.get("one_gpu", False)
        executor = choice.build(factory, places=_one_gpu_each() if one_gpu else ())
    elif asked.executor == "replicas":
        choice = _in_step(asked, jobs, progress, small=small, engine=engine)
        executor = choice.build(factory)
    else:
        if measured and asked.executor is None:
            progress.event("choosing processes and threads: as asked, or by a few measured steps ...")
            choice, executor = choose_executor(factory, workers, jobs, threads=asked.threads, small=small)
        else:
            choice = unmeasured_choice(workers, jobs, threads=asked.threads, shared=shared)
            one_gpu = shared and choice.workers > 1 and bool(gpus())
            executor = choice.build(factory, places=_one_gpu_each() if one_gpu else ())
        progress.event(
            f"{plural(choice.workers, 'process', 'processes')} × {plural(choice.threads, 'thread')} ({choice.reason})"
        )
    chosen: dict[str, Any] = {"workers": choice.workers, "threads": choice.threads, "reason": choice.reason}
    if choice.executor:
        chosen["executor"] = choice.executor
    if choice.together is not None:
        chosen["together"] = asdict(choice.together)
    # How many a run sees decides its bits: so it stays, whatever number of processes the study is resumed with.
    chosen |= {"one_gpu": True} if one_gpu else {}
    folder.update_facts(execution=chosen | memory_format.facts)
    return executor


def _on_ray(luggage: Luggage, asked: Asked, progress: GridProgress, *, shared: bool) -> RayExecutor:
    """Return the executor of a cluster; runs that share a folder go one after another, unless otherwise asked."""
    gpus = asked.per_run_gpus if asked.per_run_gpus is not None else float(luggage.device.startswith("cuda"))
    most = asked.workers or (1 if shared else None)
    if shared and asked.workers is None:
        progress.event("one run after another, for the runs share a folder: --workers N runs N at once")
    cpus = "" if asked.per_run_cpus is None else f" and {typed(asked.per_run_cpus)} CPUs"
    each = plural(luggage.threads, "thread") + cpus + (f" and {typed(gpus)} GPUs" if gpus else "")
    progress.event(f"on Ray ({asked.ray_address or 'RAY_ADDRESS, else local'}), {each} for each run")
    return RayExecutor(
        luggage,
        RayRoom(address=asked.ray_address, cpus=asked.per_run_cpus, gpus=gpus, most=most),
        home=home_of(Path(luggage.home)),
        say=progress.event,
    )


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


def _in_step(
    asked: Asked,
    jobs: int,
    progress: GridProgress,
    *,
    small: bool,
    engine: Callable[[], tuple[str | None, str]],
) -> ExecutorChoice:
    """Choose how runs are taken in step with each other: by the best engine that what is trained allows."""
    threads = asked.threads or (1 if small else torch.get_num_threads())
    size = asked.replicas or min(jobs, _ON_GPU if gpus() else _ON_CPU)
    progress.event("trying one step of runs together ...")
    with torch_threads(threads):
        name, said = engine()
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
