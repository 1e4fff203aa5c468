"""The window of learning rates in which the flow is restrained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lastbit.core.config import validated
from lastbit.core.keywords import keywords, takes
from lastbit.pde.cnn.status import FlowStatus
from lastbit.pde.cnn.window import Window, find_window
from lastbit.report.blocks import Column, Row, Table
from lastbit.report.formatting import MISSING, change, number, within
from lastbit.studies.pde.cnn_problem import CnnResult, flow_arguments, too_few_steps
from lastbit.studies.pde.measured import TriedRate, WindowEnds, WindowFound
from lastbit.studies.pde.result import STATUS_COLOURS, Progress
from lastbit.studies.pde.settings import WindowSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WindowStudy", "pde_window"]

_BETWEEN = {"window": "is restrained above", "no_window": "with no restrained steps between"}


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowStudy(CnnResult):
    """Both ends of the window, simulated, with theory beside them."""

    kind: ClassVar[str] = "pde window"
    figure_size: ClassVar[tuple[float, float]] = (9.6, 2.6)
    forms: ClassVar[tuple[type, ...]] = (WindowSettings, WindowFound)
    settings: WindowSettings
    window: Window

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        one = self.window
        said = []
        if one.low_range is not None:
            if_at_all = ", if at all," if one.converges_below is None else ""
            said.append(f"converges{if_at_all} below lr {_shown(one.low_range)}")
        if self.verdict_kind in _BETWEEN:
            said.append(_BETWEEN[self.verdict_kind])
        if one.high_range is not None:
            if_at_all = ", if at all," if one.blows_up_above is None else ""
            rate = _shown(one.high_range)
            said.append(f"blows up{if_at_all} above {rate.removeprefix('= ') if rate[0] == '=' else f'lr {rate}'}")
        theory = f"(theory: {number(one.theory_low, missing='unknown')} and {number(one.theory_high)})"
        at = f"At weight decay {number(one.weight_decay, 6)}"
        if self.verdict_kind != "undecided":
            return f"{at} the flow {', '.join(said[:-1])}, and {said[-1]} {theory}."
        known = f" the flow {', and '.join(said)}, but" if said else ""
        return f"{at}{known} there are {too_few_steps(self.settings)} {self._unknown} {theory}."

    @property
    def _unknown(self) -> str:
        """What the steps were too few to tell."""
        low, high = self.window.low_range, self.window.high_range
        if low is not None and high is not None:
            return "what the flow does between"
        wanted = ("where it converges", low), ("where it blows up", high)
        return " and ".join(words for words, found in wanted if found is None)

    @property
    def verdict_kind(self) -> str:
        """`window`, `no_window` where both ends meet, `open` where one lies outside the range tried, or `undecided`."""
        one = self.window
        low, high = one.converges_below, one.blows_up_above
        if one.low_range is None or one.high_range is None:
            return "undecided"
        if low is None or high is None:
            return "open"
        if high - low <= 2 * one.rtol * high:
            return "no_window"
        return "window" if any(status is FlowStatus.RESTRAINED for _, status in one.tried) else "undecided"

    @property
    def table(self) -> Table:
        """Both ends, simulated and by theory."""
        one = self.window
        ends = (
            ("converges below", one.low_range, one.converges_below, one.theory_low, "limit/sharpness"),
            ("blows up above", one.high_range, one.blows_up_above, one.theory_high, "limit/alpha"),
        )
        rows = [
            Row([name, _value(between), number(said, 5), change(found, said), formula])
            for name, between, found, said, formula in ends
        ]
        numbers = [Column(title, True) for title in ("simulated", "theory", "difference")]
        return Table([Column("learning rate"), *numbers, Column("formula")], rows)

    def measured(self) -> Sequence[Any]:
        """Return both ends, between which rates each lies, and every rate tried; None is an end that was not found."""
        one = self.window
        ends = WindowEnds(
            converges_below=one.converges_below,
            blows_up_above=one.blows_up_above,
            theory_low=one.theory_low,
            theory_high=one.theory_high,
            rtol=one.rtol,
            converges_below_range=one.low_range,
            blows_up_above_range=one.high_range,
        )
        tried = [TriedRate(lr=lr, status=status) for lr, status in one.tried]
        return (WindowFound(window=ends, sharpness=one.sharpness, tried=tried),)

    def draw_on(self, figure: Figure) -> None:
        """Draw every learning rate tried by how it ended, with the ends of theory."""
        axes = figure.subplots()
        for row, status in enumerate(FlowStatus):
            rates = [lr for lr, found in self.window.tried if found is status]
            axes.plot(
                rates, [row] * len(rates), "|", ms=14, mew=1.6, color=STATUS_COLOURS[str(status)], label=str(status)
            )
        ends = (
            (self.window.theory_low, "limit / sharpness at rest", "--"),
            (self.window.theory_high, "limit / alpha", "-"),
        )
        for value, name, style in ends:
            if value is not None:
                axes.axvline(value, color="black", lw=0.9, ls=style, label=f"theory: {name}")
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
        axes.set_xscale("log")
        axes.set_yticks(range(len(FlowStatus)), [str(status) for status in FlowStatus])
        axes.set_ylim(-0.6, len(FlowStatus) - 0.4)
        axes.set_xlabel(f"learning rate, at weight decay {number(self.window.weight_decay, 6)}")
        figure.suptitle(self.words, fontsize=8)


def _value(between: tuple[float, float] | None, digits: int = 5) -> str:
    return MISSING if between is None else within(*between, digits)


def _shown(between: tuple[float, float]) -> str:
    shown = _value(between, 4)
    return shown if shown[0] in "≤≥" else f"= {shown}"


@takes(keywords(WindowSettings))
def pde_window(*, progress: Progress | None = None, **settings: Any) -> WindowStudy:
    """Find by simulation the learning rates at which the flow stops to converge, and at which it blows up.

    Args:
        **settings: fields of `WindowSettings`.
        progress: called with (rounds done, rounds).

    Raises:
        LastbitError: a setting that cannot be, in one line.

    Example:
        >>> found = pde_window(weight_decay=5.0, image_size=32, kernel=8).window
        >>> round(found.blows_up_above, 2), found.theory_high
        (0.4, 0.4)
    """
    given = validated(WindowSettings, settings, flag="--")
    window = find_window(progress=progress, **flow_arguments(given, "weight_decay", "steps", "rtol"))
    return WindowStudy(settings=given, window=window)
