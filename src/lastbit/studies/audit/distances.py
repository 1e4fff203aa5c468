"""How far the final weights of an audit's runs lie apart: exact where they are small and kept, else from sketches.

| what the runs keep | distance of two | error |
| --- | --- | --- |
| final weights, at most `SMALL` of them, or those of a former lastbit | mean(2 |a - b| / (|a| + |b|)) | none |
| sketches and norms | 2 |a - b| / (|a| + |b|) by L2 norms | of |a - b|: `distance_interval` |
| sketches alone (commands) | the same | of |a - b| and of the norms: `ratio_interval` |

One measure holds for all runs of a study, for distances within and between seeds are held against each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lastbit.core.errors import LastbitError
from lastbit.dynamics.sketch import CountSketch, Sketch, sketch_distance
from lastbit.dynamics.sketch_interval import distance_interval, ratio_interval
from lastbit.launch.record import WIDTH
from lastbit.stats import mean_relative_l1
from lastbit.store import StudyFolder
from lastbit.studies.audit.sketched import Weights, relative_l2, weights_of
from lastbit.studies.frame.stored_weights import is_former, stored_weights, without_weights
from lastbit.studies.frame.weighing import SMALL

__all__ = ["Distances"]

Arrays = Mapping[str, np.ndarray[Any, Any]]

_HELD = 64
"""The most runs whose weights are in memory at once: `SMALL` of them take 2 MiB in float32."""


@dataclass(frozen=True)
class _Final:
    """The sketch of a run's final weights, and their L2 norm."""

    sketch: Sketch
    norm: float


class Distances:
    """Distances between the final weights of the runs of one study.

    Every run is noted first; memory does not grow with the runs times their weights.

    Args:
        folder: the study.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._exact: set[str] = set()
        self._former: set[str] = set()
        self._finals: dict[str, _Final] = {}
        self._recorded: dict[str, Weights] = {}
        self._layout: Arrays | None = None
        self._held: dict[str, np.ndarray[Any, Any]] = {}
        self._noted = 0

    def noted(self, run: str, arrays: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        """Take note of a run, and return its arrays without those that grow with its network."""
        self._noted += 1
        if is_former(arrays):
            self._former.add(run)
            self._exact.add(run)
        elif "weights_final_norm" in arrays:
            self._finals[run] = _final_of(arrays)
            self._layout = arrays
            if int(arrays["weights_size"].sum()) <= SMALL and self._folder.files(run).weights_path.exists():
                self._hold(run, arrays)
        elif (weights := weights_of(arrays)) is not None:
            self._recorded[run] = weights
        return without_weights(arrays)

    @property
    def exact(self) -> bool:
        """Whether the distances are exact."""
        return 0 < self._noted == len(self._exact)

    @property
    def sketched(self) -> bool:
        """Whether they can be estimated, where they are not exact."""
        of_weights = len(self._finals) + (len(self._former) if self._finals else 0)
        return not self.exact and 0 < self._noted == max(of_weights, len(self._recorded))

    @property
    def error(self) -> tuple[float, float]:
        """The factors that take a distance to the ends of its 95% interval, where it is an estimate."""
        return ratio_interval(WIDTH) if self._recorded else distance_interval(WIDTH)

    def between(self, one: str, two: str) -> float:
        """Return the distance of two runs, between 0 and 2.

        Raises:
            LastbitError: a weight is not finite, or the runs did not train the same tensors.
        """
        if self.exact:
            return mean_relative_l1(self._weights(one), self._weights(two))
        if self._recorded:
            return relative_l2(self._recorded[one], self._recorded[two])
        left, right = self._final(one), self._final(two)
        apart = float(torch.linalg.vector_norm(sketch_distance(left.sketch, right.sketch)))
        size = left.norm + right.norm
        if not math.isfinite(size) or not math.isfinite(apart):
            raise LastbitError("a weight is not finite: compare runs that did not diverge")
        return min(2 * apart / size, 2.0) if size else 0.0

    def _weights(self, run: str) -> np.ndarray[Any, Any]:
        if run not in self._held:
            self._hold(run, self._folder.arrays(run))
        return self._held[run]

    def _hold(self, run: str, arrays: Arrays) -> None:
        """Read the weights of a run, where they are there and what it ended with."""
        found = stored_weights(self._folder.files(run), arrays, "final")
        if found is not None:
            flat = torch.cat([one.reshape(-1).to(torch.promote_types(one.dtype, torch.float32)) for one in found])
            while len(self._held) >= (_HELD if flat.numel() <= SMALL else 2):
                self._held.pop(next(iter(self._held)))
            self._held[run] = flat.numpy()
            self._exact.add(run)

    def _final(self, run: str) -> _Final:
        if run not in self._finals:
            assert self._layout is not None, "a run with sketches is among them"
            sizes, names = self._layout["weights_size"].tolist(), self._layout["weights_name"].tolist()
            flat = torch.from_numpy(self._folder.arrays(run)["weights_final"])
            if flat.numel() != sum(sizes):
                raise LastbitError("the runs did not train the same tensors: compare runs of one program")
            tensors = dict(zip(names, torch.split(flat, sizes), strict=True))
            norm = float(torch.linalg.vector_norm(flat, dtype=torch.float64))
            self._finals[run] = _Final(CountSketch(tensors, width=WIDTH)(tensors), norm)
        return self._finals[run]


def _final_of(arrays: Arrays) -> _Final:
    values, residuals, prints = (
        torch.from_numpy(arrays[f"weights_final_{part}"]) for part in ("values", "residuals", "fingerprints")
    )
    tensors = tuple(zip(arrays["weights_name"].tolist(), arrays["weights_size"].tolist(), strict=True))
    norm = float(np.linalg.norm(arrays["weights_final_norm"]))
    return _Final(Sketch(values, residuals, prints, (0, WIDTH, tensors)), norm)
