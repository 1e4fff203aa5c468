"""Where a process of a forced run stands: its step, its optimizers, and what an evaluation of the loss came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lastbit.launch.forced.standing import Trained

__all__ = ["STEPPED", "Evaluation", "Here", "is_compared", "is_sent", "step_name"]

STEPPED = "stepped"
"""A file among the records of a run in which an optimizer steps."""


@dataclass(frozen=True)
class Evaluation:
    """Gradients that are there, and what led to them."""

    place: int
    """Among those of its step: a closure may be called more than once."""
    loss: float | None
    """Sum of the scalars that were backpropagated; None where there was none."""
    dtype: str
    """Of the last of them."""
    returned: float | None
    """By the closure."""
    batches: Mapping[str, str]
    """What data loaders gave since the last evaluation, in words."""


@dataclass
class Here:
    """This process."""

    step: int = 0
    """Of all its optimizers, the one under way or the last; counted from 1."""
    trained: list[Trained] = field(default_factory=list)
    """Optimizers in the order of their first steps."""

    def places(self) -> dict[int, int]:
        """Return the places of all that is trained, by `id`."""
        every = [
            param
            for one in self.trained
            if (optimizer := one.optimizer()) is not None
            for group in optimizer.param_groups
            for param in group["params"]
        ]
        return {id(param): place for place, param in enumerate(every)}


def is_compared(step: int, every: int) -> bool:
    """Tell whether a step is compared: each `every`-th, from the first on."""
    return (step - 1) % every == 0


def is_sent(step: int, every: int) -> bool:
    """Tell whether where the reference stands after a step must be known: it is compared, or the next one is."""
    return is_compared(step, every) or is_compared(step + 1, every)


def step_name(step: int) -> str:
    """Return the name of a step's message."""
    return f"step-{step:09d}"
