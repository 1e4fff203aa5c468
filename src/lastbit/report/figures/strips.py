"""One column of markers per seed: the results of all runs, and how far apart their weights are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import NEUTRAL, arrange, axis, blank, literal, log_or_linear, plain, spaced_ticks

__all__ = ["Result", "WeightDistance", "result_strip", "weight_distances"]


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

    @property
    def look(self) -> tuple[str, int, float]:
        """Symbol, size and width of the outline of its marker."""
        if self.control:
            return "circle-open", 15, 1.5
        return ("circle", 8, 0) if self.perturbation else ("diamond", 9, 0)


@dataclass(frozen=True, kw_only=True)
class WeightDistance:
    """The relative distance of one run's final weights from another's, between 0 and 2."""

    seed: int
    label: str
    value: float
    between_seeds: bool


def result_strip(results: Sequence[Result], metric: str, unit: str, colours: Mapping[int, str]) -> go.Figure:
    """Return the strip plot of the final metric: seeds along x, perturbations side by side within a seed.

    The unperturbed run is a diamond, its exact repeat an open ring (around it, where the repeat repeats), a short line
    the mean of the seed's runs. Runs whose value is not finite are left out: list them beside the figure.
    """
    seeds = sorted({r.seed for r in results})
    most = max((r.perturbation for r in results), default=0)
    figure = blank()
    for position, seed in enumerate(seeds):
        rows = [r for r in results if r.seed == seed and np.isfinite(r.value)]
        if not rows:
            continue
        if used := [r.value for r in rows if not r.control]:
            figure.add_scatter(
                x=[position - 0.38, position + 0.38],
                y=[float(np.mean(used))] * 2,
                mode="lines",
                hoverinfo="skip",
                line={"color": NEUTRAL, "width": 1.5},
                legendgroup=f"seed {seed}",
            )
        symbols, sizes, outlines = zip(*(r.look for r in rows), strict=True)
        figure.add_scatter(
            x=[position + (0.56 * r.perturbation / most - 0.28 if most else 0.0) for r in rows],
            y=[r.value for r in rows],
            mode="markers",
            legendgroup=f"seed {seed}",
            marker={"symbol": symbols, "size": sizes, "color": colours[seed], "opacity": 1},
            marker_line_width=outlines,
            customdata=[[plain(r.run), plain(r.label), plain(r.status)] for r in rows],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}, %{customdata[2]}<br>"
            f"{literal(metric)} %{{y:.5~g}}{literal(unit)}<extra></extra>",
        )
    arrange(figure, xaxis=_seed_axis(seeds), yaxis=axis(f"{metric} ({unit})" if unit else metric))
    return figure


def weight_distances(
    distances: Sequence[WeightDistance], colours: Mapping[int, str], measure: str = "mean relative L1"
) -> go.Figure:
    """Return the distances by seed: filled markers from the seed's base, grey rings to another seed.

    The measure lies between 0 (equal) and 2 (opposite signs everywhere); the axis is logarithmic where the
    distances span more than 1.5 decades, and a distance of 0 is not drawn.
    """
    seeds = sorted({d.seed for d in distances})
    figure = blank()
    for position, seed in enumerate(seeds):
        mine = {"symbol": "circle", "size": 8, "color": colours[seed]}
        ring = {"symbol": "circle-open", "size": 11, "color": NEUTRAL}
        for between, group, marker in ((False, f"seed {seed}", mine), (True, "between seeds", ring)):
            rows = [d for d in distances if d.seed == seed and d.between_seeds == between and d.value > 0]
            if not rows:
                continue
            spread = [0.0] if len(rows) == 1 else [0.5 * i / (len(rows) - 1) - 0.25 for i in range(len(rows))]
            figure.add_scatter(
                x=[position + offset for offset in spread],
                y=[d.value for d in rows],
                mode="markers",
                opacity=1,
                legendgroup=group,
                marker=marker,
                customdata=[plain(d.label) for d in rows],
                hovertemplate=f"<b>%{{customdata}}</b><br>{measure} %{{y:.2~e}}<extra></extra>",
            )
    scale = log_or_linear(np.array([d.value for d in distances]))
    arrange(figure, xaxis=_seed_axis(seeds), yaxis=axis(measure, **scale))
    return figure


def _seed_axis(seeds: Sequence[int]) -> dict[str, Any]:
    return axis("seed", range=[-0.6, len(seeds) - 0.4], **spaced_ticks(seeds, 30))
