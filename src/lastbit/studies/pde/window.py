"""The window of learning rates in which the flow is restrained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lastbit.core.config import validated
from lastbit.core.keywords import keywords, takes
from lastbit.pde.cnn.status import FlowStatus
from lastbit.pde.cnn.window import Window, find_window
from lastbit.report.blocks import Column, Row, Table
from lastbit.report.formatting import change, number
from lastbit.studies.pde.cnn_problem import CnnResult, flow_arguments
from lastbit.studies.pde.result import STATUS_COLOURS, Progress
from lastbit.studies.pde.settings import WindowSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WindowStudy", "pde_window"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowStudy(CnnResult):
    """Both ends of the window, simulated, with theory beside them."""

    kind: ClassVar[str] = "pde window"
    figure_size: ClassVar[tuple[float, float]] = (8.4, 2.2)
    settings: WindowSettings
    window: Window

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        one = self.window
        low, high = one.converges_below, one.blows_up_above
        rest = "settles nowhere in the range tried" if low is None else f"converges below lr = {number(low)}"
        end = "was not seen to blow up" if high is None else f"blows up above {number(high)}"
        middle = {"window": " is restrained above,", "no_window": " with no restrained steps between,", "open": ""}
        theory = f"{number(one.theory_low, missing='unknown')} and {number(one.theory_high)}"
        return (
            f"At weight decay {number(one.weight_decay, 6)} the flow {rest},{middle[self.verdict_kind]} and {end} "
            f"(theory: {theory})."
        )

    @property
    def verdict_kind(self) -> str:
        """`window`, `no_window` where both ends meet, or `open` where an end was not found."""
        low, high = self.window.converges_below, self.window.blows_up_above
        if low is None or high is None:
            return "open"
        return "no_window" if high - low <= 2 * self.window.rtol * high else "window"

    @property
    def table(self) -> Table:
        """Both ends, simulated and by theory."""
        one = self.window
        ends = (
            ("converges below", one.converges_below, one.theory_low, "limit/sharpness"),
            ("blows up above", one.blows_up_above, one.theory_high, "limit/alpha"),
        )
        rows = [
            Row([name, number(found, 5), number(said, 5), change(found, said), formula])
            for name, found, said, formula in ends
        ]
        numbers = [Column(title, True) for title in ("simulated", "theory", "difference")]
        return Table([Column("learning rate"), *numbers, Column("formula")], rows)

    def measured(self) -> dict[str, Any]:
        """Return both ends, and every learning rate tried; None is an end that was not found in the range tried."""
        one = self.window
        names = ("converges_below", "blows_up_above", "theory_low", "theory_high", "rtol")
        return {
            "window": {name: getattr(one, name) for name in names},
            "sharpness": one.sharpness,
            "tried": [{"lr": lr, "status": status} for lr, status in one.tried],
        }

    def draw_on(self, figure: Figure) -> None:
        """Draw every learning rate tried by how it ended, with the ends of theory."""
        axes = figure.subplots()
        for row, status in enumerate(FlowStatus):
            rates = [lr for lr, found in self.window.tried if found is status]
            axes.plot(rates, [row] * len(rates), "|", ms=14, mew=1.6, color=STATUS_COLOURS[str(status)])
        ends = ((self.window.theory_low, "limit / sharpness at rest"), (self.window.theory_high, "limit / alpha"))
        for value, name in ends:
            if value is not None:
                axes.axvline(value, color="black", lw=0.9, ls="--")
                axes.annotate(
                    name,
                    (value, 1.0),
                    xycoords=("data", "axes fraction"),
                    xytext=(-3, 2),
                    textcoords="offset points",
                    ha="right",
                    va="bottom",
                    fontsize=8,
                )
        axes.set_xscale("log")
        axes.set_yticks(range(3), [str(status) for status in FlowStatus])
        axes.set_ylim(-0.6, 2.6)
        axes.set_xlabel(f"learning rate, at weight decay {number(self.window.weight_decay, 6)}")
        figure.suptitle(self.words, fontsize=8)


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
