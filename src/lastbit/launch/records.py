"""The records of a launched program, read back: what each of its processes trained, and where that stood when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lastbit.dynamics.sketch import Sketch
from lastbit.launch.record import WIDTH

__all__ = ["OptimizerRecord", "ProcessRecord", "StepRecord", "checksums_of", "read_processes"]


@dataclass(frozen=True)
class StepRecord:
    """Where an optimizer stood after one of its steps."""

    step: int
    checksum: str
    """16 hexadecimal digits, of all its weights."""
    seconds: float
    """Since its process imported torch."""


@dataclass(frozen=True)
class OptimizerRecord:
    """What is known of one optimizer."""

    index: int
    """In its process, in the order of the first steps."""
    name: str
    """Its class."""
    perturbed: str
    """The kind of the perturbation; `none` where it was refused."""
    refused: str
    """Why it was not perturbed, or from some step on no longer."""
    left_alone: int
    """Elements of sparse, complex or spread parameters, and of those with sparse gradients: nothing is done to them."""
    format: str
    """The coarsest format of its weights: `float32`."""
    steps: int
    """The last that is known of: all, where its process ended in an orderly way."""
    tensors: tuple[tuple[str, int], ...]
    """Its parameters as `opt0.group.place`, with their numbers of elements."""
    records: tuple[StepRecord, ...]
    sketches: Sketch | None
    """Of the recorded steps, along the first axis; where parameters were added, of those since. None without any."""

    @property
    def weights(self) -> int:
        """How many weights it trains that are perturbed and recorded."""
        return sum(size for _, size in self.tensors)


@dataclass(frozen=True)
class ProcessRecord:
    """A process of the program that made optimizer steps."""

    pid: int
    program: str
    """What it ran, as `sys.argv[0]`."""
    rank: int | None
    """`RANK`, which torchrun sets."""
    forked: bool
    """Whether it was forked from one in which lastbit was at work."""
    ended: bool
    """Whether it ended in an orderly way, so that the last step is recorded."""
    every: int
    """Steps between two records at the end; beside them every power of two is recorded."""
    versions: dict[str, str]
    optimizers: tuple[OptimizerRecord, ...]

    @property
    def steps(self) -> int:
        """Steps of all its optimizers."""
        return sum(optimizer.steps for optimizer in self.optimizers)


def checksums_of(processes: Sequence[ProcessRecord]) -> dict[tuple[int, int, int], str]:
    """Return the checksums of the weights by process, optimizer and step."""
    return {
        (place, optimizer.index, record.step): record.checksum
        for place, process in enumerate(processes)
        for optimizer in process.optimizers
        for record in optimizer.records
    }


def read_processes(folder: Path) -> tuple[ProcessRecord, ...]:
    """Return the processes in a folder of records, by rank, program and the time of their first step.

    A line or a sketch that was not written to its end, when the process was killed, is left out.
    """
    found = []
    for path in folder.glob("proc-*.jsonl"):
        lines = list(_lines(path))
        if lines and lines[0]["event"] == "begin":
            begin = lines[0]
            rank = -1 if begin["rank"] is None else begin["rank"]
            found.append(((rank, begin["program"], begin["time"], path.name), _process(path, lines)))
    return tuple(process for _, process in sorted(found, key=lambda pair: pair[0]))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def _process(path: Path, lines: list[dict[str, Any]]) -> ProcessRecord:
    begin = lines[0]
    data = path.with_suffix(".sketches")
    held = data.read_bytes() if data.exists() else b""
    end = next((line["steps"] for line in lines if line["event"] == "end"), None)
    indices = [line["index"] for line in lines if line["event"] == "optimizer"]
    cadence = [line["every"] for line in lines if line["event"] == "cadence"]
    return ProcessRecord(
        begin["pid"],
        begin["program"],
        begin["rank"],
        begin["forked"],
        end is not None,
        cadence[-1] if cadence else begin["every"] or 1,
        begin["versions"],
        tuple(_optimizer(index, lines, held, end) for index in indices),
    )


def _optimizer(index: int, lines: list[dict[str, Any]], held: bytes, end: list[int] | None) -> OptimizerRecord:
    told: dict[str, Any] = {}
    records: list[StepRecord] = []
    states: list[tuple[np.ndarray[Any, Any], ...]] = []
    for line in lines:
        if line.get("index", line.get("optimizer")) != index:
            continue
        if line["event"] == "step":
            state = _state(held, line["at"], len(told["tensors"]))
            if state is not None:
                records.append(StepRecord(line["step"], line["checksum"], line["seconds"]))
                states.append(state)
        elif line["event"] == "refused":
            told |= {"refused": line["why"], "perturbed": "none"}
        else:
            states = []
            told |= line
    tensors = tuple((name, size) for name, size in told["tensors"])
    known = records[-1].step if records else 1
    return OptimizerRecord(
        index,
        told["name"],
        told["perturbed"],
        told["refused"],
        told["left_alone"],
        told["format"],
        end[index] if end is not None else known,
        tensors,
        tuple(records),
        _stacked(states, tensors),
    )


def _state(held: bytes, at: int, tensors: int) -> tuple[np.ndarray[Any, Any], ...] | None:
    sizes = [tensors * WIDTH, tensors * WIDTH, tensors]
    if at + 8 * sum(sizes) > len(held):
        return None
    values, residuals, prints = np.split(np.frombuffer(held, "<i8", sum(sizes), at), np.cumsum(sizes)[:2])
    return values.view("<f8").reshape(tensors, WIDTH), residuals.view("<f8").reshape(tensors, WIDTH), prints


def _stacked(states: list[tuple[np.ndarray[Any, Any], ...]], tensors: tuple[tuple[str, int], ...]) -> Sketch | None:
    if not states:
        return None
    values, residuals, prints = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*states, strict=True))
    return Sketch(values, residuals, prints, (0, WIDTH, tensors))
