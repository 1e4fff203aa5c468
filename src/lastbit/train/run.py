"""One training from start (or from its checkpoint) to end, as a result with a status."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lastbit.core.recorder import Checkpoint, Recorder
from lastbit.core.status import RunStatus
from lastbit.perturb.base import Identity, Perturbation
from lastbit.tasks import Task
from lastbit.train.random_streams import Streams, streams
from lastbit.train.training import Evaluation, Training
from lastbit.train.tree import pack, unpack
from lastbit.train.weighed import Weigh, described, first_weighed, result_weighed, weighed, weighed_of_before

__all__ = ["RunBook", "RunOutcome", "run_training", "step_seconds"]


_FORM = 3
"""Of a checkpoint: one of a form after or long before it is not gone on from."""

_WITH_WEIGHTS = 2
"""The form before, which held the weights themselves."""

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How one run ended and its metrics at the end of each epoch."""

    status: RunStatus
    message: str = ""
    seconds: float = 0.0
    steps: tuple[int, ...] = ()
    """Optimizer steps taken at the end of each epoch."""
    metrics: dict[str, list[float]] = field(default_factory=dict)
    """`train_loss` (mean over the epoch's steps), `test_loss` and the task's metrics, one value per entry of `steps`;
    with validation examples, the last two of those too, under names that begin with `validation_`."""
    selected: int | None = None
    """The entry of `steps` whose network is the result; None for the last."""


@dataclass
class _Progress:
    """What is known at the end of an epoch, beside the training itself."""

    steps: list[int] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    spent: float = 0.0
    selected: int | None = None
    best: float = math.nan
    kept: Arrays = field(default_factory=dict)
    """Of the selected epoch."""

    def add(self, training: Training, weigh: Weigh, *, keep: bool) -> Evaluation:
        """Evaluate the epoch that ends here, and keep its network if it is the best one so far."""
        task, evaluation = training.task, training.evaluate(keep=keep)
        self.steps.append(training.position)
        row = {"train_loss": float(torch.stack(training.losses[-training.steps_per_epoch :]).double().mean())}
        row |= _row("", "test_loss", evaluation)
        if task.validation is not None:
            validated = training.validate()
            row |= _row("validation_", "validation_loss", validated)
            if task.select != "last" and task.metric.better(validated.metric, self.best):
                self.selected, self.best = training.position, validated.metric
                self.kept = _kept(training, evaluation, weigh)
        for name, value in row.items():
            self.metrics.setdefault(name, []).append(value)
        return evaluation

    def ended(self, task: Task) -> bool:
        """Tell whether the run ends here: its loss is not finite, or no epoch was better for long enough."""
        if not np.isfinite(self.metrics["train_loss"][-1]):
            return True
        if task.select != "early" or self.selected is None:
            return False
        return len(self.steps) - 1 - self.steps.index(self.selected) >= task.patience


def _row(prefix: str, loss: str, evaluation: Evaluation) -> dict[str, float]:
    own = {} if evaluation.loss is None else {loss: evaluation.loss}
    return own | {prefix + name: value for name, value in evaluation.metrics.items()}


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
    weigh: Weigh = weighed,
    keep_outputs: bool = False,
) -> RunOutcome:
    """Train `task` once and report to `recorder`.

    The run stops at the end of the first epoch in which a loss was not finite, with status `diverged`. Arrays given to
    the recorder: `losses` (per step), `per_example` (packed bits for a boolean score, else floats; see `Tally.scores`),
    where the task has classes `predictions`, and where it has several metrics `sampling_error`, that of each. Of the
    weights (trainable ones) and of the buffers their `weights_name`, `weights_size`, `weights_format`, and so on; what
    `weigh` returns as `weights_first_…` and `weights_final_…`; and `buffers_final_digest`. All but the first and the
    losses are those of the selected epoch.

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
        weigh: what is kept of the weights; their digests by default.
        keep_outputs: give the recorder `outputs` too, what the selected epoch's model returns for the test examples.

    Raises:
        LastbitError: something the user can fix (a full disk, a state that cannot be checkpointed).
        Exception: whatever the task's own code raises.
    """
    recorder = recorder or Recorder()
    training = Training(task, streams, perturbation, device=device, dtype=dtype)
    with closing(training), training.active():
        book = RunBook(training, recorder, how={}, weigh=weigh, keep_outputs=keep_outputs)
        book.restore()
        saved = time.perf_counter()
        while training.position < training.total_steps:
            training.step()
            on_step(training.position)
            if book.stepped():
                break
            if time.perf_counter() - saved > checkpoint_seconds:
                book.save()
                saved = time.perf_counter()
        return book.conclude()


