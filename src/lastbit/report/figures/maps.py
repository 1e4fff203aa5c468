"""Heat maps and rows: which runs predict alike, which tensors differ when, which layers are past their limit when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import diverging

from lastbit.report.figures.style import (
    LAST_BIT,
    NEUTRAL,
    REAL,
    SEED,
    arrange,
    axis,
    blank,
    in_percent,
    literal,
    plain,
    spaced_ticks,
    upright,
)
from lastbit.report.formatting import RATIO

__all__ = ["MAX_COLUMNS", "churn_heat_map", "difference_map", "layer_map", "origin_figure", "spaced"]

MAX_COLUMNS = 480
"""The most columns over steps: two pixels each on a wide page."""

_BLUE_TO_RED = tuple(reversed(diverging.RdBu))
"""An odd number of colours, white in the middle."""

_NAMED = 60
"""Up to this many runs, the hover names the pair."""


def _bar(title: str, **more: Any) -> dict[str, Any]:
    """Return the settings of a colour bar: above the map, where it takes no width from it on a narrow screen."""
    where = {"orientation": "h", "x": 0, "xanchor": "left", "xpad": 0, "y": 1, "yanchor": "bottom", "ypad": 8}
    size = {"tickangle": 0, "thickness": 10, "lenmode": "fraction", "len": 1, "outlinewidth": 0}
    return {"title": {"text": plain(title), "side": "top"}} | where | size | more


def churn_heat_map(churn_RR: np.ndarray, seeds: Sequence[int], names: Sequence[str]) -> go.Figure:
    """Return the heat map of pairwise churn with lines between seeds; a run beside itself is left blank.

    Args:
        churn_RR: shares of test examples on which two runs predict differently, 0 to 1.
        seeds: the seed of each run, equal seeds side by side.
        names: what each run is called in the hover.
    """
    count = len(seeds)
    starts = [i for i in range(count) if i == 0 or seeds[i] != seeds[i - 1]]
    edges = [*starts, count]
    labels = [plain(name) for name in names]
    # A name for every cell of a large matrix would weigh more than the matrix.
    small = count <= _NAMED
    figure = blank()
    figure.add_heatmap(
        z=np.where(np.eye(count, dtype=bool), np.nan, in_percent(churn_RR)).astype(np.float32),
        colorscale="Cividis",
        zmin=0,
        zmax=100 * float(churn_RR.max(initial=0.0)) or 1.0,
        xgap=0.5 if small else 0,
        ygap=0.5 if small else 0,
        customdata=np.array([[f"{a}<br>{b}" for b in labels] for a in labels], dtype=object) if small else None,
        hovertemplate=("%{customdata}<br>" if small else "") + "churn %{z:.4~g}%<extra></extra>",
        colorbar=_bar("churn", ticksuffix="%"),
    )
    line, low, high = {"color": "#ffffff", "width": 1.5 if len(starts) <= 30 else 0.5}, -0.5, count - 0.5
    for edge in (start - 0.5 for start in starts[1:]):
        figure.add_shape(type="line", line=line, x0=edge, x1=edge, y0=low, y1=high)
        figure.add_shape(type="line", line=line, x0=low, x1=high, y0=edge, y1=edge)
    middles = [(edges[i] + edges[i + 1] - 1) / 2 for i in range(len(starts))]
    ticks = spaced_ticks([seeds[start] for start in starts], 20, middles)
    arrange(
        figure,
        xaxis=axis("seed", constrain="domain", range=[low, high], **ticks),
        yaxis=axis("seed", scaleanchor="x", constrain="domain", range=[high, low], **ticks),
    )
    return figure


def spaced(steps: np.ndarray, most: int) -> np.ndarray:
    """Return the indices of at most about `most` steps, each at least a `most`-th of the span after the one before.

    The first and the last step are always among them.

    Example:
        >>> spaced(np.array([0, 1, 2, 3, 10, 20, 30]), 4).tolist()
        [0, 4, 5, 6]
    """
    if len(steps) <= most:
        return np.arange(len(steps))
    least = (steps[-1] - steps[0]) / most
    kept = [0]
    for index in range(1, len(steps)):
        if steps[index] - steps[kept[-1]] >= least:
            kept.append(index)
    if kept[-1] != len(steps) - 1:
        kept[-1 if len(kept) > 1 else len(kept) :] = [len(steps) - 1]
    return np.array(kept)


def difference_map(
    steps: np.ndarray,
    relative_SR: np.ndarray,
    names: Sequence[str],
    *,
    edges: Sequence[float] = (),
    columns: int = MAX_COLUMNS,
) -> go.Figure:
    """Return the map of `log10` of a relative L2 difference, first row on top; zeros are left blank.

    Args:
        steps: (S,) recorded steps.
        relative_SR: (S, R) relative differences, one column per row of the map.
        names: of the rows, in the order of the network.
        edges: steps at which to draw a line, such as the ends of episodes.
        columns: the most that it has; steps between are left out.
    """
    kept = spaced(steps, columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(relative_SR[kept].T)
    # Two decimals are more than a colour can show, and compress well.
    logs = np.where(np.isfinite(logs), np.round(logs, 2), np.nan).astype(np.float32)
    finite = logs[np.isfinite(logs)]
    low, high = (float(np.floor(finite.min())), float(np.ceil(finite.max()))) if len(finite) else (-8.0, 0.0)
    ticks = np.arange(low, high + 1, max(1, round((high - low) / 4))).tolist()
    dots = {"color": "#ffffff", "width": 1, "dash": "dot"}
    figure = blank(shapes=[upright(edge, edge, type="line", line=dots) for edge in edges])
    powers = {"tickvals": ticks, "ticktext": [f"10<sup>{int(t)}</sup>" for t in ticks]}
    figure.add_heatmap(
        x=steps[kept],
        y=list(range(len(names))),
        z=logs,
        colorscale="Cividis",
        zmin=low,
        zmax=high if high > low else low + 1,
        hoverongaps=False,
        colorbar=_bar("relative L2", **powers),
        hovertemplate="<b>%{y}</b><br>step %{x}<br>relative L2 10<sup>%{z:.2f}</sup><extra></extra>",
    )
    # Category labels would have to be unique and would hide rows; the hover reads the same texts.
    aliases = {str(index): plain(name) for index, name in enumerate(names)}
    arrange(
        figure,
        # Room for the title of the steps before plotly has measured it.
        margin_b=44,
        xaxis=axis("optimizer step", showgrid=False),
        yaxis=axis(autorange="reversed", labelalias=aliases, **spaced_ticks(names, 48)),
    )
    return figure


def layer_map(names: Sequence[str], steps: np.ndarray, ratio_LM: np.ndarray) -> go.Figure:
    """Return the ratio of each layer moved alone over the steps: blue below the limit, red above, white at it.

    Args:
        names: of the layers, the first on top.
        steps: (M,) at which they were measured.
        ratio_LM: sharpness over limit.
    """
    figure = blank()
    at, rows = [str(step) for step in steps], [plain(name) for name in names]
    top = max(2.0, min(float(np.nanmax(ratio_LM)), 10.0)) if np.isfinite(ratio_LM).any() else 2.0
    # Plotly takes no heed of a middle where both ends are given.
    half = len(_BLUE_TO_RED) // 2
    places = [*np.linspace(0, 1 / top, half + 1), *np.linspace(1 / top, 1, half + 1)[1:]]
    figure.add_heatmap(
        x=at,
        y=rows,
        z=ratio_LM.astype(np.float32),
        colorscale=list(zip(places, _BLUE_TO_RED, strict=True)),
        zmin=0,
        zmax=top,
        xgap=0.5,
        ygap=1,
        hovertemplate="<b>%{y}</b><br>step %{x}<br>" + RATIO + " %{z:.3~g}<extra></extra>",
        colorbar=_bar(RATIO),
    )
    ticks = at[:: max(1, len(steps) // 8)]
    arrange(
        figure,
        xaxis=axis("optimizer step", type="category", tickvals=ticks, showgrid=False),
        yaxis=axis("", type="category", autorange="reversed", **spaced_ticks(names, 48, rows)),
    )
    return figure


def origin_figure(
    names: Sequence[str],
    at_first: Sequence[float],
    at_end: Sequence[float],
    growth_shares: Sequence[float | None],
    intervals: Sequence[tuple[float, float]] | None = None,
) -> go.Figure:
    """Return two panels that share the tensors, first on top: the difference at start and end, and growth shares.

    Left, on a logarithmic axis, a line from the relative difference where the twins first parted to that at the end;
    right, the tensor's share of all growth within the episodes (it can be negative).

    Args:
        names: of the tensors, from the input of the network to its output.
        at_first: relative L2 difference of each at the first recorded step at which any tensor differs.
        at_end: the same at the last step.
        growth_shares: None where nothing grew.
        intervals: of the shares; None where there are none.
    """
    grey = {"type": "line", "line": {"color": NEUTRAL, "width": 2}}
    paths = [
        grey | {"x0": start, "x1": end, "y0": place, "y1": place}
        for place, (start, end) in enumerate(zip(at_first, at_end, strict=True))
        if start > 0 and end > 0
    ]
    figure = blank(barmode="overlay", shapes=paths)
    shared = {"y": list(range(len(names))), "customdata": [literal(name) for name in names]}
    for values, colour, label, group in (
        (at_first, SEED, "where the twins first part", "first"),
        (at_end, LAST_BIT, "at the end", "end"),
    ):
        figure.add_scatter(
            x=[value if value > 0 and np.isfinite(value) else None for value in values],
            mode="markers",
            marker={"color": colour, "size": 8},
            legendgroup=group,
            **shared,
            hovertemplate=f"<b>%{{customdata}}</b><br>{label}: relative L2 %{{x:.2~e}}<extra></extra>",
        )
    whiskers = None
    if intervals is not None:
        shares = [share or 0.0 for share in growth_shares]
        up = [100 * (high - share) for share, (_, high) in zip(shares, intervals, strict=True)]
        down = [100 * (share - low) for share, (low, _) in zip(shares, intervals, strict=True)]
        whiskers = {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "color": NEUTRAL, "width": 3}
    figure.add_bar(
        x=[float(in_percent(share)) if share is not None else None for share in growth_shares],
        orientation="h",
        xaxis="x2",
        legendgroup="growth",
        error_x=whiskers,
        marker={"color": REAL, "line": {"width": 0}},
        width=0.6,
        hovertemplate="<b>%{customdata}</b><br>%{x:.4~g}% of all growth<extra></extra>",
        **shared,
    )
    ticks = spaced_ticks(names, 48) | {"showgrid": True}
    seen = [value for value in (*at_first, *at_end) if value > 0 and np.isfinite(value)]
    apart = max(1, int(np.ceil(np.ptp(np.log10(seen)) / 4))) if seen else 1
    # A phone leaves the right panel some eighty pixels.
    arrange(
        figure,
        xaxis=axis("relative L2 difference", type="log", domain=[0, 0.58], dtick=apart, tickangle=0),
        xaxis2=axis(
            "share\nof growth", domain=[0.66, 1], ticksuffix="%", zeroline=True, anchor="y", nticks=3, tickangle=0
        ),
        yaxis=axis(range=[len(names) - 0.4, -0.6], **ticks),
    )
    return figure
