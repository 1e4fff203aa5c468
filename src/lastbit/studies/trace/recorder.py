"""What is kept of the twins as they go: divergences, sketches, loss gaps, churn on a probe, filters, concentration.

Everything is recorded at the same thinned steps, counted from the branch in units of `every`; churn and concentration
over elements cost a forward pass and a sort, and are taken at about one in six of them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lastbit.dynamics.divergence import MEASURES, Divergence, measure_divergence
from lastbit.dynamics.localise import gini, participation_ratio
from lastbit.dynamics.sketch import CountSketch
from lastbit.dynamics.thinning import Thinning
from lastbit.train.training import Evaluation
from lastbit.train.twins import Twins

__all__ = ["TraceRecorder"]

Arrays = dict[str, np.ndarray]

# Axes: K twins (the repeat first), S recorded steps, T tensors, P probed steps, F filters, C convolutions.

# Seed 0 is that of traces whose sketches another hash made: they are refused beside these.
SKETCH_SEED, SKETCH_WIDTH = 1, 64
"""The same in every study, so that sketches of any two compare."""

RECORDED = Thinning()

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
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Spent on `divergence`, `sketches` and `probe`."""
        base, *others = twins.weights()
        self._sketch = CountSketch(base, seed=SKETCH_SEED, width=SKETCH_WIDTH)
        self._convolutions = {name: len(x) for name, x in base.items() if x.ndim >= 3}
        self._first_KT = np.full((len(others), len(base)), -1)
        self._records: dict[int, tuple[Arrays, Arrays, list[Arrays]]] = {}
        self._probes: dict[int, tuple[Arrays, list[Evaluation]]] = {}

    def _index(self, step: int) -> int:
        """Return the number of a recorded step, counted from the branch."""
        return -(-(step - self.twins.start) // self.every)

    def _step_of(self, index: int) -> int:
        """Return the step of a record; the last step of the training has one of its own."""
        return min(self.twins.start + index * self.every, self.twins.total)

    def next_step(self) -> int:
        """Return the step at which to record next."""
        index = max(self._records) + 1
        while not RECORDED.wants(index) and self._step_of(index) < self.twins.total:
            index += 1
        return self._step_of(index)

    def take(self, log_removed_K: np.ndarray) -> Divergence:
        """Record where the twins stand, and the logarithms of what renormalisation took away so far."""
        index, marks = self._index(self.twins.position), [time.perf_counter()]
        base, *others = self.twins.weights()
        found = measure_divergence(base, others)
        whole = found.whole()
        of_twins = {"log_removed": log_removed_K.copy()}
        for name in MEASURES:
            of_twins[name] = getattr(found, name).cpu().numpy()
            of_twins[f"all_{name}"] = getattr(whole, name)[:, 0].cpu().numpy()
        of_base = {"norm": found.norm.cpu().numpy(), "all_norm": whole.norm[0].cpu().numpy()}
        # Thinning does not touch the first step at which a tensor differed.
        differs_KT = (found.differing > 0).cpu().numpy()
        self._first_KT = np.where((self._first_KT < 0) & differs_KT, self.twins.position, self._first_KT)
        of_base |= self._filter_distances(base, others[1:])
        marks.append(time.perf_counter())
        sketches = [self._sketch(weights).arrays() for weights in (base, *others)]
        marks.append(time.perf_counter())
        # How long the run will be is known: what would be thinned away later need not be probed at all.
        if PROBED.keeps(index, self._index(self.twins.total)):
            self._probes[index] = self._probe(base, others[1])
            marks.append(time.perf_counter())
        for what, start, end in zip(("divergence", "sketches", "probe"), marks, marks[1:], strict=False):
            self.seconds[what] += end - start
        self._records[index] = of_twins, of_base, sketches
        indices = np.array(list(self._records))
        for old in indices[~RECORDED.mask(indices, index)].tolist():
            del self._records[old]
        return found

    def _filter_distances(self, base: Mapping[str, Tensor], twins: Sequence[Mapping[str, Tensor]]) -> Arrays:
        """Return each filter's L2 difference, geometric mean over the perturbed twins that differ, and its norm."""
        if not self._convolutions:
            return {"filter_l2": np.empty(0, np.float32), "filter_norm": np.empty(0, np.float32)}
        weights = {name: base[name].double() for name in self._convolutions}
        energies = torch.stack([_by_filter([twin[name].double() - x for name, x in weights.items()]) for twin in twins])
        apart = energies > 0
        logs = torch.where(apart, energies, 1.0).log().sum(0) / apart.sum(0).clamp(min=1)
        mean = torch.where(apart.any(0), (logs / 2).exp(), 0.0)
        return {"filter_l2": mean.cpu().numpy(), "filter_norm": _by_filter(weights.values()).sqrt().cpu().numpy()}

    def _probe(self, base: Mapping[str, Tensor], twin: Mapping[str, Tensor]) -> tuple[Arrays, list[Evaluation]]:
        evaluations = []
        for training in self.twins.trainings:
            with training.active():
                evaluations.append(training.evaluate())
        energies = {name: (twin[name].double() - x.double()).square() for name, x in base.items()}
        carriers = {
            "element": [energy.reshape(-1) for energy in energies.values()],
            "filter": [energies[name].flatten(1).sum(1) for name in self._convolutions],
        }
        spread = {}
        for kind, carried in carriers.items():
            spread[f"{kind}_participation"] = np.array([float(participation_ratio(energy)) for energy in carried])
            spread[f"{kind}_gini"] = np.array([float(gini(energy)) for energy in carried])
        return spread, evaluations

    def arrays(self) -> Arrays:
        """Return everything but the sketches, as arrays by name; the axes are those above.

        `step` (S,), `tensor`, `size` (T,); the measures of `dynamics.divergence` (K, S, T), over all weights as
        `all_<measure>` (K, S), with `norm` (S, T) and `all_norm` (S,) of the base; `log_removed` (K, S); `first_step`
        (K, T), -1 where nothing ever differed; `loss_gap` (K, S): the training loss of the mini-batch of that step,
        twin minus base, NaN at the branch; `repeat_loss_step`, the first step at which the loss of the repeat is
        another in any bit, empty where there is none; `probe_step` (P,), `churn` (K, P), share of the probe predicted
        otherwise than by the base (NaN without classes); `filter_l2`, `filter_norm` (S, F) with `filter_tensor`,
        `filter_index` (F,); `element_*` (P, T) and `filter_participation`, `filter_gini` (P, C) of the first twin, with
        `convolution` (C,).
        """
        of_twins, of_base, _ = zip(*self._records.values(), strict=True)
        spreads, evaluations = zip(*self._probes.values(), strict=True)
        losses, filters = self._losses(), self._convolutions
        unequal = np.flatnonzero(losses[0].view(np.int64) != losses[1].view(np.int64))
        return {
            **self._tensors(),
            **_stacked(of_twins, axis=1),
            **_stacked(of_base),
            **_stacked(spreads),
            "first_step": self._first_KT,
            "loss_gap": self._loss_gaps(losses),
            "repeat_loss_step": unequal[:1] + 1,
            "convolution": np.array(list(filters), dtype=np.str_),
            "filter_tensor": np.array([name for name, count in filters.items() for _ in range(count)], dtype=np.str_),
            "filter_index": np.array([i for count in filters.values() for i in range(count)], dtype=np.int64),
            "probe_step": np.array(self.probed_steps),
            "churn": np.stack([_churn(runs) for runs in evaluations], 1),
        }

    def _tensors(self) -> Arrays:
        names, sizes = zip(*self._sketch.key[2], strict=True)
        steps = [self._step_of(index) for index in self._records]
        return {"step": np.array(steps), "tensor": np.array(names), "size": np.array(sizes)}

    def _loss_gaps(self, losses: np.ndarray) -> np.ndarray:
        steps = self._tensors()["step"]
        with np.errstate(invalid="ignore"):
            gaps = losses[1:] - losses[:1]
        # The loss of step s is taken at the weights before it, so it stands at index s - 1.
        at = np.clip(steps - 1, 0, gaps.shape[1] - 1)
        return np.where((steps > self.twins.start) & (steps <= gaps.shape[1]), gaps[:, at], np.nan)

    def _losses(self) -> np.ndarray:
        """Return the training loss of every run at every step so far, float64 (1 + K, steps)."""
        return np.stack([torch.stack(t.losses).double().cpu().numpy() for t in self.twins.trainings])

    @property
    def probed_steps(self) -> tuple[int, ...]:
        """The probed steps."""
        return tuple(self._step_of(index) for index in self._probes)

    def probed_metrics(self, run: int) -> dict[str, list[float]]:
        """Return the loss and the metric of one run on the probe, at the probed steps."""
        rows = [evaluations[run] for _, evaluations in self._probes.values()]
        metric = self.twins.base.task.metric.name
        found = {f"probe_{metric}": [row.metric for row in rows]}
        losses = [row.loss for row in rows if row.loss is not None]
        return {"probe_loss": losses, **found} if losses else found

    def sketches(self, run: int) -> Arrays:
        """Return the sketches of one run over the recorded steps, with what must be known to compare them."""
        rows = [sketches[run] for _, _, sketches in self._records.values()]
        seed_width = np.array(self._sketch.key[:2])
        return {**_stacked(rows), **self._tensors(), "seed_width": seed_width, "losses": self._losses()[run]}


def _by_filter(tensors: Iterable[Tensor]) -> Tensor:
    """Return the energy of each filter, one convolution after the other."""
    return torch.cat([x.flatten(1).square().sum(1) for x in tensors])


def _stacked(rows: Sequence[Arrays], axis: int = 0) -> Arrays:
    return {name: np.stack([row[name] for row in rows], axis) for name in rows[0]}


def _churn(evaluations: Sequence[Evaluation]) -> np.ndarray:
    """Return the share of the probe that each twin predicts otherwise than the base (K,), NaN without classes."""
    base, *others = (run.predictions_N for run in evaluations)
    return np.array([np.nan if base is None or other is None else np.mean(base != other) for other in others])
