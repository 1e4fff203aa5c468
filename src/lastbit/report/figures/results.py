"""The grid of results: one column per seed, one marker per perturbation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import NEUTRAL, axis, base_layout, literal, plain

__all__ = ["Result", "result_strip"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The final metric of one run."""

    run: str
    seed: int
    perturbation: int
    label: str
    control: bool
    status: str
    value: float


def result_strip(results: Sequence[Result], metric: str, unit: str, colours: Mapping[int, str]) -> go.Figure:
    """Return the strip plot of the final metric: seeds along x, perturbations side by side within a seed.

    The unperturbed run is a diamond, its exact repeat an open ring (around it, where the repeat repeats), a short line
    the mean of the seed's runs. Runs whose value is not finite are left out: list them beside the figure.
    """
    shown = [r for r in results if np.isfinite(r.value)]
    seeds = sorted({r.seed for r in results})
    most = max((r.perturbation for r in results), default=0)
    figure = go.Figure(layout=base_layout())
    for position, seed in enumerate(seeds):
        rows = [r for r in shown if r.seed == seed]
        if not rows:
            continue
        used = [r.value for r in rows if not r.control]
        if used:
            mean = float(np.mean(used))
            figure.add_scatter(
                x=[position - 0.38, position + 0.38],
                y=[mean, mean],
                mode="lines",
                hoverinfo="skip",
                line={"color": NEUTRAL, "width": 1.5},
                legendgroup=f"seed {seed}",
            )
        figure.add_scatter(
            x=[position + (0.56 * r.perturbation / most - 0.28 if most else 0.0) for r in rows],
            y=[r.value for r in rows],
            mode="markers",
            legendgroup=f"seed {seed}",
            marker={
                "symbol": [
                    "circle-open" if r.control else "diamond" if r.perturbation == 0 else "circle" for r in rows
                ],
                "size": [15 if r.control else 9 if r.perturbation == 0 else 8 for r in rows],
                "color": colours[seed],
                "opacity": 1,
                "line": {"width": [1.5 if r.control else 0 for r in rows]},
            },
            customdata=[[plain(r.run), plain(r.label), plain(r.status)] for r in rows],
            hovertemplate=(
                "<b>%{customdata[0]}</b><br>%{customdata[1]}, %{customdata[2]}<br>"
                f"{literal(metric)} %{{y:.5~g}}{literal(unit)}<extra></extra>"
            ),
        )
    ticks = list(range(len(seeds)))[:: -(-len(seeds) // 30) or 1]
    figure.update_layout(
        xaxis=axis(
            "seed",
            tickvals=ticks,
            ticktext=[str(seeds[i]) for i in ticks],
            range=[-0.6, len(seeds) - 0.4],
            showgrid=False,
        ),
        yaxis=axis(f"{metric} ({unit})" if unit else metric),
    )
    return figure
