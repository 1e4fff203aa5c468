"""C6: the linearised PDE of the one-layer CNN is stable iff weight decay lies between a lower and an upper bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Level, Panel, Series
from lastbit.report.formatting import change, number, plural
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, Piece, computed, held, not_held, undecided
from lastbit.studies.paper.claims.c06_measure import FIGURE_STEPS, SETTINGS, losses, simulated_ends, steps_of
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import Bracket, agreement

__all__ = ["CLAIM", "Bounded", "Case", "judge_full_support", "judge_windows"]

_TOLERANCE = 0.01
"""Within which a simulated end must lie of the foretold one."""

_REFERENCES: Mapping[str, tuple[float, float | None]] = {
    "checkerboard 256 x 256, all of it": (1.0737e9, None),
    "checkerboard 256 x 256, window 32 x 32": (1.296e7, 2.0e8),
}
"""Both ends at label 1, as computed independently: ¼·256⁴, and ¼·32²·225² with 2/dt."""

_COMPUTED = "computed independently of this package"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One linear PDE.

    Attributes:
        image: in words, with what the kernel covers of it.
        label: 1 or 0, which decides the sign of a.
        full_support: whether the kernel is as large as the periodic image.
        dt: the step.
        lower: end, foretold from the discrete operator and found by simulation.
        upper: likewise.
        fourier_lower: the lower end that the image's Fourier transform foretells, as if the kernel had full support.
    """

    image: str
    label: float
    full_support: bool
    dt: float
    lower: Bracket
    upper: Bracket
    fourier_lower: float

    @property
    def as_published(self) -> bool:
        """Whether the published bounds speak of it."""
        return self.full_support and self.label == 1

    @property
    def by_fourier(self) -> Bracket:
        """The lower end found, held against the one that Fourier's transform foretells."""
        return replace(self.lower, foretold=self.fourier_lower, scale=abs(self.fourier_lower))


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """What was measured.

    Attributes:
        cases: every linear PDE.
        losses: by the weight decay in words, the loss at each step of the linear PDE.
    """

    cases: tuple[Case, ...]
    losses: Mapping[str, Sequence[float]]


def judge_full_support(measured: Bounded) -> Judged:
    """Hold the published bounds where each simulated end lies within 1%, on a checkerboard and on another image."""
    cases = [one for one in measured.cases if one.as_published]
    missing = "" if len({one.image.split()[0] for one in cases}) >= 2 else "fewer than two images were measured"
    return _judged(cases, missing)


def judge_windows(measured: Bounded) -> Judged:
    """Hold those of the discrete operator likewise, with windows and both labels, where Fourier's miss the window's."""
    cases = [one for one in measured.cases if not one.as_published]
    windows = [one for one in cases if not one.full_support]
    both = {one.label for one in windows} == {0, 1}
    judged = _judged(cases, "" if both else "not both labels were measured with a window")
    if judged.kind == "undecided" or not windows:
        return judged
    farthest = max((one for one in windows if one.label == 1), key=lambda one: abs(one.by_fourier.ends[0]))
    ratio = Number(
        name="fourier_over_simulated",
        says=f"lower bound by Fourier's transform over the simulated one ({farthest.image})",
        value=computed(farthest.fourier_lower / _middle(farthest.lower)),
    )
    numbers = (*judged.numbers, ratio)
    if judged.kind == "held" and farthest.by_fourier.agrees(_TOLERANCE) is not False:
        return not_held("Fourier's transform foretells the lower ends of windows as well", *numbers)
    return replace(judged, numbers=numbers)


def _judged(cases: Sequence[Case], missing: str) -> Judged:
    answer, decisive = agreement([*chain.from_iterable((one.lower, one.upper) for one in cases)], _TOLERANCE)
    if decisive is None or missing:
        return undecided(missing or "nothing was measured")
    found = Number(
        name="deviation",
        says=f"simulated over predicted, less 1: {decisive.what}",
        value=decisive.deviation,
        reference=0.0,
        source="the spectrum of the discrete operator",
    )
    numbers = (found, *chain.from_iterable(map(_referenced, cases)))
    if answer is None:
        return undecided(f"the bracket of the {decisive.what} reaches beyond 1%", *numbers)
    if not answer:
        return not_held(f"the simulated {decisive.what} lies more than 1% off the predicted one", *numbers)
    ends = plural(2 * len(cases), "simulated end")
    return held(f"all {ends} lie within 1% of the predicted ones; the farthest is the {decisive.what}", *numbers)


def _referenced(case: Case) -> Sequence[Number]:
    """Return the simulated ends that were computed independently as well."""
    if case.label != 1 or case.image not in _REFERENCES:
        return ()
    return [
        Number(
            name=f"alpha_{'max' if bracket is case.upper else 'min'}",
            says=f"simulated {bracket.what}, at dt = {number(case.dt, 3)}",
            value=bracket.located,
            reference=reference,
            source=_COMPUTED,
        )
        for bracket, reference in zip((case.lower, case.upper), _REFERENCES[case.image], strict=True)
        if reference is not None
    ]


def _middle(bracket: Bracket) -> float:
    return (bracket.low + bracket.high) / 2


def _full_support(lab: Lab) -> Mapping[str, Any]:
    return {"cases": lab.map(simulated_ends, [one for one in SETTINGS[lab.scale] if one.full_support])}


def _windows(lab: Lab) -> Mapping[str, Any]:
    return {"cases": lab.map(simulated_ends, [one for one in SETTINGS[lab.scale] if not one.full_support])}


def _figure(lab: Lab) -> Mapping[str, Any]:
    return {"losses": losses(SETTINGS[lab.scale])}


