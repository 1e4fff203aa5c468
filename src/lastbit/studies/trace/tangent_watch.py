"""A tangent carried along the base run: a hook that sees every mini-batch and every step, and changes nothing.

The Hessian product of a step is taken at the weights before that step, on the mini-batch of that step, in the mode and
with the generator state under which the network saw it, so that dropout draws the same mask.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lastbit.core import generators
from lastbit.curvature.batches import NotFiniteError
from lastbit.dynamics.tangent import Tangent, TangentGrowth, hessian_product, init_tangent, step_tangent
from lastbit.tasks import Task
from lastbit.train.training import Training

__all__ = ["TangentWatch"]


class TangentWatch:
    """Carries a tangent along one training.

    Give `watched_task` to the training instead of the task, then `attach` to the training; `arrays` holds what was
    found. Where the run stops being finite the tangent ends, and the run goes on.

    Args:
        task: what is trained.
    """

    def __init__(self, task: Task) -> None:
        self.watched_task = replace(task, loss=self._loss)
        self.seconds = 0.0
        self._task = task
        self._targets: Any = None
        self._inputs: Any = ()
        self._generators: dict[str, Any] = {}
        self._busy = self._ended = False
        self._tangent: Tangent | None = None
        self._parameters: dict[str, nn.Parameter] = {}
        self._steps: list[int] = []
        self._growths: list[TangentGrowth] = []

    def attach(self, training: Training) -> None:
        """Follow `training` from where it stands, until its model and optimizer go."""
        held = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
        self._parameters = {n: p for n, p in training.model.named_parameters() if p.requires_grad and id(p) in held}
        self._tangent = init_tangent(self._parameters)
        self._training = training
        training.model.register_forward_pre_hook(self._before_forward, with_kwargs=True)
        training.optimizer.register_step_pre_hook(self._before_step)

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if not self._busy:
            self._targets = targets
        assert self._task.loss is not None
        return self._task.loss(outputs, targets)

    def _before_forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if model.training and not self._busy:
            self._inputs = kwargs or args
            self._generators = generators.save(self._training.device)

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._ended or self._tangent is None:
            return
        began = time.perf_counter()
        self._busy = True
        try:
            self._tangent, growth = step_tangent(self._tangent, self._parameters, optimizer, self._product)
        except NotFiniteError:
            self._ended = True
        else:
            self._ended = not np.isfinite(growth.log_growth)
            if not self._ended:
                self._steps.append(self._training.position + 1)
                self._growths.append(growth)
        finally:
            self._busy = False
            self.seconds += time.perf_counter() - began

    def _product(self, directions: Sequence[Tensor]) -> Sequence[Tensor]:
        model, batch = self._training.model, (self._inputs, self._targets)
        with generators.replayed(self._generators, self._training.device):
            return hessian_product(model, self._training.loss, batch, parameters=list(self._parameters))(directions)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the growth of every step.

        `tangent_step` (R,), `tangent_log_growth` (R,) in nats, `tangent_split`, its parts by tensor, and
        `tangent_share`, each tensor's share of the squared norm after the step, both float32 (R, T); `tangent_tensor`
        (T,), names.
        """
        names = np.array(list(self._parameters))

        def stacked(name: str) -> np.ndarray:
            rows = [getattr(growth, name).float().cpu().numpy() for growth in self._growths]
            return np.stack(rows) if rows else np.empty((0, len(names)), dtype=np.float32)

        return {
            "tangent_step": np.array(self._steps, dtype=np.int64),
            "tangent_log_growth": np.array([growth.log_growth for growth in self._growths], dtype=np.float64),
            "tangent_split": stacked("split"),
            "tangent_share": stacked("share"),
            "tangent_tensor": names,
        }
