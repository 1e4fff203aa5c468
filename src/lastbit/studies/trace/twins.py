"""The runs of a trace: the base run, its exact repeat, and twins perturbed in the last bit, branched at one step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.perturb import Identity, make_perturbation
from lastbit.studies.trace.config import TraceConfig
from lastbit.tasks import Task
from lastbit.train import Training, streams

__all__ = ["PROBE", "Twins", "perturbation_labels", "with_probe"]

PROBE = 512
"""Test samples on which the churn between twins is measured: its standard error is then at most 2.2 points."""


@dataclass(frozen=True)
class Twins:
    """Trainings that were equal at `start`; the first is the base, the second its exact repeat.

    Attributes:
        labels: what each is called.
        trainings: the runs, in the order of the labels.
        start: the step at which they were equal.
        stack: closing it detaches every perturbation.
    """

    labels: tuple[str, ...]
    trainings: tuple[Training, ...]
    start: int
    stack: ExitStack

    @property
    def base(self) -> Training:
        """The unperturbed run."""
        return self.trainings[0]

    @property
    def total(self) -> int:
        """Steps of the whole training."""
        return self.base.total_steps

    @property
    def position(self) -> int:
        """Steps taken."""
        return self.base.position

    def advance(self, to: int) -> None:
        """Take every run to step `to`, one after the other."""
        for training in self.trainings:
            with training.active():
                while training.position < to:
                    training.step()

    def weights(self) -> list[dict[str, Tensor]]:
        """Return the trained weights of every run by name: the tensors themselves."""
        return [training.trained() for training in self.trainings]


def with_probe(task: Task) -> Task:
    """Return the task with its test set cut to the first `PROBE` samples, on which churn is measured."""
    return replace(task, test=task.test.subset(torch.arange(min(PROBE, len(task.test)))))


def perturbation_labels(config: TraceConfig, steps: int = 1) -> tuple[str, ...]:
    """Return what base, repeat and twins are called."""
    labels = [
        make_perturbation(config.perturb, index + 1, seed=_seed(config), total_steps=steps).label
        for index in range(config.twins)
    ]
    return ("base", "repeat", *labels)


def _seed(config: TraceConfig) -> int:
    return stream_seed(config.seed, "perturbation")


def make_twins(
    task: Task,
    config: TraceConfig,
    *,
    from_step: int,
    device: torch.device,
    dtype: torch.dtype,
    base: Task | None = None,
) -> Twins:
    """Train the base run to `from_step` and branch its twins there; perturbations act from that step on.

    Args:
        task: what is trained.
        config: which twins.
        from_step: where they branch.
        device: where to train.
        dtype: format of the weights.
        base: the task of the base run, where it is watched; it must train alike.

    Raises:
        LastbitError: the branch lies beyond the training, or the base run is not finite there any more.
    """
    seeds = streams(config.seed)
    with ExitStack() as stack:
        trainings: list[Training] = []
        for index in range(config.twins + 2):
            chosen = base if base is not None and not index else task
            trainings.append(Training(chosen, seeds, Identity(), device=device, dtype=dtype))
            stack.callback(trainings[-1].close)
        _branch(trainings, from_step)
        steps = trainings[0].total_steps - from_step
        for index, training in enumerate(trainings[2:], start=1):
            perturbation = make_perturbation(config.perturb, index, seed=_seed(config), total_steps=steps)
            stack.enter_context(perturbation.attach(training.optimizer, training.model))
        return Twins(perturbation_labels(config, steps), tuple(trainings), from_step, stack.pop_all())


def _branch(trainings: Sequence[Training], from_step: int) -> None:
    base = trainings[0]
    if from_step >= base.total_steps:
        raise LastbitError(
            f"--from-step = {from_step}: the training has {base.total_steps} steps; write at most "
            f"{base.total_steps - 1}"
        )
    if not from_step:
        return
    with base.active():
        while base.position < from_step:
            base.step()
        state = base.state()
    if not bool(torch.isfinite(torch.stack(base.losses)).all()):
        raise LastbitError(
            f"--from-step = {from_step}: the base run is not finite there any more; write an earlier step, or a "
            "smaller learning rate"
        )
    for twin in trainings[1:]:
        with twin.active():
            twin.restore(state)
