"""What is kept of the twins as they go: divergences, sketches, loss gaps, churn on a probe, filters, concentration.

Everything is recorded at the same thinned steps, counted from the branch in units of `every`; churn and concentration
over elements cost a forward pass and a sort, and are taken at about one in six of them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.dynamics import (
    CountSketch,
    Divergence,
    History,
    Sketch,
    Thinning,
    filter_energies,
    init_history,
    localisation,
    measure_divergence,
    record,
    to_dataset,
)
from lastbit.train.training import Evaluation
from lastbit.train.twins import Twins

__all__ = ["SKETCH_SEED", "SKETCH_WIDTH", "TraceRecorder"]

Array = np.ndarray[Any, Any]

# Axes: K twins (the repeat first), S recorded steps, T tensors, P probed steps, F filters, C convolutions.

SKETCH_SEED, SKETCH_WIDTH = 0, 64
"""The same in every study, so that sketches of any two compare."""

PROBED = Thinning(dense=8, grid=64)
"""Which recorded steps are probed for churn and concentration: each costs a forward pass of every run."""


class TraceRecorder:
    """Records a set of twins, step by step.

    Args:
        twins: the runs.
        every: record every so many steps.
    """

    def __init__(self, twins: Twins, every: int) -> None:
        self.twins, self.every = twins, every
        self.history: History = init_history(Thinning())
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Spent on `divergence`, `sketches` and `probe`."""
        self._sketch = CountSketch(twins.weights()[0], seed=SKETCH_SEED, width=SKETCH_WIDTH)
        self._sketches: dict[int, list[Sketch]] = {}
        self._filters: dict[int, tuple[Array, Array]] = {}
        self._filter_of: list[tuple[str, int]] = []
        self._probes: dict[int, list[Evaluation]] = {}
        self._concentration: dict[int, dict[str, Array]] = {}
        self._convolutions: list[str] = []

    def index(self, step: int) -> int:
        """Return the number of a recorded step, counted from the branch."""
        return -(-(step - self.twins.start) // self.every)

    def step_of(self, index: int) -> int:
        """Return the step of a record; the last step of the training has one of its own."""
        return min(self.twins.start + index * self.every, self.twins.total)

    def next_step(self) -> int:
        """Return the step at which to record next."""
        index = self.history.steps[-1] + 1
        while not self.history.thinning.wants(index) and self.step_of(index) < self.twins.total:
            index += 1
        return self.step_of(index)

    def take(self) -> Divergence:
        """Record where the twins stand."""
        began = time.perf_counter()
        index = self.index(self.twins.position)
        base, *others = self.twins.weights()
        found = measure_divergence(base, others)
        self.history = record(self.history, index, found)
        self._filters[index] = self._filter_distances(base, others)
        self._spent("divergence", began)
        began = time.perf_counter()
        self._sketches[index] = [self._sketch(weights) for weights in (base, *others)]
        self._spent("sketches", began)
        # How long the run will be is known: what would be thinned away later need not be probed at all.
        if PROBED.keeps(index, self.index(self.twins.total)):
            began = time.perf_counter()
            self._probe(index, base, others)
            self._spent("probe", began)
        kept = set(self.history.steps)
        for held in (self._sketches, self._filters):
            for old in [number for number in held if number not in kept]:
                del held[old]
        return found

    def _spent(self, what: str, began: float) -> None:
        self.seconds[what] += time.perf_counter() - began

    def _filter_distances(self, base: Mapping[str, Tensor], others: list[dict[str, Tensor]]) -> tuple[Array, Array]:
        """Return each filter's L2 difference, geometric mean over the perturbed twins that differ, and its norm."""
        convolutions = {name: x for name, x in base.items() if x.ndim >= 3}
        if not convolutions:
            return np.empty(0, np.float32), np.empty(0, np.float32)
        if not self._filter_of:
            self._convolutions = list(convolutions)
            self._filter_of = [(name, i) for name, x in convolutions.items() for i in range(x.shape[0])]
        energies = [
            torch.cat(list(filter_energies(convolutions, {name: twin[name] for name in convolutions}).values()))
            for twin in others[1:]
        ]
        norms = torch.cat([x.double().flatten(1).square().sum(1) for x in convolutions.values()])
        stacked = torch.stack(energies)
        apart = stacked > 0
        logs = torch.where(apart, stacked, 1.0).log().sum(0) / apart.sum(0).clamp(min=1)
        mean = torch.where(apart.any(0), (logs / 2).exp(), 0.0)
        return mean.cpu().numpy(), norms.sqrt().cpu().numpy()

    def _probe(self, index: int, base: Mapping[str, Tensor], others: list[dict[str, Tensor]]) -> None:
        evaluations = []
        for training in self.twins.trainings:
            with training.active():
                evaluations.append(training.evaluate())
        self._probes[index] = evaluations
        found = localisation(base, others[1])
        self._concentration[index] = {
            "element_participation": np.array([c.participation for c in found.elements.values()]),
            "element_gini": np.array([c.gini for c in found.elements.values()]),
            "filter_participation": np.array([c.participation for c in found.filters.values()]),
            "filter_gini": np.array([c.gini for c in found.filters.values()]),
        }

    def arrays(self) -> dict[str, Array]:
        """Return everything but the sketches, as arrays by name; the axes are those above.

        `step` (S,), `tensor`, `size` (T,), the variables of `dynamics.to_dataset`, `loss_gap` (K, S): the training loss
        of the mini-batch of that step, twin minus base, NaN at the branch; `repeat_loss_step`, the first step at which
        the loss of the repeat is another in any bit, empty where there is none; `probe_step` (P,), `churn` (K, P),
        share of the probe predicted otherwise than by the base (NaN without classes); `filter_l2`, `filter_norm`
        (S, F) with `filter_tensor`, `filter_index` (F,); `element_*` (P, T) and `filter_participation`, `filter_gini`
        (P, C) of the first twin, with `convolution` (C,).
        """
        data = to_dataset(self.history)
        steps = np.array([self.step_of(index) for index in self.history.steps])
        arrays = {str(name): np.asarray(variable.values) for name, variable in data.data_vars.items()}
        first = arrays["first_step"]
        arrays["first_step"] = np.where(
            first < 0, -1, np.minimum(self.twins.start + first * self.every, self.twins.total)
        )
        arrays |= {"step": steps, "tensor": np.array(self.history.rows[0].names)}
        arrays["size"] = np.array(self.history.rows[0].sizes)
        losses = self.losses()
        arrays["loss_gap"] = self._loss_gaps(losses, steps)
        unequal = np.flatnonzero(losses[0].view(np.int64) != losses[1].view(np.int64))
        arrays["repeat_loss_step"] = unequal[:1] + 1
        rows = [self._filters[index] for index in self.history.steps]
        arrays["filter_l2"], arrays["filter_norm"] = (np.stack(part) for part in zip(*rows, strict=True))
        arrays["filter_tensor"] = np.array([name for name, _ in self._filter_of], dtype=np.str_)
        arrays["filter_index"] = np.array([i for _, i in self._filter_of], dtype=np.int64)
        return arrays | self._probed()

    def _loss_gaps(self, losses: Array, steps: Array) -> Array:
        with np.errstate(invalid="ignore"):
            gaps = losses[1:] - losses[:1]
        # The loss of step s is taken at the weights before it, so it stands at index s - 1.
        at = np.clip(steps - 1, 0, gaps.shape[1] - 1)
        return np.where((steps > self.twins.start) & (steps <= gaps.shape[1]), gaps[:, at], np.nan)

    def losses(self) -> Array:
        """Return the training loss of every run at every step so far, float64 (1 + K, steps)."""
        return np.stack([torch.stack(t.losses).double().cpu().numpy() for t in self.twins.trainings])

    def _probed(self) -> dict[str, Array]:
        kept = [i for i in self._probes if PROBED.keeps(i, max(self._probes))]
        churn = np.full((len(self.twins.trainings) - 1, len(kept)), np.nan)
        for column, index in enumerate(kept):
            base, *others = self._probes[index]
            for row, other in enumerate(others):
                if base.predictions_N is not None and other.predictions_N is not None:
                    churn[row, column] = float(np.mean(base.predictions_N != other.predictions_N))
        found: dict[str, Array] = {
            "probe_step": np.array([self.step_of(index) for index in kept], dtype=np.int64),
            "churn": churn,
            "convolution": np.array(self._convolutions, dtype=np.str_),
        }
        for name in ("element_participation", "element_gini", "filter_participation", "filter_gini"):
            found[name] = np.stack([self._concentration[index][name] for index in kept])
        return found

    def probed_metrics(self, run: int) -> tuple[tuple[int, ...], dict[str, list[float]]]:
        """Return the probed steps, and the loss and metric of one run on the probe at them."""
        kept = [i for i in self._probes if PROBED.keeps(i, max(self._probes))]
        metric = self.twins.base.task.metric.name
        rows = [self._probes[index][run] for index in kept]
        values = {"probe_loss": [row.loss for row in rows], f"probe_{metric}": [row.metric for row in rows]}
        return tuple(self.step_of(index) for index in kept), values

    def sketches(self, run: int) -> dict[str, Array]:
        """Return the sketches of one run over the recorded steps, with what must be known to compare them."""
        rows = [self._sketches[index][run] for index in self.history.steps]
        parts = [row.arrays() for row in rows]
        seed, width, tensors = self._sketch.key
        return {
            **{name: np.stack([part[name] for part in parts]) for name in parts[0]},
            "step": np.array([self.step_of(index) for index in self.history.steps]),
            "tensor": np.array([name for name, _ in tensors]),
            "size": np.array([size for _, size in tensors]),
            "seed_width": np.array([seed, width]),
            "losses": self.losses()[run],
        }
