"""One deterministic training, stepped from outside; its whole state can be saved and restored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core import generators
from lastbit.core.errors import LastbitError
from lastbit.core.recorder import Checkpoint
from lastbit.core.seeds import torch_stream
from lastbit.perturb.base import Perturbation
from lastbit.tasks import Task
from lastbit.train.random_streams import Streams
from lastbit.train.tree import pack, unpack

__all__ = ["Evaluation", "Training"]

_EVALUATION_BATCH = 512
"""Samples per forward pass of an evaluation: large enough to fill two cores, small enough for their caches."""


@contextmanager
def _deterministic() -> Iterator[None]:
    """Ask torch for deterministic algorithms, no autotuning and no TF32, and put everything back at the end.

    An operation without a deterministic algorithm warns and continues: whether the run repeats is then measured by
    the control.
    """
    # cuBLAS reads this when its handle is made; without it, matrix products may pick another workspace each run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    benchmark, tf32 = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    matmul = torch.get_float32_matmul_precision()
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = benchmark, tf32
        torch.set_float32_matmul_precision(matmul)


@dataclass(frozen=True)
class Evaluation:
    """How the model does on the test set."""

    loss: float
    metric: float
    """Mean of `per_example` in the metric's unit."""
    per_example_N: np.ndarray[Any, Any]
    """Score of each test example: bool, or float32."""
    predictions_N: np.ndarray[Any, Any] | None
    """Predicted class of each test example, None where the task has no classes."""


