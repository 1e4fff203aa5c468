"""A number with its interval and the number of samples behind it: what every estimator in this room returns."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lastbit.core.errors import LastbitError
from lastbit.core.words import part, plural

__all__ = ["FEW_SAMPLES", "Estimate", "few_samples_note", "not_measured"]

FEW_SAMPLES = 10
"""With fewer samples a note calls an SD poorly known: its relative standard error is then above 1/sqrt(18) = 24 %."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval.

    Attributes:
        estimate: the point estimate, or None where it cannot be estimated; `note` then says why.
        low: lower end of the interval, None where it is not measured.
        high: upper end of the interval, None where it is not measured.
        n: the number of samples that limit it: runs for a last-bit spread, seeds for a seed spread.
        note: what a reader must know, several remarks joined by "; "; empty when there is nothing to say.
        df: degrees of freedom, for a standard deviation (fractional by Satterthwaite's formula); None elsewhere.

    Raises:
        LastbitError: a number is NaN or infinite, or the interval does not hold the estimate.

    Example:
        >>> Estimate(0.29, 0.22, 0.41, 36).format(digits=2)
        '0.29 [0.22, 0.41] (n = 36)'
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    note: str = ""
    df: float | None = None

    def __post_init__(self) -> None:
        for name in ("estimate", "low", "high", "df"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise LastbitError(f"an estimate's {name} must be finite, got {number}: use None for not measured")
        if self.estimate is None:
            return
        if (self.low is not None and self.low > self.estimate) or (self.high is not None and self.high < self.estimate):
            raise LastbitError(f"the interval [{self.low}, {self.high}] does not hold its estimate {self.estimate}")

    @property
    def measured(self) -> bool:
        """Whether there is a point estimate."""
        return self.estimate is not None

    def scaled(self, factor: float) -> Estimate:
        """Return the same estimate in another unit: every number multiplied by a positive `factor`.

        What would be beyond the largest float is not measured, and the note says so.
        """
        if not (math.isfinite(factor) and factor > 0):
            raise LastbitError(f"an estimate is scaled by a positive finite factor, got {factor}")
        given = self.estimate, self.low, self.high
        estimate, low, high = (None if number is None else number * factor for number in given)
        if estimate is not None and math.isinf(estimate):
            return not_measured("it is beyond the largest number of float64", self.n)
        note, ends = self.note, [None if end is None or math.isinf(end) else end for end in (low, high)]
        if ends != [low, high]:
            note = "; ".join(part for part in (note, "an end is beyond the largest number of float64") if part)
        return Estimate(estimate, ends[0], ends[1], self.n, note, self.df)

    def truncated(self, least: float, most: float) -> Estimate:
        """Return the same estimate with an interval that ends at what is possible, `least` and `most`.

        Truncating an interval takes nothing from its coverage: what it loses cannot be true. The estimate stays as it
        is, and inside its interval.

        Example:
            >>> Estimate(98.0, 93.0, 103.0, 3).truncated(0.0, 100.0).format(digits=3)
            '98.0 [93.0, 100.0] (n = 3)'
        """
        if self.estimate is None:
            return self
        low = None if self.low is None else min(max(self.low, least), self.estimate)
        high = None if self.high is None else max(min(self.high, most), self.estimate)
        if (low, high) == (self.low, self.high):
            return self
        note = "; ".join(part for part in (self.note, "the interval ends at what is possible") if part)
        return Estimate(self.estimate, low, high, self.n, note, self.df)

    def format(self, digits: int = 2, unit: str = "") -> str:
        """Return `estimate unit [low, high] (n = ...)`, or the note where nothing was measured.

        Args:
            digits: significant digits of the estimate (of the upper end where the estimate is 0); the ends of the
                interval get as many decimals as the estimate, so that small numbers show as plainly as large ones, but
                one digit at least: an end that is not 0 never shows as it.
            unit: written after the estimate, `"%"` without a space.

        Example:
            >>> Estimate(0.0042, 0.0031, 0.0067, 12).format(digits=2, unit="points")
            '0.0042 points [0.0031, 0.0067] (n = 12)'
            >>> Estimate(-0.1, -0.2, -0.004, 3).format()
            '-0.10 [-0.20, -0.004] (n = 3)'
        """
        if digits < 1:
            raise LastbitError(f"digits = {digits}: an estimate is shown to at least 1 significant digit")
        if self.estimate is None:
            return self.note or "not measured"
        size = next((abs(number) for number in (self.estimate, self.high, self.low) if number), 1.0)
        decimals = digits - 1 - math.floor(math.log10(size))
        # Beyond eight decimals, and from numbers of a dozen digits on, fixed notation is a row of zeros.
        fixed = -12 < decimals <= 8
        style = f".{max(decimals, 0)}f" if fixed else f".{digits - 1}e"

        def shown(number: float | None) -> str:
            if number is None:
                return "not measured"
            text = "0" if number == 0 and not fixed else f"{number:{style}}"
            return f"{number:.1g}" if number and not float(text) else text

        space = "" if unit in ("", "%") else " "
        interval = (
            "[interval not measured]"
            if self.low is None and self.high is None
            else f"[{shown(self.low)}, {shown(self.high)}]"
        )
        return f"{shown(self.estimate)}{space}{unit} {interval} (n = {self.n})"

    def __str__(self) -> str:
        return self.format()


def not_measured(why: str, n: int = 0) -> Estimate:
    """Return an estimate without a number, and the reason why there is none.

    Example:
        >>> str(not_measured("spread over seeds needs two seeds, got 1", n=1))
        'not measured: spread over seeds needs two seeds, got 1'
    """
    return Estimate(None, None, None, n, f"not measured: {why}")


def few_samples_note(df: float) -> str:
    """Return the remark that an SD rests on few samples, or "" from `FEW_SAMPLES` samples on.

    The relative standard error of a sample SD on df degrees of freedom is about 1/sqrt(2 df) for normal data, 0.32 for
    six samples. Source: the delta method on the variance 2 sigma^4/df of a normal sample variance.
    """
    if df >= FEW_SAMPLES - 1:
        return ""
    freedom = plural(f"{df:.3g}", "degree")
    tell = "gives" if freedom == "1 degree" else "give"
    return f"few samples: {freedom} of freedom, which {tell} an SD to about ±{part(1 / math.sqrt(2 * df))}"
