"""Runs of one task from start to end, all of whose steps are taken together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import torch

from lastbit.core.errors import LastbitError
from lastbit.core.recorder import Recorder
from lastbit.perturb.base import Identity, Perturbation
from lastbit.perturb.reorder_batch import ReorderBatch
from lastbit.tasks import Task
from lastbit.train.jobs import RunFailed, Together
from lastbit.train.random_streams import Streams
from lastbit.train.replicas.graphs import Graphs
from lastbit.train.replicas.refused import Refused, reason_of
from lastbit.train.replicas.stack import Stack
from lastbit.train.run import RunBook, RunOutcome
from lastbit.train.training import Training
from lastbit.train.weighed import Weigh, weighed

__all__ = ["Replica", "run_together", "trainings_of"]


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One of the runs."""

    streams: Streams
    """The seeds of its random decisions."""
    perturbation: Perturbation
    """What happens to the last bit of its updates."""
    recorder: Recorder
    """Takes its arrays and checkpoints."""
    on_step: Callable[[int], None] = lambda position: None
    """Called with the number of steps taken, after each."""
    weigh: Weigh = weighed
    """What is kept of its weights."""


_ENGINES: dict[str, type[Graphs | Stack]] = {"graphs": Graphs, "stack": Stack}
"""What takes the steps, by name."""


def trainings_of(
    task: Task, replicas: Sequence[Replica], *, device: torch.device, dtype: torch.dtype, scope: ExitStack
) -> list[Training]:
    """Return the trainings of the replicas, which share the examples in memory and are closed with `scope`.

    Raises:
        Refused: a perturbation acts inside the network.
    """
    if any(isinstance(one.perturbation, ReorderBatch) for one in replicas):
        raise Refused("reorder perturbs inside each network")
    placed = replace(
        task,
        train=task.train.to(device, dtype),
        test=task.test.to(device, dtype),
        validation=None if task.validation is None else task.validation.to(device, dtype),
    )
    return [
        scope.enter_context(closing(Training(placed, one.streams, one.perturbation, device=device, dtype=dtype)))
        for one in replicas
    ]


def run_together(
    task: Task,
    replicas: Sequence[Replica],
    *,
    together: Together,
    device: torch.device,
    dtype: torch.dtype,
    checkpoint_seconds: float = 20.0,
) -> list[RunOutcome | Exception]:
    """Train up to `together.size` runs of a task in step and report to their recorders, as `run_training` does.

    The size decides bits: a stack that is not full is filled up with copies of its first run, whose results nobody
    asks for. A run that ends early stays in the stack, and is looked at no more.

    Args:
        task: what is trained.
        replicas: the runs, at most as many as the stack has places.
        together: the engine that takes the steps, and the number of places.
        device: where to train.
        dtype: format of the weights.
        checkpoint_seconds: time between checkpoints, which are written at the end of epochs.

    Returns:
        How each run ended, in their order: an exception where looking at this one raised it.

    Raises:
        Refused: the task cannot be stacked.
        Exception: whatever the task's own code raises in a step, which is of all.
    """
    engine = _ENGINES[together.engine]
    filled = [replace(replicas[0], perturbation=Identity(), recorder=Recorder())] * (
        together.size - len(replicas) if engine.filled else 0
    )
    ended: dict[int, RunOutcome | Exception] = {}
    with ExitStack() as scope:
        trainings = trainings_of(task, [*replicas, *filled], device=device, dtype=dtype, scope=scope)
        stack = engine(trainings)
        how = {"engine": together.engine, "replicas": together.size if engine.filled else 0}
        books = [
            RunBook(training, one.recorder, how=how, share=1 / len(replicas), weigh=one.weigh)
            for training, one in zip(trainings, replicas, strict=False)
        ]
        _restore(books, trainings[len(books) :])
        saved = time.perf_counter()
        while stack.position < stack.total and len(ended) < len(books):
            try:
                stack.step()
            except Exception as error:
                if "vmap" not in str(error):
                    raise
                raise RunFailed(
                    f"{reason_of(error)}, at step {stack.position + 1}: leave --executor replicas out"
                ) from error
            at_end = stack.position % task.steps_per_epoch == 0
            due = at_end and time.perf_counter() - saved > checkpoint_seconds
            for place, book in enumerate(books):
                if place in ended:
                    continue
                replicas[place].on_step(stack.position)
                if at_end or stack.position == 1:
                    found = _looked_at(book, last=stack.position == stack.total)
                    if found is not None:
                        ended[place] = found
                    elif due:
                        with book.training.active():
                            book.save()
            saved = time.perf_counter() if due else saved
    return [ended[place] for place in range(len(replicas))]


def _restore(books: Sequence[RunBook], filled: Sequence[Training]) -> None:
    """Go on from the checkpoints, where every run has one of the same step."""
    found = [book.checkpoint() for book in books]
    first = found[0]
    if first is None or {None if one is None else one[1]["position"] for one in found} != {first[1]["position"]}:
        return
    for book in books:
        with book.training.active():
            book.restore()
    for training in filled:
        with training.active():
            training.restore(first)


def _looked_at(book: RunBook, *, last: bool) -> RunOutcome | Exception | None:
    """Look at a run after a step; return how it ended, None of one that goes on."""
    try:
        with book.training.active():
            return book.conclude() if book.stepped() or last else None
    except LastbitError:
        raise
    except Exception as error:
        return error
