"""What one run says of a metric: its values in order, and the one that counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics.printed import PrintedNumber, significant_digits

__all__ = ["MetricSeries", "chosen", "last_values", "series_of"]


@dataclass(frozen=True)
class MetricSeries:
    """The values of a metric in one run, in the order of the run; at least one.

    Attributes:
        values: the numbers; nan and infinities are values.
        where: where they were found, for a person ("stdout, 30 lines like 'epoch 1 acc 0.91'").
        unit: what was printed after every one of them: "%", letters, "/10000" (of 10000); "" for none.
        steps: the step of each value; None where the source has none.
        printed: each value as it was printed; empty where the source is binary, and then nothing is hidden.
    """

    values: tuple[float, ...]
    where: str
    unit: str = ""
    steps: tuple[int, ...] | None = None
    printed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        lengths = {len(part) for part in (self.values, self.steps, self.printed) if part}
        if lengths != {len(self.values)}:
            raise ValueError(f"a series has one step and one printed text for each value, got lengths {lengths}")

    @property
    def digits(self) -> tuple[int, ...]:
        """How many significant digits of each value were printed; empty where the source is binary."""
        return tuple(map(significant_digits, self.printed))


def series_of(
    numbers: Sequence[PrintedNumber], where: str, steps: Sequence[int] | None = None, unit: str | None = None
) -> MetricSeries:
    """Return the series of numbers that were printed; its unit is theirs where they have one in common."""
    units = {number.unit for number in numbers}
    return MetricSeries(
        values=tuple(number.value for number in numbers),
        where=where,
        unit=unit if unit is not None else units.pop() if len(units) == 1 else "",
        steps=tuple(steps) if steps is not None else None,
        printed=tuple(number.text for number in numbers),
    )


def last_values(of: str) -> int | None:
    """Return how many of the last values `of` takes: 1 for "last", N for "mean:N", None for "best".

    Raises:
        LastbitError: `of` is none of these.
    """
    word, _, count = of.partition(":")
    if of in ("last", "best"):
        return 1 if of == "last" else None
    if word == "mean" and count.isascii() and count.isdigit() and int(count[:9]) > 0 and len(count) < 10:
        return int(count)
    raise LastbitError(f"--metric-of {of!r}: write last, best, or mean:N with N from 1, as in mean:5")


def chosen(series: MetricSeries, of: str = "last", higher_is_better: bool | None = None) -> float:
    """Return the value of a series that counts as the run's result.

    Args:
        series: the values.
        of: "last"; "best", the highest or lowest (nan counts only where there is nothing else); "mean:N", the
            arithmetic mean of the last N, nan if one of them is.
        higher_is_better: which way "best" is.

    Raises:
        LastbitError: `of` is none of these, "best" without a way, or fewer than N values.

    Example:
        >>> series = MetricSeries(values=(0.2, 0.9, float("nan"), 0.5), where="a list")
        >>> chosen(series), chosen(series, "best", True)
        (0.5, 0.9)
    """
    count = last_values(of)
    if count is None:
        if higher_is_better is None:
            raise LastbitError("--metric-of best needs --better higher or --better lower")
        numbers = [value for value in series.values if not math.isnan(value)] or list(series.values)
        return max(numbers) if higher_is_better else min(numbers)
    if len(series.values) < count:
        raise LastbitError(
            f"--metric-of {of}: there are only {len(series.values)} values ({series.where}): "
            f"write mean:{len(series.values)}, or last"
        )
    taken = series.values[-count:]
    if not all(map(math.isfinite, taken)):
        return sum(taken) / count
    try:
        return math.fsum(taken) / count
    except OverflowError:
        return math.fsum(value / count for value in taken)
