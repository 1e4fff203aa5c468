"""What a task is judged by: a number per test example, so that runs can be compared by it, or one of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core.batches import arrived, joined, mapped, size_of
from lastbit.core.errors import LastbitError
from lastbit.core.seeds import numpy_stream

__all__ = ["ACCURACY", "BINARY_ACCURACY", "MSE", "PREDICTIONS", "Metric", "Tally"]

GROUPS = 50
"""Parts of a test set that a jackknife leaves out in turn: its standard error is then itself known to 10%."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure of merit: a mean over examples, or any function of all outputs and targets.

    Attributes:
        name: what it is called in tables (`"accuracy"`).
        per_example: maps outputs `(N, ...)` and targets `(N, ...)` to a bool or float tensor `(N,)`; its mean over the
            test set is the metric.
        over_all: maps the outputs and targets of the whole test set to one number, as an F1 score or a perplexity; in
            place of `per_example`.
        unit: printed after the number; `"%"` means that the value is multiplied by 100.
        higher_is_better: whether a larger value is better.

    Raises:
        LastbitError: neither or both of `per_example` and `over_all` are given, or a field is of the wrong kind.

    Example:
        >>> import torch
        >>> float(ACCURACY.scale * ACCURACY.per_example(torch.eye(4), torch.tensor([0, 1, 2, 0])).double().mean())
        75.0
        >>> rmse = Metric(
        ...     name="rmse", over_all=lambda y, t: (y - t).square().mean().sqrt(), higher_is_better=False
        ... )
    """

    name: str
    per_example: Callable[[Any, Any], Tensor] | None = None
    over_all: Callable[[Any, Any], Tensor | float] | None = None
    unit: str = ""
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        """Check that it is one of the two, and every field of its kind."""
        if not isinstance(self.name, str) or not self.name.strip():
            raise LastbitError(f"a metric's name must be a word, got {self.name!r}")
        if not isinstance(self.unit, str):
            raise LastbitError(f"the unit of metric {self.name!r} must be text, as '%', got {self.unit!r}")
        if not isinstance(self.higher_is_better, bool):
            raise LastbitError(
                f"higher_is_better of metric {self.name!r} must be True or False, got {self.higher_is_better!r}"
            )
        given = [name for name in ("per_example", "over_all") if getattr(self, name) is not None]
        if len(given) != 1 or not callable(getattr(self, given[0])):
            raise LastbitError(
                f"metric {self.name!r} needs one function: per_example=, a number for each example, or over_all=, one "
                f"number of all outputs and targets; got {' and '.join(given) or 'none'}"
            )

    @property
    def scale(self) -> float:
        """What a value is multiplied by: 100 for a percentage, else 1."""
        return 100.0 if self.unit == "%" else 1.0

    def better(self, value: float, than: float) -> bool:
        """Tell whether a value is better than another: any number is better than NaN, which is better than nothing."""
        if math.isnan(value) or math.isnan(than):
            return not math.isnan(value)
        return value > than if self.higher_is_better else value < than


class Tally:
    """A metric over a test set that is seen batch by batch.

    A function of all examples has no score for each of them. In their place stand the pseudo-values of a delete-a-group
    jackknife over G groups of examples, the same groups in every run: `J_g = G M - (G - 1) M_(g)`, where `M_(g)` is the
    metric without group g. Their standard error `SD(J) / sqrt(G)` is that of the metric from the sampling of the test
    set, to first order (Shao and Tu, The Jackknife and Bootstrap, 1995, sections 1.2 and 5.2); it needs a metric that
    is smooth in the examples, as a median is not.

    Args:
        metric: what is measured.

    Example:
        >>> tally = Tally(ACCURACY)
        >>> tally.add(torch.eye(4), torch.tensor([0, 1, 2, 0]))
        >>> tally.value, tally.scores.tolist()
        (75.0, [True, True, True, False])
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._scores: list[Tensor] = []
        self._seen: list[tuple[Any, Any]] = []

    def add(self, outputs: Any, targets: Any) -> None:
        """Take a batch of outputs and its targets.

        What outputs hold of the batch as a whole and not of its examples, such as its loss, a metric over all finds as
        None: it could be neither joined nor divided.
        """
        if self.metric.per_example is not None:
            self._scores.append(self.metric.per_example(outputs, targets))
        else:
            size = size_of((targets, outputs))
            outputs = mapped(outputs, lambda x: x if x.ndim and len(x) == size else None)
            self._seen.append((outputs, targets))

    @property
    def value(self) -> float:
        """The metric in its unit."""
        if self._scores:
            return self.metric.scale * float(torch.cat(self._scores).double().mean())
        return self.metric.scale * self._of(*joined(self._seen))

    @property
    def scores(self) -> np.ndarray[Any, Any]:
        """The score of each example (bool, or float32), or the pseudo-values of groups of examples (float64)."""
        if self._scores:
            score_N = torch.cat(self._scores).cpu()
            return score_N.numpy() if score_N.dtype == torch.bool else score_N.float().numpy()
        outputs, targets = joined(self._seen)
        examples = size_of((targets, outputs))
        groups = min(GROUPS, examples)
        if groups < 2:
            return np.array([self._of(outputs, targets)])
        group_N = torch.from_numpy(numpy_stream(0, "jackknife").permutation(examples) % groups)
        whole, pseudo_G = self._of(outputs, targets), np.empty(groups)
        for group in range(groups):
            kept = torch.nonzero(group_N != group).reshape(-1)
            left = [mapped(part, lambda x, kept=kept: x[kept.to(x.device)]) for part in (outputs, targets)]  # type: ignore[misc]
            try:
                pseudo_G[group] = groups * whole - (groups - 1) * self._of(*left)
            except Exception:  # without the group a class may be missing, which is no reason to lose the run
                pseudo_G[group] = math.nan
        return pseudo_G

    @property
    def sampling_error(self) -> float:
        """Standard error of the value from the sampling of the test set; NaN of one example."""
        scores = self.scores.astype(np.float64)
        with np.errstate(invalid="ignore"):
            return (
                self.metric.scale * float(scores.std(ddof=1)) / math.sqrt(len(scores)) if len(scores) > 1 else math.nan
            )

    def _of(self, outputs: Any, targets: Any) -> float:
        assert self.metric.over_all is not None
        found = self.metric.over_all(outputs, targets)
        try:
            return float(found)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"it must give one number of all outputs and targets, got {arrived(found)}") from None


