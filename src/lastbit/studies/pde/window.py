"""The window of learning rates in which the flow is restrained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastbit.pde.cnn import FlowStatus, Window, find_window
from lastbit.studies.pde.figures import STATUS_COLOURS, new_figure, save
from lastbit.studies.pde.setting import CnnSetting, Progress, cnn_setting

__all__ = ["WindowStudy", "pde_window"]


@dataclass(frozen=True, eq=False)
class WindowStudy:
    """Both ends of the window, simulated, with theory beside them."""

    setting: CnnSetting
    window: Window

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        one = self.window
        where = f"At weight decay {one.weight_decay:g} the flow"
        low = "settles nowhere in the range tried" if one.converges_below is None else _below(one.converges_below)
        high = "was not seen to blow up" if one.blows_up_above is None else f"blows up above {one.blows_up_above:.4g}"
        if one.converges_below is None or one.blows_up_above is None:
            middle = ""
        elif one.blows_up_above - one.converges_below <= 2 * one.rtol * one.blows_up_above:
            middle = " with no restrained steps between,"
        else:
            middle = " is restrained above,"
        theory_low = "unknown" if one.theory_low is None else f"{one.theory_low:.4g}"
        return f"{where} {low},{middle} and {high} (theory: {theory_low} and {one.theory_high:.4g})."

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows."""
        one = self.window
        rows = [
            ["converges below", _number(one.converges_below), _number(one.theory_low), "limit/sharpness"],
            ["blows up above", _number(one.blows_up_above), _number(one.theory_high), "limit/alpha"],
        ]
        for row, pair in zip(
            rows, ((one.converges_below, one.theory_low), (one.blows_up_above, one.theory_high)), strict=True
        ):
            found, said = pair
            row.insert(3, "-" if found is None or said is None else f"{100 * (found / said - 1):+.2f}%")
        return ["learning rate", "simulated", "theory", "difference", "formula"], rows

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        one = self.window
        return {
            "problem": "cnn",
            "sentence": self.sentence,
            **self.setting.model_dump(),
            "weight_decay": one.weight_decay,
            "window": {
                "converges_below": one.converges_below,
                "blows_up_above": one.blows_up_above,
                "theory_low": one.theory_low,
                "theory_high": one.theory_high,
                "rtol": one.rtol,
            },
            "sharpness": one.sharpness,
            "tried": [{"lr": lr, "status": str(status)} for lr, status in one.tried],
        }

    def plot(self, path: str | Path) -> None:
        """Draw every learning rate tried by how it ended, with the ends of theory.

        Raises:
            LastbitError: an ending that is no figure's, or a file that cannot be written.
        """
        figure = new_figure(8.4, 2.2)
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
        axes.set_xlabel(f"learning rate, at weight decay {self.window.weight_decay:g}")
        figure.suptitle(self.setting.words, fontsize=8)
        save(figure, path)


def pde_window(
    *,
    weight_decay: float,
    steps: int = 800,
    rtol: float = 2.5e-3,
    progress: Progress | None = None,
    **settings: Any,
) -> WindowStudy:
    """Find both ends of the window by simulation.

    Args:
        weight_decay: alpha, positive.
        steps: of each simulation.
        rtol: width of the final brackets.
        progress: called with (rounds done, rounds).
        **settings: fields of `CnnSetting`.

    Raises:
        LastbitError: a setting that cannot be, in one line.

    Example:
        >>> found = pde_window(weight_decay=5.0, image_size=32, kernel=8).window
        >>> round(found.blows_up_above, 2), found.theory_high
        (0.4, 0.4)
    """
    setting = cnn_setting(**settings)
    problem = setting.problem()
    window = find_window(
        problem,
        weight_decay=weight_decay,
        kernel=setting.start(problem),
        scheme=setting.time_scheme(),
        steps=steps,
        rtol=rtol,
        progress=progress,
    )
    return WindowStudy(setting, window)


def _below(rate: float) -> str:
    return f"converges below lr = {rate:.4g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
