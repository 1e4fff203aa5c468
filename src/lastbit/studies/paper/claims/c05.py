"""C5: the heat equation by forward Euler is stable up to `dt = dx²/(2d)` in d dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lastbit.pde import make_scheme
from lastbit.pde.linear.analysis import analyse
from lastbit.pde.linear.equations import LinearEquation
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.simulation import simulate
from lastbit.pde.linear.threshold import simulated_limit
from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Level, Panel, Series
from lastbit.report.formatting import change, number, plural
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, Piece, held, not_held, undecided
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import Bracket, agreement

__all__ = ["CLAIM", "Heated", "judge"]

_TOLERANCE = 0.01
"""Within which a simulated limit must lie of the foretold one."""

_GRIDS = {1: 64, 2: 16, 3: 8}
"""Points along each axis, even so that the shortest wave of the continuum fits, by the number of dimensions."""

_SPACINGS = {"small": (1.0, 0.5), "medium": (1.0, 0.5, 0.1), "full": (1.0, 0.5, 0.1, 0.02)}

_STEPS, _SEED = 10_000, 7

_NOISE = 3e-6
"""Of the start that the figure shows: beyond the limit it is what grows."""


class _Setting(NamedTuple):
    """One equation to bisect."""

    dim: int
    dx: float


@dataclass(frozen=True, kw_only=True)
class Heated:
    """What was measured.

    Attributes:
        limits: foretold and found, of each dimension and spacing.
        ratios: steps over the foretold limit, one each for `growth`.
        growth: by dimension, the factor by which `max |u|` changes per step at each ratio.
        profiles: in one dimension, the field after some steps at 0.9 and at 1.1 of the limit, by that ratio.
    """

    limits: tuple[Bracket, ...]
    ratios: tuple[float, ...]
    growth: Mapping[str, Sequence[float]]
    profiles: Mapping[str, Sequence[float]]


def judge(measured: Heated) -> Judged:
    """Hold the claim where every bracket lies within 1% of `dx²/(2d)`, in each of 1 to 3 dimensions."""
    answer, decisive = agreement(measured.limits, _TOLERANCE)
    if decisive is None or len({one.what.split(",")[0] for one in measured.limits}) < len(_GRIDS):
        return undecided("not every number of dimensions was measured")
    found = Number(
        name="deviation",
        says=f"simulated over predicted limit, less 1 ({decisive.what})",
        value=decisive.deviation,
        reference=0.0,
        source="von Neumann: dt = dx²/(2d)",
    )
    if answer is None:
        return undecided(f"the bracket of {decisive.what} reaches beyond 1%", found)
    if not answer:
        return not_held(f"the simulated limit of {decisive.what} lies more than 1% off the predicted one", found)
    return held(
        f"all {plural(len(measured.limits), 'simulated limit')} lie within 1% of dx²/(2d); the farthest is "
        f"{decisive.what}",
        found,
    )


def _parts(setting: _Setting) -> tuple[LinearEquation, Grid, np.ndarray[Any, Any], float]:
    """Return equation, grid, a start with every wave in it, and the limit that the analysis foretells."""
    analysis = analyse("heat", dx=setting.dx, dim=setting.dim)
    shape = (_GRIDS[setting.dim],) * setting.dim
    grid = Grid(shape=shape, spacing=(setting.dx,) * setting.dim)
    start = np.random.default_rng(_SEED).standard_normal(shape)
    return analysis.von_neumann.equation, grid, start, analysis.max_stable_dt


def _limit(setting: _Setting) -> Bracket:
    equation, grid, start, limit = _parts(setting)
    low, high = simulated_limit(
        equation, make_scheme("euler"), grid, start, between=(0.7 * limit, 1.3 * limit), steps=_STEPS
    )
    what = f"{setting.dim}-D, dx = {number(setting.dx)}"
    return Bracket(what=what, foretold=limit, low=low, high=high)


def _growth(setting: _Setting) -> list[float]:
    equation, grid, start, limit = _parts(setting)
    euler = make_scheme("euler")
    runs = (simulate(equation, euler, grid, start, ratio * limit, 400, amplitude_limit=1e30) for ratio in _RATIOS)
    return [run.growth for run in runs]


_RATIOS = tuple(float(ratio) for ratio in np.linspace(0.8, 1.2, 21))


def _limits(lab: Lab) -> Mapping[str, Any]:
    settings = [_Setting(dim, dx) for dim in _GRIDS for dx in _SPACINGS[lab.scale]]
    return {"limits": [vars(one) for one in lab.map(_limit, settings)]}


def _figure(lab: Lab) -> Mapping[str, Any]:
    settings = [_Setting(dim, 1.0) for dim in _GRIDS]
    equation, grid, start, limit = _parts(_Setting(1, 1.0))
    bump = np.exp(-(((np.arange(grid.shape[0]) - grid.shape[0] / 2) / 4.0) ** 2)) + _NOISE * start
    runs = {ratio: simulate(equation, make_scheme("euler"), grid, bump, ratio * limit, 60) for ratio in (0.9, 1.1)}
    growth = dict(zip((f"{one.dim}-D" for one in settings), lab.map(_growth, settings), strict=True))
    return {
        "ratios": _RATIOS,
        "growth": growth,
        "profiles": {str(ratio): run.u.tolist() for ratio, run in runs.items()},
    }


def _pieces(scale: str) -> Sequence[Piece]:
    simulations = len(_SPACINGS[scale]) * len(_GRIDS) * 12
    return (
        Piece(
            name="limits",
            says="bisections of the heat equation's largest stable step",
            measure=_limits,
            steps={"heat": simulations * _STEPS},
        ),
        Piece(name="figure", says="growth below and above the limit", measure=_figure, steps={"heat": 63 * 400}),
    )


def _gather(pieces: Mapping[str, Mapping[str, Any]]) -> Heated:
    figure = pieces["figure"]
    return Heated(
        limits=tuple(Bracket(**one) for one in pieces["limits"]["limits"]),
        ratios=tuple(figure["ratios"]),
        growth=figure["growth"],
        profiles=figure["profiles"],
    )


def _drawings(measured: Heated) -> Sequence[Drawing]:
    profiles = [
        Series(label=f"dt = {ratio} of the limit", x=range(len(field)), y=field)
        for ratio, field in measured.profiles.items()
    ]
    growth = [Series(label=dim, x=measured.ratios, y=values, mark="both") for dim, values in measured.growth.items()]
    return (
        Drawing(
            name="heat",
            panels=(
                Panel(title="After 60 steps, 1-D", x_label="x / dx", y_label="u", series=profiles),
                Panel(
                    title="Growth of max |u| a step",
                    x_label="dt over dx²/(2d)",
                    y_label="factor a step",
                    series=growth,
                    levels=(Level(value=1.0, label="predicted limit", upright=True),),
                ),
            ),
            describe="The heat equation below and above its largest stable step, and its growth per step over the step",
        ),
    )


def _tables(measured: Heated) -> Sequence[Table]:
    each = {
        Column("equation"): lambda one: one.what,
        Column("predicted dt", True): lambda one: number(one.foretold, 6),
        Column("stable up to", True): lambda one: number(one.low, 6),
        Column("blows up from", True): lambda one: number(one.high, 6),
        Column("deviation", True): lambda one: change((one.low + one.high) / 2, one.foretold),
    }
    return (table_of(measured.limits, each, caption=f"Found by simulations of {plural(_STEPS, 'step')}."),)


CLAIM = Claim[Heated](
    id="C5",
    title="The heat equation by forward Euler is stable iff dt ≤ dx²/2",
    printed="the figure of the heat equation",
    published=Form(
        says="Forward Euler for the heat equation (1-D, unit diffusivity) is stable iff dt ≤ dx²/2; in d dimensions "
        "iff dt ≤ dx²/(2d).",
        rule="Held if every simulated limit, in 1 to 3 dimensions, lies within 1% of dx²/(2d); not held if the whole "
        "bracket of one lies outside; undecided if a bracket is too wide or a dimension is missing.",
        judge=judge,
    ),
    scales={
        "small": "1 to 3 dimensions, two spacings each",
        "medium": "1 to 3 dimensions, three spacings each",
        "full": "1 to 3 dimensions, four spacings each",
    },
    pieces=_pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
)
"""The claim."""
