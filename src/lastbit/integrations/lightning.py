"""Callbacks for Lightning's `Trainer`: perturb its optimizers, watch its stability, sketch its weights.

They act on the optimizers themselves (`trainer.optimizers`), from `on_train_start` until the fit ends, however it ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lastbit.core.errors import LastbitError, MissingExtraError
from lastbit.core.words import plural
from lastbit.curvature.batches import LossFunction
from lastbit.integrations.trainers import Perturbing, Sketching, Watching
from lastbit.perturb.base import check_integer

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.strategies import DDPStrategy
except ModuleNotFoundError:
    raise MissingExtraError(__name__, "Lightning", "lightning") from None

__all__ = ["PerturbCallback", "StabilityCallback", "TwinCallback"]


class PerturbCallback(Callback):  # type: ignore[misc]
    """Perturbs the last bit of every step of every optimizer.

    A checkpoint holds how many steps were perturbed, so that a fit that goes on from it has the bits of one that was
    never interrupted. The processes of DDP perturb alike.

    Args:
        perturb: `"auto"`, `"rescale"`, `"rounding"` or `"ulp"`, as of `lastbit.perturb_optimizer`.
        index: 0, 1, 2, ... for the perturbation that a study gives to its twin of that number, 0 being none.
        **parameters: as of `lastbit.perturb_optimizer` (`k`, `seed`); beside an index `seed` alone.

    Raises:
        LastbitError: no such perturbation, or parameters that it does not take; when the fit begins, an optimizer that
            it cannot perturb.
    """

    def __init__(self, perturb: str = "auto", *, index: int | None = None, **parameters: Any) -> None:
        self._perturbing = Perturbing(perturb, index, parameters)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Count anew, where the trainer is new; a checkpoint is restored after this."""
        if stage == "fit" and trainer.global_step == 0:
            self._perturbing.resume([])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach."""
        self._perturbing.begin(trainer.optimizers)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Detach."""
        self._perturbing.end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Detach."""
        self._perturbing.end()

    def state_dict(self) -> dict[str, Any]:
        """Return the steps of each optimizer."""
        return {"steps": self._perturbing.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._perturbing.resume(state_dict["steps"])


class StabilityCallback(Callback):  # type: ignore[misc]
    """Measures how the learning rate stands to the largest stable one, and logs it.

    What is logged, at the trainer's `global_step`, by every logger and into `trainer.callback_metrics`: `lastbit/ratio`
    (above 1 the sharpest direction grows), `lastbit/sharpness` and `lastbit/limit`, those of them that are finite. The
    first process measures for all; no bit of the training changes. An error of a measurement ends the measuring with a
    warning, never the training.

    Args:
        loss_fn: `loss_fn(outputs, targets)` of the module's `forward`, or a `lastbit.curvature.ModelLoss`, which is
            called with the module itself.
        probe_batch: the fixed batch that curvature is measured on.
        optimizer: which of the trainer's optimizers, by its place.
        prefix: of the logged names.
        **options: `every`, `budget`, `tol`, `growing`, `per_layer`, `micro_batch`, `reduction` of
            `lastbit.StabilityMonitor`.

    Raises:
        LastbitError: one of them cannot be used.
    """

    def __init__(
        self,
        loss_fn: LossFunction,
        probe_batch: Any,
        *,
        optimizer: int = 0,
        prefix: str = "lastbit/",
        **options: Any,
    ) -> None:
        self.optimizer = check_integer("optimizer", optimizer, least=0)
        self._watching = Watching(loss_fn, probe_batch, prefix, options)
        self._handle: Any = None

    @property
    def state_key(self) -> str:
        """One for each optimizer that is measured."""
        return str(self._generate_state_key(optimizer=self.optimizer))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Count anew, where the trainer is new; a checkpoint is restored after this."""
        if stage == "fit" and trainer.global_step == 0:
            self._watching.steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the module for the first time, and hook the optimizer."""
        if self.optimizer >= len(trainer.optimizers):
            count = plural(len(trainer.optimizers), "optimizer")
            raise LastbitError(f"optimizer = {self.optimizer}: the trainer has {count}, write a place from 0 on")
        if not trainer.is_global_zero:
            return
        optimizer = trainer.optimizers[self.optimizer]
        self._watching.begin(pl_module, optimizer, whole=_whole(trainer), processes=trainer.world_size)
        self._handle = optimizer.register_step_post_hook(lambda *_: self._watching.step())

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Log what was measured in the step."""
        if numbers := self._watching.news():
            trainer.callback_metrics.update({name: torch.tensor(value) for name, value in numbers.items()})
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step=trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the end of a training that was too short for a measurement to be due."""
        self._watching.end()
        self.on_train_batch_end(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the hook off."""
        if self._handle is not None:
            self._handle.remove()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the hook off."""
        self.teardown(trainer, pl_module, "fit")

    def state_dict(self) -> dict[str, Any]:
        """Return the steps of the optimizer."""
        return {"steps": self._watching.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._watching.steps = state_dict["steps"]


class TwinCallback(Callback):  # type: ignore[misc]
    """Keeps sketches of the module's weights in a file, so that two fits can be compared by `lastbit.compare_sketches`.

    One before the first step, one after the last, and between them every step below 64, fewer later on (half as many
    for each doubling, on an even grid of at most 512); see `lastbit.dynamics.sketch`. A step is one of the trainer's
    `global_step`. A fit that goes on from a checkpoint goes on with its file. The first process writes. An error ends
    the keeping with a warning, never the training.

    Args:
        path: the file, `.npz`, in a folder that is there.
        every: steps between two sketches.

    Raises:
        LastbitError: one of them cannot be used; when a new fit begins, the file is there already.
    """

    def __init__(self, path: str | Path, *, every: int = 1) -> None:
        self._sketching = Sketching(path, every)
        self._resumed = False
        self._step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, where the trainer is new; a checkpoint is restored after this."""
        self._resumed = trainer.global_step > 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights that the training begins with."""
        self._step = trainer.global_step
        if trainer.is_global_zero:
            self._sketching.begin(pl_module, self._step, resumed=self._resumed, whole=_whole(trainer))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Keep the weights where a sketch is due."""
        if trainer.is_global_zero and trainer.global_step > self._step:
            self._step = trainer.global_step
            self._sketching.take(pl_module, self._step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights that the training ends with."""
        if trainer.is_global_zero:
            self._sketching.take(pl_module, trainer.global_step, last=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what there is."""
        if trainer.is_global_zero:
            self._sketching.save()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write what there is, for a fit that goes on from here."""
        if trainer.is_global_zero:
            self._sketching.save()

    def state_dict(self) -> dict[str, Any]:
        """Return that there is something to go on with."""
        return {"step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the file."""
        self._resumed = True


def _whole(trainer: Trainer) -> bool:
    """Tell whether each process holds all weights by itself."""
    return trainer.world_size == 1 or isinstance(trainer.strategy, DDPStrategy)