class Training:
    """A task in training: model, optimizer, schedule, perturbation and every random stream.

    The same arguments give the same bits, whatever ran before in the process. Use inside `active()`, which lends the
    process-wide generators and deterministic settings to this training; several trainings can take turns.

    Incomplete last batches are left out, so that every step of every epoch averages over `task.batch_size` samples.

    Args:
        task: what is trained.
        streams: the seeds of its random decisions.
        perturbation: what happens to the last bit of its updates.
        device: where the tensors live.
        dtype: format of weights and inputs. For bfloat16 and float16 outputs, loss and metric are taken in float32.

    Raises:
        LastbitError: the batch size exceeds the training examples, or the perturbation cannot act on the optimizer.
    """

    def __init__(
        self, task: Task, streams: Streams, perturbation: Perturbation, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.task = task
        self.streams = streams
        self.position = 0
        """Optimizer steps taken."""
        self.steps_per_epoch = task.steps_per_epoch
        self.total_steps = task.total_steps
        if self.steps_per_epoch == 0:
            raise LastbitError(
                f"batch size {task.batch_size} exceeds the {len(task.train)} training examples: write at most that"
            )
        self.losses: list[Tensor] = []
        """Training loss at each step so far (0-d, on the device)."""
        self.device = device
        self._train = task.train.to(device, dtype)
        self._test = task.test.to(device, dtype)
        self._generators = generators.LentGenerators(streams.augment, device)
        with generators.LentGenerators(streams.init, device).active(), _deterministic():
            self.model = task.model().to(device=device, dtype=dtype)
            self.model.train()
            self.optimizer = task.optimizer(self.model.parameters())
            self.schedule = task.schedule(self.optimizer, self.total_steps) if task.schedule else None
            self._attachment = perturbation.attach(self.optimizer, self.model)
        self._epoch = -1
        self._order_S = torch.empty(0, dtype=torch.int64)
        self._draws_NK: Tensor | None = None

    @contextmanager
    def active(self) -> Iterator[Training]:
        """Lend this training the process-wide generators and settings."""
        with self._generators.active(), _deterministic():
            yield self

    def step(self) -> None:
        """Take one optimizer step."""
        epoch, within = divmod(self.position, self.steps_per_epoch)
        if epoch != self._epoch:
            self._start_epoch(epoch)
        size = self.task.batch_size
        index_B = self._order_S[within * size : (within + 1) * size]
        inputs, targets = self._train.batch(index_B)
        if self.task.augment is not None and self._draws_NK is not None:
            inputs = self.task.augment(inputs, self._draws_NK[index_B].to(inputs.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.losses.append(loss.detach())
        self.position += 1

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the task's loss as a step computes it: half-precision outputs are converted to float32."""
        return self.task.loss(_widened(outputs), targets)

    def _start_epoch(self, epoch: int) -> None:
        samples = len(self.task.train)
        self._epoch = epoch
        self._order_S = torch.randperm(samples, generator=torch_stream(self.streams.order, epoch))
        if self.task.augment is not None:
            draws = torch_stream(self.streams.augment, "augmentation", epoch)
            self._draws_NK = torch.rand(samples, self.task.augment_draws, generator=draws)

    def evaluate(self) -> Evaluation:
        """Measure the model on the test set; leaves every mode, buffer and generator as it was."""
        modes = [(module, module.training) for module in self.model.modules()]
        buffers = [(buffer, buffer.detach().clone()) for buffer in self.model.buffers()]
        drawn = generators.save(self.device)
        self.model.eval()
        losses, scores, predictions = [], [], []
        try:
            with torch.no_grad(), generators.replayed(drawn, self.device):
                for index_B in torch.split(torch.arange(len(self._test)), _EVALUATION_BATCH):
                    inputs, targets = self._test.batch(index_B)
                    outputs = _widened(self.model(inputs))
                    losses.append(self.task.loss(outputs, targets).double() * len(index_B))
                    scores.append(self.task.metric.per_example(outputs, targets))
                    if self.task.predict is not None:
                        predictions.append(self.task.predict(outputs))
        finally:
            for module, mode in modes:
                module.training = mode
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
        score_N = torch.cat(scores)
        return Evaluation(
            loss=float(torch.stack(losses).sum()) / len(self._test),
            metric=self.task.metric.scale * float(score_N.double().mean()),
            per_example_N=score_N.cpu().numpy() if score_N.dtype == torch.bool else score_N.float().cpu().numpy(),
            predictions_N=torch.cat(predictions).cpu().numpy() if predictions else None,
        )

    def trained(self) -> dict[str, Tensor]:
        """Return the trainable weights by name, in the network's order: the tensors themselves, each tied one once."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def weights(self) -> np.ndarray[Any, Any]:
        """Return all trainable weights, flat, in the order of `named_parameters` (bfloat16 and float16 as float32)."""
        flat = [_widened(p).reshape(-1) for p in self.trained().values()]
        return torch.cat(flat).cpu().numpy().copy()

    def buffers(self) -> np.ndarray[Any, Any]:
        """Return all buffers (running statistics), flat, as float64."""
        flat = [b.detach().double().reshape(-1) for b in self.model.buffers()]
        return (torch.cat(flat) if flat else torch.empty(0)).cpu().numpy().copy()

    def state(self) -> Checkpoint:
        """Return everything that determines the rest of the training. Call while active."""
        tensors: dict[str, Tensor] = {}
        tree = {
            "position": self.position,
            "model": dict(self.model.state_dict()),
            "unsaved": self._unsaved(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "perturbation": self._attachment.state_dict(),
            "generators": generators.save(self.device),
            "losses": torch.stack(self.losses).cpu() if self.losses else None,
        }
        return tensors, {"state": pack(tree, "state", tensors)}

    def _unsaved(self) -> dict[str, Tensor]:
        """Return the buffers that `state_dict` leaves out (`persistent=False`) but training may change."""
        saved = self.model.state_dict().keys()
        return {name: buffer for name, buffer in self.model.named_buffers() if name not in saved}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore what `state` returned. Call while active."""
        tensors, facts = checkpoint
        tree = unpack(facts["state"], tensors)
        self.position = tree["position"]
        self.model.load_state_dict(tree["model"])
        with torch.no_grad():
            for name, buffer in self._unsaved().items():
                buffer.copy_(tree["unsaved"][name])
        self.optimizer.load_state_dict(tree["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(tree["schedule"])
        self._attachment.load_state_dict(tree["perturbation"])
        generators.restore(tree["generators"], self.device)
        losses = tree["losses"]
        self.losses = [] if losses is None else list(losses.to(self.device).unbind())

    def close(self) -> None:
        """Detach the perturbation."""
        self._attachment.detach()


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
