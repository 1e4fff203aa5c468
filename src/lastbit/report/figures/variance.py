"""What the variance is made of, as stacked bars from 0 to 100%."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

import plotly.graph_objects as go

from lastbit.report.figures.style import arrange, axis, blank, plain
from lastbit.report.formatting import percent

__all__ = ["VarianceSplit", "variance_bars", "variance_height"]

_WHISKER = "#101418"

_LETTERS = 40
"""The most letters of a line above a bar: what a phone has room for."""


@dataclass(frozen=True, kw_only=True)
class VarianceSplit:
    """A variance in two parts; `share` is the first part's, `low` and `high` its interval where it has one.

    An end that is not known is 0 or 1, beyond which no share lies.
    """

    title: str
    parts: Mapping[str, str]
    """What the two parts are called, with their colours."""
    share: float
    low: float | None = None
    high: float | None = None


def variance_height(splits: Sequence[VarianceSplit]) -> int:
    """Return how high their figure is, in pixels: each bar has up to four lines above it."""
    return 60 + 116 * len(splits)


def variance_bars(splits: Sequence[VarianceSplit]) -> go.Figure:
    """Return one bar per split, from above to below, with the interval of the first part as a whisker."""
    figure = blank(barmode="stack", margin={"l": 12, "r": 28, "t": 8, "b": 8})
    for index, split in enumerate(splits):
        height = len(splits) - 1 - index
        shares = (split.share, 1 - split.share)
        shown = [f"{label} {percent(share)}" for label, share in zip(split.parts, shares, strict=True)]
        for colour, share, words in zip(split.parts.values(), shares, shown, strict=True):
            figure.add_bar(
                y=[height],
                x=[100 * share],
                width=0.26,
                orientation="h",
                marker={"color": colour, "line": {"width": 0}},
                customdata=[plain(words)],
                hovertemplate="%{customdata}<extra></extra>",
            )
        if split.low is not None or split.high is not None:
            low, high = 0.0 if split.low is None else split.low, 1.0 if split.high is None else split.high
            ends = f"{percent(low)} to {percent(high)}"
            interval = {"array": [100 * (high - split.share)], "arrayminus": [100 * (split.share - low)]}
            figure.add_scatter(
                x=[100 * split.share],
                y=[height],
                mode="markers",
                marker={"symbol": "line-ns", "size": 10, "line": {"width": 2, "color": _WHISKER}},
                error_x={"type": "data", "symmetric": False, "color": _WHISKER, "thickness": 2, "width": 5} | interval,
                customdata=[f"{plain(next(iter(split.parts)))}, 95% interval {ends}"],
                hovertemplate="%{customdata}<extra></extra>",
            )
        heading = [f"<b>{plain(line)}</b>" for line in wrap(split.title, _LETTERS)]
        figure.add_annotation(
            x=0,
            y=height + 0.16,
            text="<br>".join([*heading, *map(plain, wrap(", ".join(shown), _LETTERS))]),
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            align="left",
        )
    arrange(
        figure,
        xaxis=axis("share of the variance", range=[0, 100], ticksuffix="%", dtick=25),
        yaxis=axis(showticklabels=False, showgrid=False, range=[-0.3, len(splits) - 0.12], fixedrange=True),
    )
    return figure
