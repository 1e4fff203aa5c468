"""The sketches of one training on their own, without a study: a file that `compare_sketches` takes for a run.

`FILE.npz` holds `step` (S,), increasing; `values` and `residuals` (S, T, W) and `fingerprints` (S, T) of
`dynamics.sketch` there; `tensor` and `size` (T,), the names of the weights and their numbers of elements; `seed_width`
(2,), the hash's seed and W.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.dynamics.sketch import CountSketch
from lastbit.store import read_arrays, write_arrays
from lastbit.studies.trace.recorder import RECORDED, SKETCH_SEED, SKETCH_WIDTH

__all__ = ["SketchFile", "read_sketch_file"]

SAVE_SECONDS = 30.0
"""Between two writes: a killed training loses at most that much of its sketches."""

Arrays = dict[str, np.ndarray[Any, Any]]

# Axes: S recorded steps, T tensors, W buckets.
_PARTS = ("values", "residuals", "fingerprints")


def read_sketch_file(path: Path) -> Arrays:
    """Return the arrays of such a file.

    Raises:
        LastbitError: it cannot be read, or is another kind of file.
    """
    arrays = read_arrays(path)
    try:
        steps, tensors = len(arrays["step"]), len(arrays["tensor"])
        _, width = arrays["seed_width"].tolist()
        shapes = [(steps, tensors, width), (steps, tensors, width), (steps, tensors), (steps,), (tensors,), (tensors,)]
        found = [arrays[name] for name in (*_PARTS, "step", "tensor", "size")]
        fits = [one.shape for one in found] == shapes and [one.dtype.kind for one in found] == [*"ffiiUi"]
        fits = fits and steps > 0 and bool((np.diff(arrays["step"]) > 0).all())
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise LastbitError(f"{path} holds no sketches of a training: give a file that TwinCallback wrote")
    return arrays


class SketchFile:
    """Keeps sketches of a training's weights in a file, at steps that thin out as a trace's do.

    Args:
        path: the file, `.npz`.
        every: steps between two sketches, more in a long training (`dynamics.thinning`).

    Raises:
        LastbitError: another ending, a folder that is not there, or `every` is no positive whole number.

    Example:
        >>> import tempfile, torch
        >>> path = Path(tempfile.mkdtemp()) / "weights.npz"
        >>> file = SketchFile(path)
        >>> file.begin()
        >>> file.take(0, {"w": torch.ones(3)})
        >>> file.take(1, {"w": torch.zeros(3)})
        >>> file.save()
        >>> read_sketch_file(path)["step"].tolist()
        [0, 1]
    """

    def __init__(self, path: str | Path, every: int = 1) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise LastbitError(f"every = {every!r}: write the number of steps between sketches, at least 1")
        if not isinstance(path, str | Path) or Path(path).suffix != ".npz":
            raise LastbitError(f"path = {str(path)!r}: name a file that ends in .npz, such as 'weights.npz'")
        self.path, self.every = Path(path), every
        if not self.path.parent.is_dir():
            raise LastbitError(f"there is no folder {self.path.parent} for {self.path.name}: make it first")
        self._state = _State()

    def begin(self) -> None:
        """Begin a training.

        Raises:
            LastbitError: there is such a file already, of a training that would be lost.
        """
        self._state = _State()
        if self.path.exists():
            raise LastbitError(f"{self.path} is there already: name another file, or delete it")

    def resume(self, step: int) -> None:
        """Go on with a training after a step: what the file has up to there is kept, what it has beyond is not.

        Raises:
            LastbitError: the file is no such file.
        """
        self._state = _State(at=step)
        if self.path.exists():
            held = read_sketch_file(self.path)
            if held["seed_width"].tolist() != [SKETCH_SEED, SKETCH_WIDTH]:
                raise LastbitError(f"{self.path} is of another lastbit, whose sketches differ: name another file")
            rows = [tuple(held[name][row] for name in _PARTS) for row in range(len(held["step"]))]
            pairs = zip(held["step"].tolist(), rows, strict=True)
            self._state.records = {at: row for at, row in pairs if at <= step}
            self._state.tensors = tuple(zip(held["tensor"].tolist(), held["size"].tolist(), strict=True))

    def take(self, step: int, weights: Mapping[str, Tensor], *, last: bool = False) -> None:
        """Keep a sketch where one is due since the step before, and write the file now and then.

        Args:
            step: steps taken; they may skip numbers, as where several optimizers step at once.
            weights: dense tensors by name.
            last: whether the training ends here: kept and written whatever is due.

        Raises:
            LastbitError: other tensors than before.
            OSError: the file cannot be written.
        """
        state, index = self._state, step // self.every
        due = index > state.at // self.every and RECORDED.wants(index)
        state.at = step
        if due or (last and step not in state.records):
            state.records[step] = self._sketch(weights)
            steps = np.array(list(state.records))
            for old in steps[~RECORDED.mask(steps // self.every, index)].tolist():
                del state.records[old]
        if last or time.monotonic() - state.saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write what there is.

        Raises:
            OSError: the file cannot be written.
        """
        state = self._state
        state.saved = time.monotonic()
        if not state.records:
            return
        parts = zip(*state.records.values(), strict=True)
        names, sizes = zip(*state.tensors, strict=True)
        arrays: Arrays = {name: np.stack(part) for name, part in zip(_PARTS, parts, strict=True)}
        arrays |= {"step": np.array(list(state.records)), "tensor": np.array(names), "size": np.array(sizes)}
        write_arrays(self.path, arrays | {"seed_width": np.array([SKETCH_SEED, SKETCH_WIDTH])})

    def _sketch(self, weights: Mapping[str, Tensor]) -> tuple[np.ndarray[Any, Any], ...]:
        state = self._state
        if state.plan is None:
            state.plan = CountSketch(weights, seed=SKETCH_SEED, width=SKETCH_WIDTH)
            if state.tensors and state.tensors != state.plan.key[2]:
                raise LastbitError(f"{self.path} is of a training with other weights: name another file")
            state.tensors = state.plan.key[2]
        return tuple(state.plan(weights).arrays().values())


@dataclass
class _State:
    """Where one training stands."""

    at: int = -1
    """The last step that was seen."""
    records: dict[int, tuple[np.ndarray[Any, Any], ...]] = field(default_factory=dict)
    tensors: tuple[tuple[str, int], ...] = ()
    plan: CountSketch | None = None
    saved: float = field(default_factory=time.monotonic)
