"""How far apart the final weights are: twins from their base, seeds from one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lastbit.report.figures.style import NEUTRAL, axis, base_layout, log_or_linear, plain

__all__ = ["WeightDistance", "weight_distances"]


@dataclass(frozen=True, kw_only=True)
class WeightDistance:
    """The mean relative L1 distance of one run's final weights from another's."""

    seed: int
    label: str
    value: float
    between_seeds: bool


def weight_distances(distances: Sequence[WeightDistance], colours: Mapping[int, str]) -> go.Figure:
    """Return the distances by seed: filled markers from the seed's base, grey rings to another seed.

    The measure lies between 0 (equal) and 2 (opposite signs everywhere); the axis is logarithmic where the
    distances span more than 1.5 decades, and a distance of 0 is not drawn.
    """
    seeds = sorted({d.seed for d in distances})
    figure = go.Figure(layout=base_layout())
    for position, seed in enumerate(seeds):
        for between in (False, True):
            rows = [d for d in distances if d.seed == seed and d.between_seeds == between and d.value > 0]
            if not rows:
                continue
            spread = [0.0] if len(rows) == 1 else [0.5 * i / (len(rows) - 1) - 0.25 for i in range(len(rows))]
            figure.add_scatter(
                x=[position + offset for offset in spread],
                y=[d.value for d in rows],
                mode="markers",
                opacity=1,
                legendgroup="between seeds" if between else f"seed {seed}",
                marker={
                    "symbol": "circle-open" if between else "circle",
                    "size": 11 if between else 8,
                    "color": NEUTRAL if between else colours[seed],
                },
                customdata=[plain(d.label) for d in rows],
                hovertemplate="<b>%{customdata}</b><br>mean relative L1 %{y:.2~e}<extra></extra>",
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
        yaxis=axis("mean relative L1", **log_or_linear(np.array([d.value for d in distances]))),
    )
    return figure
