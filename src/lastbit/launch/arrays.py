"""What the processes of a run recorded of their optimizers, as arrays of numbers and text, and read back from them.

| array | axes | content |
| --- | --- | --- |
| `record_key` | (N, 3) | process, optimizer and step of each record |
| `record_checksum` | (N,) | of all weights of the optimizer there |
| `record_rank`, `record_forked`, `record_program` | (P,) | of each process; rank -1 where there is none |
| `record_optimizer` | (O, 2) | process and optimizer of each optimizer |
| `record_class`, `record_format` | (O,) | its class, and the coarsest format of its weights |
| `sketch_P_O_values`, `…_residuals`, `…_fingerprints` | (S, T, …) | of `dynamics.sketch`, at its last S records |
| `sketch_P_O_tensor`, `…_size` | (T,) | its tensors and their numbers of elements |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lastbit.dynamics.sketch import Sketch
from lastbit.launch.records import ProcessRecord, checksums_of

__all__ = ["States", "has_sketches", "read_states", "record_arrays"]

Arrays = dict[str, np.ndarray[Any, Any]]

_PARTS = ("values", "residuals", "fingerprints")


@dataclass(frozen=True)
class States:
    """Where one optimizer of a run stood at its recorded steps."""

    process: int
    """Place among the processes of the run."""
    index: int
    """In its process."""
    optimizer: str
    """Its class."""
    format: str
    """The coarsest format of its weights, `float32`."""
    rank: int | None
    forked: bool
    program: str
    """What its process ran."""
    steps: np.ndarray[Any, Any]
    """(S,), increasing."""
    sketch: Sketch
    """(S, T, ...)."""


def record_arrays(processes: Sequence[ProcessRecord]) -> Arrays:
    """Return the arrays of the table above."""
    sums = checksums_of(processes)
    optimizers = [(place, one) for place, process in enumerate(processes) for one in process.optimizers]
    arrays: Arrays = {
        "record_key": np.array(list(sums), dtype=np.int64).reshape(-1, 3),
        "record_checksum": np.array([int(one, 16) for one in sums.values()], dtype=np.uint64),
        "record_rank": np.array([-1 if one.rank is None else one.rank for one in processes], dtype=np.int64),
        "record_forked": np.array([one.forked for one in processes], dtype=np.bool_),
        "record_program": np.array([one.program for one in processes], dtype=np.str_),
        "record_optimizer": np.array([(place, one.index) for place, one in optimizers], dtype=np.int64).reshape(-1, 2),
        "record_class": np.array([one.name for _, one in optimizers], dtype=np.str_),
        "record_format": np.array([one.format for _, one in optimizers], dtype=np.str_),
    }
    for place, one in optimizers:
        if one.sketches is not None:
            names, sizes = zip(*one.sketches.key[2], strict=True) if one.sketches.key[2] else ((), ())
            mine = one.sketches.arrays() | {"tensor": np.array(names, np.str_), "size": np.array(sizes, np.int64)}
            arrays |= {f"sketch_{place}_{one.index}_{name}": value for name, value in mine.items()}
    return arrays


def has_sketches(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bool:
    """Tell whether the arrays of a run hold sketches that can be read back."""
    return "record_optimizer" in arrays and any(name.startswith("sketch_") for name in arrays)


def read_states(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[tuple[int, int], States]:
    """Return what each optimizer left, by process and index; those that train nothing dense and real are left out."""
    found: dict[tuple[int, int], States] = {}
    kinds = zip(arrays["record_optimizer"].tolist(), arrays["record_class"], arrays["record_format"], strict=True)
    for (process, index), optimizer, form in kinds:
        stem = f"sketch_{process}_{index}_"
        if f"{stem}tensor" not in arrays or not len(arrays[f"{stem}tensor"]):
            continue
        values, residuals, prints = (torch.from_numpy(arrays[stem + part]) for part in _PARTS)
        tensors = tuple(zip(arrays[f"{stem}tensor"].tolist(), arrays[f"{stem}size"].tolist(), strict=True))
        key = arrays["record_key"]
        mine = key[(key[:, 0] == process) & (key[:, 1] == index), 2]
        rank = int(arrays["record_rank"][process])
        found[process, index] = States(
            process=process,
            index=index,
            optimizer=str(optimizer),
            format=str(form),
            rank=None if rank < 0 else rank,
            forked=bool(arrays["record_forked"][process]),
            program=str(arrays["record_program"][process]),
            steps=mine[len(mine) - len(values) :],
            sketch=Sketch(values, residuals, prints, (0, values.shape[-1], tensors)),
        )
    return found
