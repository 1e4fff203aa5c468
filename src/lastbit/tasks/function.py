"""A training as a Python function: it gets a seed, trains what and how it likes, and returns what it measured."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = ["Measured", "TrainingFunction", "is_training"]

RESULT = "result"
"""Name of a number that a function returns without one."""

_PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Measured:
    """What a training function returned."""

    metrics: dict[str, float]
    """By name, first the one that it is judged by."""
    predictions_N: np.ndarray[Any, Any] | None
    """Predicted class of each example, where it returned them."""


def is_training(function: Callable[..., Any]) -> bool:
    """Tell whether a function's one required parameter is `seed`: such a function trains; one without makes a Task."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    return needed == ["seed"]


@dataclass(frozen=True)
class TrainingFunction:
    """A function `train(seed)` that trains and returns a number, or a mapping of names to numbers.

    Every optimizer that takes a step in it is perturbed. The global random generators are seeded by the seed before it
    begins, so that a function which sets none of them repeats all the same. In the mapping the first entry is what the
    training is judged by; `predictions`, whole numbers `(N,)`, are the predicted classes from which churn is measured.

    Attributes:
        function: the function.
        name: what the study calls it.

    Raises:
        LastbitError: it is no function of a seed alone, or one that yields or awaits.
    """

    function: Callable[[int], Any]
    name: str = ""

    def __post_init__(self) -> None:
        """Check its parameters, and give it a name."""
        if not is_training(self.function):
            raise LastbitError(
                f"a training is a function of a seed alone, def train(seed): ..., got {_described(self.function)}"
            )
        if inspect.iscoroutinefunction(self.function) or inspect.isgeneratorfunction(self.function):
            raise LastbitError(
                f"{getattr(self.function, '__name__', 'function')} yields or awaits, and a call of it trains nothing: "
                "write a function that trains and returns its result"
            )
        name = self.name or getattr(self.function, "__name__", "") or "function"
        object.__setattr__(self, "name", "function" if name == "<lambda>" else name)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is known of it to print and store."""
        return {"name": self.name}

    @property
    def total_steps(self) -> int:
        """One: what it counts is not known before it has run."""
        return 1

    def check(self) -> None:
        """There is nothing to try but the training itself."""

    def measured(self, returned: Any) -> Measured:
        """Return what was measured, given what the function returned.

        Raises:
            LastbitError: it is something else than numbers.
        """
        found = dict(returned) if isinstance(returned, Mapping) else {RESULT: returned}
        predictions = found.pop(_PREDICTIONS, None)
        if not found:
            raise LastbitError(f"{self.name} must return a number or a mapping of names to numbers, got no number")
        metrics = {str(name): self._number(str(name), value) for name, value in found.items()}
        return Measured(metrics, None if predictions is None else self._classes(predictions))

    def _number(self, name: str, value: Any) -> float:
        if (isinstance(value, Tensor) and value.numel() == 1) or (isinstance(value, np.ndarray) and value.size == 1):
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            what = "" if name == RESULT else f" as {name!r}"
            raise LastbitError(
                f"{self.name} must return a number or a mapping of names to numbers, got {_described(value)}{what}"
            )
        return float(value)

    def _classes(self, predictions: Any) -> np.ndarray[Any, Any]:
        array = predictions.detach().cpu().numpy() if isinstance(predictions, Tensor) else np.asarray(predictions)
        if array.ndim != 1 or array.dtype.kind not in "iub":
            raise LastbitError(
                f"the predictions of {self.name} must be whole numbers (N,), got {array.dtype} {array.shape}"
            )
        return array.astype(np.int64)


def _described(value: Any) -> str:
    if value is None:
        return "None"
    if inspect.isroutine(value):
        return f"{getattr(value, '__name__', 'a function')}{inspect.signature(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return f"a {type(value).__name__}"
