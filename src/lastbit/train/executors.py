"""Serial and multi-process execution of a grid of jobs.

Processes are started fresh (never forked, and without running the caller's main module again), hold one worker each and
take the next job when they are free, so a slow job keeps one process busy and not the grid. Jobs and results travel
over pipes between parent and child only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from lastbit.core.errors import LastbitError
from lastbit.train.jobs import ATTEMPTS, Crashed, Event, Executor, Finished, Job, Progressed, Started, WorkerFactory

__all__ = ["ExecutorChoice", "ProcessExecutor", "SerialExecutor", "choose_executor", "default_workers"]


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class SerialExecutor:
    """Runs the jobs one after another in this process, with `threads` intra-op threads."""

    def __init__(self, factory: WorkerFactory, *, threads: int) -> None:
        self._factory = factory
        self._threads = threads

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; see `Executor.run`."""
        with _threads(self._threads):
            worker = self._factory()
            for job in jobs:
                for attempt in range(1, ATTEMPTS + 1):
                    on_event(Started(job, attempt))
                    try:
                        result = worker.run(job.payload, partial(_progress, on_event, job))
                    except LastbitError:
                        raise
                    except Exception as error:
                        on_event(Crashed(job, attempt, one_line(error), attempt == ATTEMPTS))
                    else:
                        on_event(Finished(job, attempt, result))
                        break

    def step_seconds(self) -> float:
        """Measure one step of the work in this process."""
        with _threads(self._threads):
            return self._factory().step_seconds()


def _progress(on_event: Callable[[Event], None], job: Job, state: Any) -> None:
    on_event(Progressed(job, state))


def one_line(error: BaseException) -> str:
    """Return an exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    connection: Connection
    job: Job | None = None
    attempt: int = 0


class ProcessExecutor:
    """Runs jobs on `workers` processes with `threads` intra-op threads each."""

    def __init__(self, factory: WorkerFactory, *, workers: int, threads: int = 1) -> None:
        self._factory = factory
        self._workers = workers
        self._threads = threads
        self._children: list[_Child] = []

    def _start_child(self) -> _Child:
        ours, theirs = Pipe()
        command = [sys.executable, "-m", "lastbit.train.child", str(theirs.fileno()), str(self._threads)]
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._threads), "PYTHONPATH": path}
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        theirs.close()
        ours.send(self._factory)
        child = _Child(process, ours)
        self._children.append(child)
        return child

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; see `Executor.run`."""
        waiting = deque((job, 1) for job in jobs)
        try:
            while len(self._children) < min(self._workers, len(jobs)):
                self._start_child()
            while waiting or any(child.job for child in self._children):
                for child in self._children:
                    if child.job is None and waiting:
                        child.job, child.attempt = waiting.popleft()
                        on_event(Started(child.job, child.attempt))
                        with suppress(BrokenPipeError, ConnectionResetError):
                            child.connection.send(("run", child.job.payload))
                busy = [child for child in self._children if child.job is not None]
                ready = wait([child.connection for child in busy])
                for child in busy:
                    if child.connection in ready:
                        self._receive(child, waiting, on_event)
        finally:
            self.close()

    def _receive(self, child: _Child, waiting: deque[tuple[Job, int]], on_event: Callable[[Event], None]) -> None:
        job, attempt = child.job, child.attempt
        assert job is not None
        try:
            kind, value = child.connection.recv()
        except (EOFError, ConnectionResetError):
            kind, value = "died", f"its process died ({_exit_reason(child.process)})"
            self._replace(child)
        if kind == "progress":
            on_event(Progressed(job, value))
            return
        child.job = None
        if kind == "done":
            on_event(Finished(job, attempt, value))
        elif kind == "stop":
            raise LastbitError(value)
        else:
            final = attempt >= ATTEMPTS
            on_event(Crashed(job, attempt, value, final))
            if not final:
                waiting.append((job, attempt + 1))

    def _replace(self, child: _Child) -> None:
        child.connection.close()
        child.process.wait()
        self._children.remove(child)
        self._start_child()

    def step_seconds(self) -> list[float]:
        """Measure one step of the work on every process at once (they go on to run the jobs)."""
        while len(self._children) < self._workers:
            self._start_child()
        for child in self._children:
            child.connection.send(("ready", None))
        for child in self._children:
            self._answer(child)
        for child in self._children:
            child.connection.send(("measure", None))
        return [self._answer(child) for child in self._children]

    @staticmethod
    def _answer(child: _Child) -> Any:
        try:
            kind, value = child.connection.recv()
        except (EOFError, ConnectionResetError):
            raise LastbitError(
                f"a worker process died before its first run ({_exit_reason(child.process)}): try --workers 1"
            ) from None
        if kind != "done":
            raise LastbitError(f"a worker process could not start ({value}): try --workers 1")
        return value

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for child in self._children:
            child.connection.close()
            child.process.terminate()
        deadline = time.monotonic() + 5
        for child in self._children:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()


def _exit_reason(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        return "it closed its pipe"
    if code == -9:
        return "killed by signal 9, often for want of memory"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


@dataclass(frozen=True)
class ExecutorChoice:
    """How a study's runs are executed. Part of the study: the number of threads decides the order of sums."""

    workers: int
    threads: int
    reason: str

    def build(self, factory: WorkerFactory) -> Executor:
        """Make the executor."""
        if self.workers == 1:
            return SerialExecutor(factory, threads=self.threads)
        return ProcessExecutor(factory, workers=self.workers, threads=self.threads)


def choose_executor(factory: WorkerFactory, workers: int | None, jobs: int) -> tuple[ExecutorChoice, Executor]:
    """Choose how to execute `jobs` jobs, by measuring a few steps of each way where `workers` is None.

    Args:
        factory: makes a worker.
        workers: number of processes; 1 means in this process with all threads; None measures.
        jobs: number of jobs to come.
    """
    cores = default_workers()
    if workers is not None or cores == 1 or jobs == 1:
        count = min(workers or 1, jobs)
        choice = ExecutorChoice(count, cores if count == 1 else 1, "as asked")
        return choice, choice.build(factory)
    serial = SerialExecutor(factory, threads=cores)
    one = serial.step_seconds()
    processes = ProcessExecutor(factory, workers=min(cores, jobs))
    try:
        several = sum(1 / seconds for seconds in processes.step_seconds())
    except BaseException:
        processes.close()
        raise
    said = f"measured: {1 / one:.0f} steps/s in one process, {several:.0f} in {min(cores, jobs)}"
    if several > 1 / one:
        return ExecutorChoice(min(cores, jobs), 1, said), processes
    processes.close()
    return ExecutorChoice(1, cores, said), serial
