"""Twins of one training in lock step: the base run, its exact repeat, and runs perturbed in the last bit.

All of them are equal, bit for bit, at the step where they branch; the perturbations act from there on. Who looks at
them, and at which steps, is the caller's: `advance` takes every run to a step, and its weights can be read there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.core.words import plural
from lastbit.perturb.base import Identity
from lastbit.perturb.registry import make_perturbation
from lastbit.tasks import Task
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

__all__ = ["TwinPlan", "Twins", "check_branch", "lock_step"]


@dataclass(frozen=True, kw_only=True)
class TwinPlan:
    """Which twins, and over which steps."""

    twins: int
    """Perturbed runs; without any, the base run has no repeat either."""
    perturb: str | None = "rescale"
    """How the last bit is perturbed; None for twins that whoever asks for them makes different."""
    seed: int = 0
    """Of the training; the perturbations draw from a stream of their own."""
    from_step: int = 0
    """Where the twins branch off the base run."""
    steps: int | None = None
    """The last step; None for the whole training."""


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Trainings that were equal at `start`: the base run, its exact repeat, then the perturbed ones."""

    labels: tuple[str, ...]
    trainings: tuple[Training, ...]
    start: int
    total: int
    """The last step that they take."""

    @property
    def base(self) -> Training:
        """The unperturbed run."""
        return self.trainings[0]

    @property
    def position(self) -> int:
        """Steps taken."""
        return self.base.position

    def advance(self, to: int) -> None:
        """Take every run to step `to`, one after the other."""
        for training in self.trainings:
            _advance(training, to)

    def weights(self) -> list[dict[str, Tensor]]:
        """Return the trained weights of every run by name: the tensors themselves."""
        return [training.trained() for training in self.trainings]


@contextmanager
def lock_step(
    task: Task, plan: TwinPlan, *, device: torch.device, dtype: torch.dtype, base: Task | None = None
) -> Iterator[Twins]:
    """Train the base run to the branch and lend it with its twins; every perturbation is detached at the end.

    Args:
        task: what is trained.
        plan: which twins.
        device: where to train.
        dtype: format of the weights.
        base: the task of the base run, where it is watched; it must train alike.

    Raises:
        LastbitError: the branch lies beyond the training, the base run is not finite there any more, or the
            perturbation cannot act on the task.

    Example:
        >>> with lock_step(task, TwinPlan(twins=2), device=device, dtype=torch.float32) as twins:  # doctest: +SKIP
        ...     twins.advance(10)
        ...     base, repeat, *perturbed = twins.weights()
    """
    runs = plan.twins + 2 if plan.twins else 1
    with ExitStack() as stack:
        trainings = []
        for index in range(runs):
            chosen = base if base is not None and not index else task
            training = Training(chosen, streams(plan.seed), Identity(), device=device, dtype=dtype)
            trainings.append(stack.enter_context(closing(training)))
        _branch(trainings, plan.from_step)
        total = min(plan.steps or trainings[0].total_steps, trainings[0].total_steps)
        labels, seed = ["base", "repeat"][:runs], stream_seed(plan.seed, "perturbation")
        for index, training in enumerate(trainings[2:], start=1):
            if plan.perturb is None:
                labels.append(f"twin {index}")
                continue
            perturbation = make_perturbation(plan.perturb, index, seed=seed)
            training.perturb(perturbation)
            labels.append(perturbation.label)
        yield Twins(labels=tuple(labels), trainings=tuple(trainings), start=plan.from_step, total=total)


def check_branch(from_step: int, steps: int) -> None:
    """Check that twins which branch off at `from_step` have steps to take.

    Raises:
        LastbitError: the branch lies beyond the training.
    """
    if from_step >= steps:
        raise LastbitError(
            f"--from-step = {from_step}: the training has {plural(steps, 'step')}; write at most {steps - 1}"
        )


def _advance(training: Training, to: int) -> None:
    with training.active():
        while training.position < to:
            training.step()


def _branch(trainings: Sequence[Training], from_step: int) -> None:
    base, *twins = trainings
    check_branch(from_step, base.total_steps)
    if not from_step:
        return
    _advance(base, from_step)
    if not bool(torch.isfinite(torch.stack(base.losses)).all()):
        raise LastbitError(
            f"--from-step = {from_step}: the base run is not finite there any more; write an earlier step, or a "
            "smaller learning rate"
        )
    with base.active():
        state = base.state()
    for twin in twins:
        with twin.active():
            twin.restore(state)