def _pieces(scale: str) -> Sequence[Piece]:
    full, windows = ([one for one in SETTINGS[scale] if one.full_support is kind] for kind in (True, False))
    return (
        Piece(
            name="full-support",
            says="bisections of the stable weight decays, kernels as large as the image",
            measure=_full_support,
            steps={"flow": steps_of(full)},
        ),
        Piece(
            name="windows",
            says="bisections of the stable weight decays, kernels in a window",
            measure=_windows,
            steps={"flow": steps_of(windows)},
        ),
        Piece(
            name="figure",
            says="loss below, between and above the bounds",
            measure=_figure,
            steps={"flow": 2 * 3 * FIGURE_STEPS * (256 / 64) ** 2},
        ),
    )


def _gather(pieces: Mapping[str, Mapping[str, Any]]) -> Bounded:
    cases = [*pieces["full-support"]["cases"], *pieces["windows"]["cases"]]
    ends = [{name: Bracket(**one[name]) for name in ("lower", "upper")} for one in cases]
    return Bounded(
        cases=tuple(Case(**{**one, **both}) for one, both in zip(cases, ends, strict=True)),
        losses=pieces["figure"]["losses"],
    )


def _drawings(measured: Bounded) -> Sequence[Drawing]:
    losses = [Series(label=f"α = {words}", x=range(len(loss)), y=loss) for words, loss in measured.losses.items()]
    ends = [bracket for one in measured.cases for bracket in (one.lower, one.upper)]
    places, deviations = range(1, len(ends) + 1), [100 * sum(one.ends) / 2 for one in ends]
    low, high = ([100 * one.ends[which] for one in ends] for which in (0, 1))
    return (
        Drawing(
            name="linear-cnn",
            panels=(
                Panel(
                    title="Linear PDE, checkerboard 256 x 256",
                    x_label="step",
                    y_label="loss with its weight decay term",
                    series=losses,
                    log_y=True,
                ),
                Panel(
                    title="Simulated against predicted ends",
                    x_label="end, in the order of the table",
                    y_label="deviation, %",
                    series=[Series(label="bracket", x=places, y=deviations, low=low, high=high, mark="points")],
                    levels=[Level(value=100 * sign * _TOLERANCE, label="1%" if sign > 0 else "") for sign in (1, -1)],
                ),
            ),
            describe="The loss of the linear PDE over its steps for weight decays below, between and above the bounds, "
            "and by how much each simulated bound deviates from the predicted one",
        ),
    )


def _tables(measured: Bounded) -> Sequence[Table]:
    ends = [bracket for one in measured.cases for bracket in (one.lower, one.upper)]
    each = {
        Column("stable weight decays"): lambda one: one.what,
        Column("predicted", True): lambda one: number(one.foretold, 6),
        Column("simulated", True): lambda one: number(_middle(one), 6),
        Column("deviation", True): lambda one: change(1 + sum(one.ends) / 2, 1.0),
    }
    smaller = "A deviation is relative to the end, or to 1/(10 dt) where the end is smaller."
    return (table_of(ends, each, caption=f"Predicted by the discrete operator, simulated by bisection. {smaller}"),)


def _remarks(measured: Bounded) -> Sequence[str]:
    apart = [one for one in measured.cases if not one.full_support and one.by_fourier.agrees(_TOLERANCE) is False]
    if not apart:
        return ()
    most = max(apart, key=lambda one: one.fourier_lower / _middle(one.lower))
    times = number(most.fourier_lower / _middle(most.lower), 3)
    return (
        "A kernel in a window has not the image's Fourier modes to itself: its operator is the windowed "
        f"autocorrelation, and max|Î|² foretells a lower bound {times} times the simulated one ({most.image}).",
        "With label 0, a = 1/2 is positive and both ends change roles: the smallest symbol sets the lower bound, which "
        "is then zero or negative, and the largest the upper.",
    )


CLAIM = Claim[Bounded](
    id="C6",
    title="The linearised CNN PDE is stable iff weight decay lies between a lower and an upper bound",
    printed="the figure of the linear PDE's loss, and the table of predicted and simulated bounds",
    published=Form(
        says="The linear PDE of a one-layer CNN where its activation transitions, stepped by forward Euler, is stable "
        "iff -½aβ max|Î|² < α < 2/dt - ½aβ min|Î|² (label 1, a = -1/2, a kernel as large as the image).",
        rule="Held if both simulated ends, on a checkerboard and on another image, lie within 1% of the predicted ones "
        "(of 1/(10 dt) where an end is smaller than that); not held if the whole bracket of one lies outside; "
        "undecided if a bracket is too wide or an image is missing.",
        judge=judge_full_support,
    ),
    found=Form(
        says="For a kernel in a window, the eigenvalues of the windowed operator take the place of ½aβ|Î|², which "
        "misses the ends; with label 0 (a > 0) both ends change roles.",
        rule="Held if both simulated ends, in windows with either label and with full support and label 0, lie within "
        "1% of the predicted ones (of 1/(10 dt) where an end is smaller), and Fourier's lower bound misses that of "
        "some window; not held if the whole bracket of one lies outside, or Fourier's bounds fit every window; "
        "undecided if a bracket is too wide or a label is missing.",
        judge=judge_windows,
    ),
    scales={
        "small": "checkerboards of 256 x 256, white noise of 16 x 16 and 40 x 40, one and three channels",
        "medium": "also white noise of 32 x 32 and 96 x 96",
        "full": "also a checkerboard of 512 x 512 and white noise of 256 x 256",
    },
    pieces=_pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
    remarks=_remarks,
)
"""The claim."""
