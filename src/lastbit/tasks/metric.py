"""What a task is judged by: one number per test example, so that runs can be compared example by example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = ["ACCURACY", "MSE", "Metric"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure of merit that is a mean over examples.

    Attributes:
        name: what it is called in tables (`"accuracy"`).
        per_example: maps outputs `(N, ...)` and targets `(N, ...)` to a bool or float tensor `(N,)`; its mean over the
            test set is the metric.
        unit: printed after the number; `"%"` means that the mean is multiplied by 100.
        higher_is_better: whether a larger value is better.

    Example:
        >>> import torch
        >>> float(ACCURACY.scale * ACCURACY.per_example(torch.eye(4), torch.tensor([0, 1, 2, 0])).double().mean())
        75.0
    """

    name: str
    per_example: Callable[[Tensor, Tensor], Tensor]
    unit: str = ""
    higher_is_better: bool = True

    @property
    def scale(self) -> float:
        """What the mean over examples is multiplied by: 100 for a percentage, else 1."""
        return 100.0 if self.unit == "%" else 1.0


def _correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """Say whether the largest entry of each row of `(N, classes)` is at the target `(N,)`."""
    # With a single output the largest is always the first: every example would silently be of class 0.
    fits = outputs.ndim == 2 and outputs.shape[1] > 1 and targets.shape == outputs.shape[:1]
    if not fits or targets.is_floating_point():
        raise LastbitError(
            f"accuracy needs outputs (N, classes) of two classes or more and integer labels (N,), got "
            f"{tuple(outputs.shape)} and {targets.dtype} {tuple(targets.shape)}: give the task a metric of its own"
        )
    return outputs.argmax(1) == targets


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of each example, averaged over what follows the first axis."""
    if outputs.shape != targets.shape:
        # (N, 1) against (N,) would silently broadcast to an (N, N) table.
        raise LastbitError(
            f"squared error needs outputs and targets of one shape, got {tuple(outputs.shape)} and "
            f"{tuple(targets.shape)}"
        )
    return (outputs - targets).square().flatten(1).mean(1) if outputs.ndim > 1 else (outputs - targets).square()


ACCURACY = Metric(name="accuracy", per_example=_correct, unit="%")
"""Share of test examples whose largest output is at the label."""

MSE = Metric(name="mse", per_example=_squared_error, higher_is_better=False)
"""Mean squared error, for regression."""