def _check_labels(what: str, outputs: Any, targets: Any, classes: bool) -> None:
    """Refuse outputs and targets of which accuracy would silently mean something else."""
    fits = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
    if fits and classes:
        # With a single output the largest is always the first: every example would silently be of class 0.
        fits = outputs.ndim == 2 and outputs.shape[1] > 1 and targets.shape == outputs.shape[:1]
        fits = fits and not targets.is_floating_point()
    elif fits:
        fits = outputs.numel() == len(outputs) == targets.numel() == len(targets)
    if not fits:
        raise LastbitError(f"{what}, got {arrived(outputs)} and {arrived(targets)}: give the task a metric of its own")


def _correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """Say whether the largest entry of each row of `(N, classes)` is at the target `(N,)`."""
    one = isinstance(outputs, Tensor) and outputs.numel() == len(outputs)
    needs = "accuracy needs outputs (N, classes) of two classes or more and integer labels (N,)"
    _check_labels(needs + " (BINARY_ACCURACY takes one logit)" * one, outputs, targets, classes=True)
    return outputs.argmax(1) == targets


def _positive(outputs: Tensor) -> Tensor:
    """Return the class of each example of one logit, (N,)."""
    return (outputs.reshape(len(outputs)) > 0).long()


def _correct_sign(outputs: Tensor, targets: Tensor) -> Tensor:
    """Say whether each logit of `(N,)` or `(N, 1)` is positive where its label 0 or 1 is 1."""
    _check_labels("binary accuracy needs one logit and one label for each example", outputs, targets, classes=False)
    label_N = targets.reshape(len(targets))
    if not bool(((label_N == 0) | (label_N == 1)).all()):
        raise LastbitError(
            f"binary accuracy needs the labels 0 and 1, got {float(label_N.min()):g} to {float(label_N.max()):g}"
        )
    return _positive(outputs) == label_N


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of each example, averaged over what follows the first axis."""
    if outputs.shape != targets.shape:
        # (N, 1) against (N,) would silently broadcast to an (N, N) table.
        raise LastbitError(
            f"squared error needs outputs and targets of one shape, got {tuple(outputs.shape)} and "
            f"{tuple(targets.shape)}"
        )
    return (outputs - targets).square().flatten(1).mean(1) if outputs.ndim > 1 else (outputs - targets).square()


def _argmax(outputs: Tensor) -> Tensor:
    return outputs.argmax(1)


ACCURACY = Metric(name="accuracy", per_example=_correct, unit="%")
"""Share of test examples whose largest output is at the label."""

BINARY_ACCURACY = Metric(name="accuracy", per_example=_correct_sign, unit="%")
"""Share of test examples whose only output, a logit, is positive where the label is 1."""

MSE = Metric(name="mse", per_example=_squared_error, higher_is_better=False)
"""Mean squared error, for regression."""

PREDICTIONS: list[tuple[Metric, Callable[[Tensor], Tensor]]] = [(ACCURACY, _argmax), (BINARY_ACCURACY, _positive)]
"""The predicted class where the metric says what it is."""
