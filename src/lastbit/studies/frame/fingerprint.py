"""Is this still the task that the study was begun with, and is it the same in every process?"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor

from lastbit.core.batches import apply_model, call_names, pair_of, placed, tensors_of
from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.core.threads import threads as torch_threads
from lastbit.launch.program import CommandProgram
from lastbit.studies.frame.program import Trainee
from lastbit.tasks import Task, TaskConfig
from lastbit.tasks.build import build_task
from lastbit.tasks.reading import UnreadableExample
from lastbit.tasks.split import Split
from lastbit.tasks.stepping import make_optimizers
from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.jobs import Crashed, Event, Finished, Job

__all__ = ["check_processes", "fingerprint", "other_elsewhere", "targets_of_test"]

_EXAMPLES, _BYTES = 4, 32 << 20
"""Examples that the loss is taken of; bytes of a tensor that are read, evenly spread over its rows."""

_ITEMS = 64
"""Items of a data set that are read, evenly spread, fewer where they are large; of a stream its first."""

_HASH_SEEDS = ("1", "2")
"""Of the processes that are compared. Sets of few words may come in the same order in two of three processes."""


def fingerprint(task: Trainee) -> str:
    """Return a digest of a task's sizes, data, initial weights under one seed, and loss of its first examples.

    Of a training function it is one of its code, of a command one of its words.

    It tells a changed file, data set or model from the one a study was begun with; it is no proof of equality: of large
    data a bounded, evenly spread part is read. What is
    drawn anew each time, whatever the seed, has no part in it: that is for a study's control to find.
    """
    digest = hashlib.blake2b(digest_size=16)
    if not isinstance(task, Task):
        told = repr(task.words).encode() if isinstance(task, CommandProgram) else _code(task.function)
        digest.update(told)
        return digest.hexdigest()
    with torch_threads(1):
        for part in (_settings, _data, _network):
            digest.update(_repeatable(part, task))
    return digest.hexdigest()


def _code(function: Callable[..., Any]) -> bytes:
    """Return what a function of Python computes with: its instructions, constants and names, and those inside it."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return f"{type(function).__module__}.{type(function).__qualname__}".encode()
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    plain = [constant for constant in code.co_consts if not isinstance(constant, CodeType | frozenset)]
    told = repr((code.co_name, code.co_names, code.co_varnames, plain)).encode() + code.co_code
    return told + b"".join(_code(FunctionType(one, {})) for one in inner if not one.co_freevars)


def _repeatable(part: Callable[[Task], bytes], task: Task) -> bytes:
    with LentGenerators(0).active():
        first = part(task)
    with LentGenerators(0).active():
        return first if part(task) == first else b"drawn anew"


def _settings(task: Task) -> bytes:
    optimizers, _ = make_optimizers(task.optimizer, task.model())
    groups = [
        {key: repr(value) for key, value in group.items() if key != "params"}
        for optimizer in optimizers.values()
        for group in optimizer.param_groups
    ]
    told = f"{task.name}{len(task.train)}{len(task.test)}{task.epochs}{task.batch_size}{groups}"
    if task.validation is not None:
        told += f"{len(task.validation)}{task.select}{task.patience}"
    if not task.drop_last or task.sampler is not None:
        told += f"{task.drop_last}{task.steps_per_epoch}"
    return re.sub(r" at 0x[0-9a-f]+", "", told).encode()


def _data(task: Task) -> bytes:
    splits = [split for split in (task.train, task.test, task.validation) if split is not None]
    return b"".join(_content(tensor) for split in splits for tensor in _examples(split))


def targets_of_test(task: Task) -> str:
    """Return a digest of what a task's test set asks for: targets alone, for inputs may be prepared otherwise."""
    return hashlib.blake2b(_repeatable(_targets, task), digest_size=16).hexdigest()


def _targets(task: Task) -> bytes:
    # Of a pair the last tensor is its targets.
    return _content(_examples(task.test)[-1])


def _examples(split: Split) -> list[Tensor]:
    """Return all examples where they are held, else a few: a data set may be larger than memory, and slow to read."""
    if split.tensors is not None:
        return tensors_of(split.tensors)
    try:
        items = max(1, min(_ITEMS, _BYTES // max(1, split.example_bytes)))
        apart = 1 if split.is_stream else max(1, len(split) // items)
        return tensors_of(split.batch(torch.arange(0, len(split), apart)[:items]))
    except UnreadableExample as error:
        raise LastbitError(str(error)) from error


def _network(task: Task) -> bytes:
    model = task.model()
    some = next(model.parameters())
    with torch.no_grad():
        weights = b"".join(name.encode() + _content(tensor) for name, tensor in model.state_dict().items())
        # Of test examples where a step of its own takes batches that the model alone cannot.
        split = task.train if task.step is None else task.test
        batch = placed(split.batch(torch.arange(min(_EXAMPLES, len(split)))), some.device, some.dtype)
        inputs, targets = pair_of(batch, call_names(model))
        outputs = apply_model(model.eval(), inputs)
        seen = tensors_of(outputs) if task.loss is None else [task.loss(outputs, targets)]
        return weights + b"".join(map(_content, seen))


def _content(tensor: Tensor) -> bytes:
    """Return a digest of a tensor: of all of it, or of rows evenly spread over a large one."""
    size = tensor.numel() * tensor.element_size()
    rows = tensor[:: -(-size // _BYTES)] if size > _BYTES else tensor
    plain = rows.detach().cpu().contiguous().reshape(-1)
    digest = hashlib.blake2b(f"{tuple(tensor.shape)}{tensor.dtype}".encode(), digest_size=16)
    digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.digest()


@dataclass(frozen=True)
class _Stranger:
    """Builds the task of a file in another process."""

    config: TaskConfig
    arguments: tuple[tuple[str, object], ...]

    def __call__(self) -> _Stranger:
        return self

    def run(self, payload: None, progress: Callable[[int], None]) -> str:
        """Return the fingerprint."""
        return fingerprint(build_task(self.config, dict(self.arguments)))

    def step_seconds(self) -> float:
        """There are no steps."""
        return 1.0


@cache
def check_processes(config: TaskConfig, arguments: tuple[tuple[str, object], ...], here: str, text: str) -> None:
    """Refuse a task in a file that is not the same in fresh processes with other hash seeds.

    Args:
        config: names the file.
        arguments: of its function.
        here: the task's fingerprint in this process.
        text: digest of the file and what it imports; another text is another task.

    Raises:
        LastbitError: it differs between processes, or cannot be built in another one.
    """
    found = set()

    def on_event(event: Event) -> None:
        if isinstance(event, Finished):
            found.add(event.result)
        elif isinstance(event, Crashed) and event.final:
            raise LastbitError(f"{config.task} cannot be built in a process of its own: {event.message}")

    task = _Stranger(config, arguments)
    strangers = [
        ProcessExecutor(task, workers=1, environment={"PYTHONHASHSEED": seed})
        for seed in _HASH_SEEDS
        if seed != os.environ.get("PYTHONHASHSEED")
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: one.run([Job(name="fingerprint", payload=None)], on_event), strangers))
    if found != {here}:
        raise LastbitError(other_elsewhere(config.task))


def other_elsewhere(name: str) -> str:
    """Return the error of a task that is another in another process."""
    return (
        f"{name} is not the same in every process: its data, labels, initial weights or loss differ in a fresh one, "
        "where PYTHONHASHSEED is another: sort what comes from a set, use no hash(), and let the file itself set what "
        f"it needs; lastbit doctor --task {name} names the line"
    )
