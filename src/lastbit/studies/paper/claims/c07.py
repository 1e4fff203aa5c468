"""C7: the non-linear flow has three linear regimes, each with its own stability condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lastbit.pde.cnn.activation import REGIMES
from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Level, Panel, Series
from lastbit.report.figures.style import LAST_BIT, REAL
from lastbit.report.formatting import change, number, plural
from lastbit.stats import Estimate, mean_estimate, not_measured
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, Piece, held, not_held, undecided
from lastbit.studies.paper.claims.c07_measure import SIZES, measured_regime, settings_of, slopes
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import Bracket, agreement

__all__ = ["CLAIM", "At", "Regimes", "judge_quarter", "judge_table"]

_TOLERANCE = 0.01
"""Within which bounds and factor must lie of the foretold ones."""

_FEWEST = 3
"""Kernels that each row must have."""

_EIGHTH, _QUARTER = 0.125, 0.25
"""The factor of the mean image's square, as published and as derived: s'(0) r'² = 1/4 where r' = 1."""

_ROWS: Mapping[str, tuple[str, str, str]] = {
    "activated": ("∂K = -(s(0) - y) Ī - ⅛ Ī² K̄ - αK", "α < 2/dt - Ī²/8", "0 ≤ α ≤ 2/dt - Ī²/4"),
    "transitioning": (
        "∂K = -(a/2)(Ī + β (K∗I)∗I) - αK",
        "-½aβ max|Î|² < α < 2/dt - ½aβ min|Î|²",
        "likewise; for a > 0 with min and max exchanged",
    ),
    "not_activated": ("∂K = -αK", "α < 2/dt", "0 ≤ α ≤ 2/dt"),
}
"""Of each regime: the published linear PDE, its published condition, and ours."""


@dataclass(frozen=True, kw_only=True)
class At:
    """The flow at one kernel, linearised by automatic differentiation.

    Attributes:
        regime: which.
        label: 1 or 0.
        mean: whether the image has a mean where the activation transitions: then the output's slope moves too.
        share: of the positions that are in the regime.
        coefficient: factor of the mean image's square, in the activated regime.
        ours: bounds found, held against those that the code foretells.
        published: likewise against the published ones, where they speak of it.
    """

    regime: str
    label: float
    mean: bool
    share: float
    coefficient: float | None
    ours: tuple[Bracket, ...]
    published: tuple[Bracket, ...]


@dataclass(frozen=True, kw_only=True)
class Regimes:
    """What was measured.

    Attributes:
        kernels: the flow at each.
        slopes: derivatives of the swish, to be drawn.
    """

    kernels: tuple[At, ...]
    slopes: Mapping[str, Any]

    def rows(self) -> dict[tuple[str, float, bool], list[At]]:
        """The kernels of each row: regime, label, and whether the image has a mean."""
        rows: dict[tuple[str, float, bool], list[At]] = {}
        for one in self.kernels:
            rows.setdefault((one.regime, one.label, one.mean), []).append(one)
        return rows


def judge_table(measured: Regimes) -> Judged:
    """Hold the published table where each of its bounds, and the factor 1/8, lie within 1% of what is found."""
    needed = [(regime, 1.0, False) for regime in REGIMES]
    brackets = [bracket for one in measured.kernels for bracket in one.published]
    return _judged(measured, needed, brackets, _EIGHTH, "the published table")


def judge_quarter(measured: Regimes) -> Judged:
    """Hold our table likewise, with the factor 1/4, for both labels, both ends, and images with a mean."""
    needed = [*((regime, label, False) for regime in REGIMES for label in (1.0, 0.0)), ("transitioning", 1.0, True)]
    brackets = [bracket for one in measured.kernels for bracket in one.ours]
    return _judged(measured, needed, brackets, _QUARTER, "derived: s'(0) r'² = ¼ · 1²")


def _judged(
    measured: Regimes,
    needed: Sequence[tuple[str, float, bool]],
    brackets: Sequence[Bracket],
    factor: float,
    source: str,
) -> Judged:
    factors = [one.coefficient for one in measured.kernels if one.coefficient is not None]
    answer, decisive = agreement(brackets, _TOLERANCE)
    rows = measured.rows()
    thin = [row for row in needed if len(rows.get(row, [])) < _FEWEST]
    if decisive is None or thin or not factors:
        return undecided(f"fewer than {_FEWEST} kernels of a regime")
    if any(one.share < 1 for one in measured.kernels):
        return undecided("a kernel's positions are not all in its regime")
    numbers = (
        Number(
            name="coefficient",
            says="factor of Ī² in the activated regime, by automatic differentiation",
            value=_mean(factors),
            reference=factor,
            source=source,
        ),
        Number(
            name="deviation",
            says=f"simulated over predicted bound, less 1: {decisive.what}",
            value=decisive.deviation,
            reference=0.0,
            source=source,
        ),
    )
    wrong = max(factors, key=lambda one: abs(one - factor))
    if abs(wrong / factor - 1) > _TOLERANCE:
        return not_held(f"the factor of Ī² is {number(wrong)}, not {number(factor)}", *numbers)
    if answer is False:
        return not_held(f"the simulated {decisive.what} lies more than 1% off the predicted one", *numbers)
    if answer is None:
        return undecided(f"the bracket of the {decisive.what} reaches beyond 1%", *numbers)
    return held(
        f"the factor of Ī² is {number(factor)}, and all {plural(len(brackets), 'simulated bound')} lie within 1% of "
        f"the predicted ones; the farthest is the {decisive.what}",
        *numbers,
    )


def _mean(values: Sequence[float]) -> Estimate:
    return mean_estimate(values) if values else not_measured("no kernel is in the activated regime")


def _regimes(lab: Lab) -> Mapping[str, Any]:
    return {"kernels": lab.map(measured_regime, settings_of(lab.scale))}


def _slopes(lab: Lab) -> Mapping[str, Any]:
    return slopes()


def _pieces(scale: str) -> Sequence[Piece]:
    return (
        Piece(
            name="regimes",
            says="the flow linearised by automatic differentiation in each regime, and its bounds simulated",
            measure=_regimes,
            # For each step of a trial, a bisection of so small a kernel costs about ten steps of the flow.
            steps={"flow": 10 * sum(one.steps for one in settings_of(scale))},
        ),
        Piece(name="slopes", says="derivatives of the swish", measure=_slopes, steps={"flow": 1}),
    )


def _gather(pieces: Mapping[str, Mapping[str, Any]]) -> Regimes:
    return Regimes(kernels=tuple(map(_at, pieces["regimes"]["kernels"])), slopes=pieces["slopes"])


def _at(one: Mapping[str, Any]) -> At:
    """Return the numbers of a kernel: a bound that is zero, or nearly, deviates relative to 1/(10 dt)."""
    found = {"lower": one["lower"], "upper": one["upper"]}

    def against(foretold: Sequence[float | None], whose: str) -> tuple[Bracket, ...]:
        return tuple(
            Bracket(
                what=f"{whose}{name} bound ({one['words']})",
                foretold=end,
                low=found[name][0],
                high=found[name][1],
                scale=max(abs(end), 0.1 / one["dt"]),
            )
            for name, end in zip(found, foretold, strict=True)
            if end is not None
        )

    as_published = not one["mean"] and (one["regime"] != "transitioning" or one["label"] == 1)
    return At(
        **{name: one[name] for name in ("regime", "label", "mean", "share", "coefficient")},
        ours=against(one["foretold"], ""),
        published=against(one["published"], "published ") if as_published else (),
    )


def _drawings(measured: Regimes) -> Sequence[Drawing]:
    factors = [one.coefficient for one in measured.kernels if one.coefficient is not None]
    t, edge = measured.slopes["t"], measured.slopes["edge"]
    return (
        Drawing(
            name="regimes",
            panels=(
                Panel(
                    title="Activated: factor of Ī²",
                    x_label="kernel",
                    y_label="factor, g·Hg / |g|⁴",
                    series=[Series(label="", x=range(1, len(factors) + 1), y=factors, mark="points")],
                    levels=(
                        Level(value=_EIGHTH, label="published: 1/8", colour=LAST_BIT),
                        Level(value=_QUARTER, label="derived: 1/4", colour=REAL),
                    ),
                ),
                Panel(
                    title="The three regimes of the swish",
                    x_label="βz",
                    y_label="derivative",
                    series=(
                        Series(label="r'", x=t, y=measured.slopes["first"]),
                        Series(label="r''/β", x=t, y=measured.slopes["second"]),
                    ),
                    levels=[Level(value=side * edge, label="", upright=True) for side in (-1, 1)],
                ),
            ),
            describe="The factor of the squared mean image at each activated kernel beside an eighth and a quarter, "
            "and the derivatives of the swish with the places where its regimes part",
        ),
    )


def _tables(measured: Regimes) -> Sequence[Table]:
    rows = list(measured.rows().items())
    each = {
        Column("regime"): lambda row: row[1][0].ours[0].what.partition("(")[2].rstrip(")"),
        Column("published linear PDE"): lambda row: _ROWS[row[0][0]][0],
        Column("published condition"): lambda row: _ROWS[row[0][0]][1],
        Column("condition found"): lambda row: _ROWS[row[0][0]][2],
        Column("kernels", True): lambda row: number(len(row[1])),
        Column("published, worst deviation", True): lambda row: _worst([one.published for one in row[1]]),
        Column("found, worst deviation", True): lambda row: _worst([one.ours for one in row[1]]),
    }
    return (
        table_of(
            rows,
            each,
            caption="Deviations of simulated bounds from predicted ones, relative to the bound or to 1/(10 dt) where "
            "it is smaller; the flow is stepped as automatic differentiation linearises it.",
        ),
    )


def _worst(brackets: Sequence[Sequence[Bracket]]) -> str:
    deviations = [sum(one.ends) / 2 for several in brackets for one in several]
    return change(1 + max(deviations, key=abs), 1.0) if deviations else ""


def _remarks(measured: Regimes) -> Sequence[str]:
    return (
        "The logistic sigmoid has slope 1/4 at 0 and r' = 1 where the network is activated: the factor is ¼ · 1². An "
        "eighth would be ¼ · ½, one of the slopes taken where the network transitions.",
        "For an image with a mean the output's slope moves too where the network transitions, by g gᵀ/16 with g the "
        "mean patch; the published row holds a constant, and is exact for images without a mean.",
    )


CLAIM = Claim[Regimes](
    id="C7",
    title="The non-linear PDE has three linear regimes, each with its own stability condition",
    printed="the table of the linear regimes (Table 3)",
    published=Form(
        says="Where its activation is activated, transitions, or is not activated, the non-linear PDE is linear, and "
        "stable iff α < 2/dt - Ī²/8, iff -½aβ max|Î|² < α < 2/dt - ½aβ min|Î|² (a < 0), and iff α < 2/dt.",
        rule="Held if, with the flow linearised by automatic differentiation at kernels that are in one regime, each "
        "published bound lies within 1% of the simulated one (of 1/(10 dt) where it is smaller), and the factor of Ī² "
        "within 1% of 1/8 at every kernel; not held if one lies outside; undecided if a bracket is too wide, a "
        f"kernel's positions are not all in its regime, or a regime has fewer than {_FEWEST} kernels.",
        judge=judge_table,
    ),
    found=Form(
        says="The factor is a quarter, α ≤ 2/dt - Ī²/4; zero is a lower bound of the activated and the dead regime; "
        "for a > 0 the ends of the transitioning regime are exchanged, and an image with a mean adds g gᵀ/16.",
        rule="Held if each of these bounds, for both labels and for images with a mean, lies within 1% of the "
        "simulated one (of 1/(10 dt) where it is smaller), and the factor of Ī² within 1% of 1/4 at every kernel; not "
        "held if one lies outside; undecided as the published form.",
        judge=judge_quarter,
    ),
    scales={
        scale: f"{plural(count, 'image')} and kernels of each regime and label" for scale, (count, _) in SIZES.items()
    },
    pieces=_pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
    remarks=_remarks,
)
"""The claim."""
