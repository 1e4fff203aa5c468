"""One training from start (or from its checkpoint) to end, as a result with a status."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch

from lastbit.core.recorder import Recorder
from lastbit.core.status import RunStatus
from lastbit.perturb.base import Identity, Perturbation
from lastbit.tasks import Task
from lastbit.train.random_streams import Streams, streams
from lastbit.train.training import Evaluation, Training
from lastbit.train.tree import pack, unpack

__all__ = ["RunOutcome", "run_training", "step_seconds"]


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How one run ended and its metrics at the end of each epoch."""

    status: RunStatus
    message: str = ""
    seconds: float = 0.0
    steps: tuple[int, ...] = ()
    """Optimizer steps taken at the end of each epoch."""
    metrics: dict[str, list[float]] = field(default_factory=dict)
    """`train_loss` (mean over the epoch's steps), `test_loss` and the task's metric, one value per entry of `steps`."""


def run_training(
    task: Task,
    streams: Streams,
    perturbation: Perturbation,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    recorder: Recorder | None = None,
    checkpoint_seconds: float = 20.0,
    on_step: Callable[[int], None] = lambda position: None,
) -> RunOutcome:
    """Train `task` once and report to `recorder`.

    The run stops at the end of the first epoch in which a loss was not finite, with status `diverged`. Arrays given to
    the recorder: `weights_first` and `weights_final` (flat, trainable), `buffers_final`, `losses` (per step),
    `per_example` (packed bits for a boolean score, else float32) and, where the task has classes, `predictions`.

    Args:
        task: what is trained.
        streams: the seeds of its random decisions.
        perturbation: what happens to the last bit of its updates.
        device: where to train.
        dtype: format of the weights.
        recorder: takes arrays and checkpoints; a checkpoint that it holds is continued from, if it was made with the
            number of threads in use.
        checkpoint_seconds: time between checkpoints; a run shorter than that writes none.
        on_step: called with the number of steps taken, after each.

    Raises:
        LastbitError: something the user can fix (a full disk, a state that cannot be checkpointed).
        Exception: whatever the task's own code raises.
    """
    recorder = recorder or Recorder()
    started = saved = time.perf_counter()
    steps: list[int] = []
    metrics: dict[str, list[float]] = {"train_loss": [], "test_loss": [], task.metric.name: []}
    weights_first: np.ndarray[tuple[int], np.dtype[np.floating]] | None = None
    evaluation: Evaluation | None = None
    spent = 0.0
    training = Training(task, streams, perturbation, device=device, dtype=dtype)
    with closing(training), training.active():
        checkpoint = recorder.load_checkpoint()
        # The number of threads decides the order of sums: with another, a run begins again.
        if checkpoint is not None and checkpoint[1].get("threads") == torch.get_num_threads():
            tensors, facts = checkpoint
            training.restore(checkpoint)
            weights_first = tensors["weights_first"].numpy()
            steps, metrics, spent = unpack(facts["progress"], tensors)
        while training.position < training.total_steps:
            training.step()
            if training.position == 1:
                weights_first = training.weights()
            on_step(training.position)
            if training.position % training.steps_per_epoch == 0:
                evaluation = training.evaluate()
                loss = float(torch.stack(training.losses[-training.steps_per_epoch :]).double().mean())
                steps.append(training.position)
                for values, value in zip(metrics.values(), (loss, evaluation.loss, evaluation.metric), strict=True):
                    values.append(value)
                if not np.isfinite(loss):
                    break
            if time.perf_counter() - saved > checkpoint_seconds and weights_first is not None:
                tensors, facts = training.state()
                tensors["weights_first"] = torch.from_numpy(weights_first)
                progress = [steps, metrics, spent + time.perf_counter() - started]
                facts |= {"progress": pack(progress, "progress", tensors), "threads": torch.get_num_threads()}
                recorder.save_checkpoint(tensors, facts)
                saved = time.perf_counter()
        status, message = _status(training)
        recorder.arrays(_arrays(training, evaluation or training.evaluate(), weights_first))
    return RunOutcome(
        status=status,
        message=message,
        seconds=spent + time.perf_counter() - started,
        steps=tuple(steps),
        metrics=metrics,
    )


def _status(training: Training) -> tuple[RunStatus, str]:
    finite = torch.isfinite(torch.stack(training.losses))
    if not bool(finite.all()):
        step = int(torch.nonzero(~finite)[0]) + 1
        return RunStatus.DIVERGED, f"the training loss is not finite from step {step} on"
    if not np.isfinite(training.weights()).all():
        return RunStatus.DIVERGED, "weights are not finite at the end"
    return RunStatus.OK, ""


def _arrays(
    training: Training, evaluation: Evaluation, weights_first: np.ndarray[tuple[int], np.dtype[np.floating]] | None
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    per_example = evaluation.per_example_N
    arrays = {
        "weights_first": weights_first if weights_first is not None else training.weights(),
        "weights_final": training.weights(),
        "buffers_final": training.buffers(),
        "losses": torch.stack(training.losses).double().cpu().numpy(),
        "per_example": np.packbits(per_example) if per_example.dtype == bool else per_example,
    }
    if evaluation.predictions_N is not None:
        predictions = evaluation.predictions_N
        if predictions.min(initial=0) >= 0:
            predictions = predictions.astype(np.min_scalar_type(int(predictions.max(initial=0))))
        arrays["predictions"] = predictions
    return arrays


def step_seconds(task: Task, *, device: torch.device, dtype: torch.dtype, budget: float = 0.3) -> float:
    """Return the median seconds of a training step, over about `budget` seconds after as long a warm-up."""
    training = Training(task, streams(0), Identity(), device=device, dtype=dtype)
    times = []
    with closing(training), training.active():
        deadline = time.perf_counter() + 2 * budget
        for count in range(1, 1 + min(training.total_steps, 500)):
            begun = time.perf_counter()
            training.step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - begun)
            if time.perf_counter() > deadline and count >= 3:
                break
    return float(np.median(times[len(times) // 2 :]))
