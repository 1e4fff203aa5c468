"""What the callbacks of all trainers have in common: what they do, without the library whose trainer calls them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from lastbit.core.errors import LastbitError, choose
from lastbit.core.ulp import has_last_bit
from lastbit.core.words import plural
from lastbit.curvature.batches import LossFunction, part_sizes
from lastbit.curvature.monitor import StabilityRecord, checked_budget
from lastbit.curvature.snapshot import unwrapped
from lastbit.launch.contexts import named_perturbation
from lastbit.perturb.base import Attachment
from lastbit.perturb.registry import make_perturbation
from lastbit.studies.eos.monitor import StabilityMonitor
from lastbit.studies.trace.sketch_file import SketchFile

__all__ = ["Perturbing", "Sketching", "Watching"]

_BUDGETED = ("every", "budget", "tol", "growing")
_OPTIONS = (*_BUDGETED, "per_layer", "micro_batch", "reduction")


class _Guard:
    """A `with` that lets no error of a measurement through: it is told, and `failed` says it from then on."""

    def __init__(self, what: str) -> None:
        self.what, self.failed = what, ""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        """Tell of an error; Ctrl-C and the like pass."""
        if not isinstance(error, Exception):
            return False
        self.tell(error)
        return True

    def tell(self, error: Exception) -> None:
        """Warn of the error that ends what this guards."""
        self.failed = f"{self.what} ends here, and the training goes on: {error or type(error).__name__}"
        warnings.warn(self.failed, stacklevel=2)


class Perturbing:
    """Perturbs the optimizers of a trainer, in one training after the other.

    Args:
        perturb: `"auto"`, `"rescale"`, `"rounding"` or `"ulp"`.
        index: which member of that family a study would draw, 0 for none; or None.
        parameters: as for `perturb_optimizer`; beside an index, `seed` alone.

    Raises:
        LastbitError: no such perturbation, or parameters that it does not take.
    """

    def __init__(self, perturb: str, index: int | None, parameters: Mapping[str, Any]) -> None:
        if perturb == "reorder":
            raise LastbitError("reorder needs the model and its batches: a callback takes auto, rescale, rounding, ulp")
        self.perturbation = named_perturbation(perturb, parameters if index is None else {})
        if index is not None:
            if more := sorted(parameters.keys() - {"seed"}):
                raise LastbitError(
                    f"{more[0]} and index are given: index = {index!r} says which one, leave {more[0]} out"
                )
            self.perturbation = make_perturbation(perturb, index, **parameters)
        self._steps: list[int] = []
        self._attached: list[tuple[Optimizer, Attachment]] = []

    @property
    def steps(self) -> list[int]:
        """Steps that each optimizer took: all that a checkpoint must hold."""
        return [int(one.state_dict()["step"]) for _, one in self._attached] or self._steps

    def resume(self, steps: Sequence[int]) -> None:
        """Let the next training go on from steps that each optimizer took before; none for a new one."""
        self.end()
        self._steps = list(steps)

    def begin(self, optimizers: Sequence[Optimizer]) -> None:
        """Perturb every step of these optimizers from now on.

        Args:
            optimizers: as they are, without a trainer's wrapper.

        Raises:
            LastbitError: one cannot be perturbed, or there were more or fewer before.
        """
        self.end()
        before = self._steps or [0] * len(optimizers)
        if len(before) != len(optimizers):
            raise LastbitError(
                f"the checkpoint has the perturbation of {plural(len(before), 'optimizer')}, the training has "
                f"{len(optimizers)}: resume it with the optimizers that it began with"
            )
        guard = _Guard("the last-bit perturbation")
        try:
            for optimizer, taken in zip(optimizers, before, strict=True):
                attachment = self.perturbation.attach(optimizer)
                self._attached.append((optimizer, attachment))
                attachment.on_error = guard.tell
                attachment.load_state_dict({"step": torch.tensor(taken)})
        except LastbitError:
            self.end()
            raise

    def unhook(self) -> None:
        """Take the hooks off the optimizers: the trainer calls `before` and `after` itself."""
        for _, attachment in self._attached:
            attachment.detach()

    def before(self) -> None:
        """Look at a step that is about to be taken."""
        for optimizer, attachment in self._attached:
            attachment.before(optimizer)

    def after(self) -> None:
        """Perturb the step that was just taken."""
        for optimizer, attachment in self._attached:
            attachment.after(optimizer)

    def end(self) -> None:
        """Detach from all; `steps` stays."""
        self._steps = self.steps
        self.unhook()
        self._attached = []


class Watching:
    """Measures sharpness against the limit of one optimizer while a trainer trains.

    Args:
        loss_fn: as for `StabilityMonitor`.
        probe_batch: likewise; it is moved to the device of the weights.
        prefix: of the names of the numbers.
        options: those of `StabilityMonitor` but `sinks` and `study`.

    Raises:
        LastbitError: one of them cannot be used.
    """

    def __init__(self, loss_fn: LossFunction, probe_batch: Any, prefix: str, options: Mapping[str, Any]) -> None:
        if not callable(loss_fn):
            raise LastbitError(f"loss_fn is a {type(loss_fn).__name__}: give a function loss_fn(outputs, targets)")
        if not isinstance(prefix, str):
            raise LastbitError(f"prefix = {prefix!r}: write the beginning of the logged names, such as 'lastbit/'")
        for name in options:
            choose(name, _OPTIONS, "setting of the monitor")
        checked_budget(**{name: value for name, value in options.items() if name in _BUDGETED})
        part_sizes(probe_batch, options.get("micro_batch"))
        self._loss_fn, self._batch, self._prefix, self._options = loss_fn, probe_batch, prefix, dict(options)
        self.monitor: StabilityMonitor | None = None
        """Of the training under way, or of the last."""
        self.steps = 0
        """That the optimizer took; to be set before a training that goes on with one that was interrupted."""
        self._guard = _Guard("measuring stability")
        self._told = 0

    def begin(self, model: nn.Module, optimizer: Optimizer, *, whole: bool = True, processes: int = 1) -> None:
        """Begin a training, or go on with one after `steps`; what fails is told.

        Args:
            model: the network; a wrapper of PyTorch's is taken off.
            optimizer: as it is, without a trainer's wrapper.
            whole: whether this process holds all weights by itself.
            processes: that train together.
        """
        self.monitor, self._told = None, 0
        self._guard = _Guard("measuring stability")
        with self._guard:
            _check_whole(whole)
            if processes > 1 and any(isinstance(one, nn.SyncBatchNorm) for one in model.modules()):
                raise LastbitError("SyncBatchNorm waits for the other processes, and one alone measures")
            device = next(model.parameters()).device
            batch = tree_map_only(Tensor, lambda tensor: tensor.to(device), self._batch)
            self.monitor = StabilityMonitor(model, optimizer, self._loss_fn, batch, **self._options)
            self.monitor.resume(self.steps)

    def step(self) -> None:
        """Count a step of the optimizer, and measure where that is due."""
        self.steps += 1
        if self.monitor is not None and not self._guard.failed:
            with self._guard:
                self.monitor.step()

    def end(self) -> None:
        """End the training, with a measurement where none was due."""
        if self.monitor is not None and not self._guard.failed:
            with self._guard:
                self.monitor.close()

    def news(self) -> dict[str, float]:
        """Return the newest measurement where there is one since the last call: its numbers that are finite."""
        records = self.monitor.records if self.monitor is not None else []
        if len(records) == self._told:
            return {}
        self._told = len(records)
        return {f"{self._prefix}{name}": value for name, value in _numbers(records[-1]).items() if isfinite(value)}


class Sketching:
    """Keeps sketches of a network's weights in a file while a trainer trains.

    Args:
        path: as for `SketchFile`.
        every: likewise.

    Raises:
        LastbitError: as there.
    """

    def __init__(self, path: str | Path, every: int) -> None:
        self._file = SketchFile(path, every)
        self._guard = _Guard("keeping sketches")

    def begin(self, model: nn.Module, step: int, *, resumed: bool, whole: bool = True) -> None:
        """Begin a training, or go on with one after a step.

        Args:
            model: the network; a wrapper of PyTorch's is taken off.
            step: that it stands at.
            resumed: whether the training goes on.
            whole: whether this process holds all weights by itself.

        Raises:
            LastbitError: the training is new, and the file is there already.
        """
        self._guard = _Guard("keeping sketches")
        if not resumed:
            self._file.begin()
        with self._guard:
            _check_whole(whole)
            if resumed:
                self._file.resume(step)
        self.take(model, step)

    def take(self, model: nn.Module, step: int, *, last: bool = False) -> None:
        """Keep a sketch after so many steps where one is due, or the training ends here; what fails is told."""
        if not self._guard.failed:
            with self._guard:
                weights = {name: weight for name, weight in unwrapped(model).named_parameters() if has_last_bit(weight)}
                self._file.take(step, weights, last=last)

    def save(self) -> None:
        """Write what there is; what fails is told."""
        if not self._guard.failed:
            with self._guard:
                self._file.save()


def _check_whole(whole: bool) -> None:
    if not whole:
        raise LastbitError("the weights are spread over processes, and one alone has not all of them")


def _numbers(record: StabilityRecord) -> dict[str, float]:
    of_all = {name: getattr(record, name) for name in ("ratio", "sharpness", "limit")}
    return of_all | {f"ratio/{layer}": ratio for layer, ratio in record.layers.items()}