class RunBook:
    """What is kept of a training under way, and made of it at its end; every method is called while it is active.

    Args:
        training: before its first step.
        recorder: takes arrays and checkpoints.
        how: facts of how its steps are computed that decide their bits, beside the number of threads; a checkpoint of
            other ones is not gone on from.
        share: of the time that passes, what is counted as this training's.
        weigh: what is kept of the weights.
        keep_outputs: whether the model's outputs for the test examples are.
    """

    def __init__(
        self,
        training: Training,
        recorder: Recorder,
        *,
        how: Mapping[str, Any],
        share: float = 1.0,
        weigh: Weigh = weighed,
        keep_outputs: bool = False,
    ) -> None:
        self.training = training
        self._recorder, self._share, self._weigh, self._keep = recorder, share, weigh, keep_outputs
        # The number of threads decides the order of sums: with another, a run begins again.
        self._how = {"form": _FORM, "threads": torch.get_num_threads(), "how": dict(how)}
        self._progress = _Progress()
        self._first: Arrays = {}
        self._evaluation: Evaluation | None = None
        self._begun = time.perf_counter()
        self._before = 0.0

    def checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint that can be gone on from, where there is one."""
        checkpoint = self._recorder.load_checkpoint()
        if checkpoint is None:
            return None
        facts = checkpoint[1] | ({"form": _FORM} if checkpoint[1].get("form") == _WITH_WEIGHTS else {})
        return checkpoint if all(facts.get(name, {}) == fact for name, fact in self._how.items()) else None

    def restore(self) -> None:
        """Go on from the checkpoint, where there is one."""
        checkpoint = self.checkpoint()
        if checkpoint is not None:
            tensors, facts = checkpoint
            self.training.restore(checkpoint)
            self._progress = _Progress(**unpack(facts["progress"], tensors))
            if facts["form"] == _WITH_WEIGHTS:
                kept = self._progress.kept
                self._first = weighed_of_before(self.training, tensors["weights_first"], kept, self._weigh)
            else:
                self._first = unpack(facts["first"], tensors)
            self._before = self._progress.spent

    def stepped(self) -> bool:
        """Look at the training after each step, and tell whether it ends early."""
        training = self.training
        if training.position == 1:
            self._first = first_weighed(training, self._weigh)
        if training.position % training.steps_per_epoch:
            return False
        self._evaluation = self._progress.add(training, self._weigh, keep=self._keep)
        return self._progress.ended(training.task)

    @property
    def _seconds(self) -> float:
        return self._before + self._share * (time.perf_counter() - self._begun)

    def save(self) -> None:
        """Write a checkpoint."""
        tensors, facts = self.training.state()
        self._progress.spent = self._seconds
        facts |= {
            "progress": pack(vars(self._progress), "progress", tensors),
            "first": pack(self._first, "first", tensors),
            "position": self.training.position,
        }
        self._recorder.save_checkpoint(tensors, facts | self._how)

    def conclude(self) -> RunOutcome:
        """Give the recorder the arrays, and return how the run ended."""
        training, progress = self.training, self._progress
        status, message = _status(training)
        kept = progress.kept or _kept(training, self._evaluation or training.evaluate(keep=self._keep), self._weigh)
        self._recorder.arrays(
            {
                **described(training),
                **self._first,
                "losses": torch.stack(training.losses).double().cpu().numpy(),
                **kept,
            }
        )
        return RunOutcome(
            status=status,
            message=message,
            seconds=self._seconds,
            steps=tuple(progress.steps),
            metrics=progress.metrics,
            selected=progress.selected,
        )


def _status(training: Training) -> tuple[RunStatus, str]:
    finite = torch.isfinite(torch.stack(training.losses))
    if not bool(finite.all()):
        step = int(torch.nonzero(~finite)[0]) + 1
        return RunStatus.DIVERGED, f"the training loss is not finite from step {step} on"
    if not all(bool(torch.isfinite(weight).all()) for weight in training.trained().values()):
        return RunStatus.DIVERGED, "weights are not finite at the end"
    return RunStatus.OK, ""


def _kept(training: Training, evaluation: Evaluation, weigh: Weigh) -> Arrays:
    """Return what is kept of the network that is the result."""
    per_example = evaluation.tallies[0].scores
    arrays: Arrays = {
        **result_weighed(training, weigh),
        "per_example": np.packbits(per_example) if per_example.dtype == bool else per_example,
    }
    if evaluation.predictions_N is not None:
        predictions = evaluation.predictions_N
        if predictions.min(initial=0) >= 0:
            predictions = predictions.astype(np.min_scalar_type(int(predictions.max(initial=0))))
        arrays["predictions"] = predictions
    if evaluation.outputs_N is not None:
        arrays["outputs"] = evaluation.outputs_N
    if len(evaluation.tallies) > 1:
        arrays["sampling_error"] = np.array([tally.sampling_error for tally in evaluation.tallies])
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
