"""What C9 measured, and the rules that judge it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lastbit.report.formatting import number, percent, plural
from lastbit.studies.paper.claim import Judged, Number, computed, held, not_held, undecided

__all__ = ["AMPLIFIED", "NOT_AMPLIFIED", "RULE_APERIODIC", "RULE_EXACTLY", "Twin", "TwinSweep", "Twins"]
__all__ += ["judge_aperiodic", "judge_exactly"]

AMPLIFIED, NOT_AMPLIFIED = 1e-3, 1e-6
"""Relative differences from which, and up to which, the last bit was amplified and was not; it starts near 1e-16."""

_FEWEST = 3
"""Twins of each kind that there must be."""

_UNTOLD = 0.1
"""Share of the twins beyond which those of which nothing can be told decide nothing."""

_CONTROL = (
    "Undecided if a control, whose factor changes no rounding, differs at all, if more than "
    f"{percent(_UNTOLD)} of the twins cannot be told (their difference lies between, their orbit is still settling, or "
    "the run is too short), or if there are fewer than "
)

_MEANING = (
    f"Amplified is a mean relative difference of {number(AMPLIFIED)} or more over the last quarter of the steps (at "
    f"the end, where the flow blows up), not amplified one of {number(NOT_AMPLIFIED)} or less. A learning "
    "rate of 2/α itself, an end of the window where the flow is marginal, is not judged. "
)

RULE_EXACTLY = (
    f"{_MEANING}Held if the last bit is amplified at every learning rate at which the flow is restrained, and at none "
    f"at which it converges or blows up; not held if one is otherwise. {_CONTROL}{_FEWEST} that converge, "
    "are restrained, or blow up."
)
"""What `judge_exactly` does, in words."""

RULE_APERIODIC = (
    f"{_MEANING}Held if the last bit is amplified on every aperiodic orbit, at no learning rate outside the window, "
    f"and on some periodic orbit not; not held if one is otherwise, or every periodic orbit amplifies. {_CONTROL}"
    f"{_FEWEST} that converge, blow up, or are on a periodic or an aperiodic orbit."
)
"""What `judge_aperiodic` does, in words."""


@dataclass(frozen=True, kw_only=True)
class Twin:
    """One pair of twins, k = 1 and 3.

    Attributes:
        lr: learning rate.
        status: how the flow ended.
        orbit: `periodic`, `settling`, or `aperiodic`; "" where it settles or blows up.
        first: mean difference after the first step; 0 where the other rounding changed nothing.
        difference: largest mean relative difference of the last quarter of the steps; the last before a blow-up.
        differences: of the first steps, to be drawn.
    """

    lr: float
    status: str
    orbit: str
    first: float
    difference: float
    differences: Sequence[float | None] = ()

    @property
    def amplified(self) -> bool | None:
        """Whether the last bit was amplified; None where that cannot be told."""
        return True if self.difference >= AMPLIFIED else False if self.difference <= NOT_AMPLIFIED else None

    @property
    def kind(self) -> str:
        """How the flow ended, and in the window on which orbit."""
        return self.orbit or self.status


@dataclass(frozen=True, kw_only=True)
class TwinSweep:
    """One flow's twins over learning rates."""

    words: str
    decay: float
    runs: tuple[Twin, ...]


@dataclass(frozen=True, kw_only=True)
class Twins:
    """What was measured.

    Attributes:
        reference: the flow that was computed independently.
        sweeps: others.
        control: largest difference to a twin whose factor changes no rounding.
    """

    reference: TwinSweep
    sweeps: tuple[TwinSweep, ...]
    control: float

    def of(self, *kinds: str) -> list[Twin]:
        """Return the twins of some kinds whose perturbation landed; 2/α itself, an end, lies on neither side of it."""
        return [
            run
            for one in (self.reference, *self.sweeps)
            for run in one.runs
            if run.kind in kinds and run.first > 0 and not math.isclose(run.lr * one.decay, 2)
        ]


def judge_exactly(measured: Twins) -> Judged:
    """Hold the published form where the last bit is amplified in the window and nowhere else."""
    inside = measured.of("periodic", "aperiodic", "settling")
    groups = {"converge": measured.of("converged"), "are restrained": inside, "blow up": measured.of("diverged")}
    numbers = _shares(measured)
    if too_little := _thin(measured, groups):
        return undecided(too_little, *numbers)
    for run in (*groups["converge"], *groups["blow up"]):
        if run.amplified:
            return not_held(f"amplified outside the window: {_told(run)}", *numbers)
    still = [run for run in inside if run.amplified is False]
    if still:
        return not_held(f"not amplified inside the window: {_told(still[0])}; {len(still)} of {len(inside)}", *numbers)
    if untold := _untold(measured):
        return undecided(untold, *numbers)
    return held("the last bit is amplified at every learning rate in the window, and at none outside", *numbers)


def judge_aperiodic(measured: Twins) -> Judged:
    """Hold our form where every aperiodic orbit amplifies, no learning rate outside, and not every periodic orbit."""
    groups = {
        "converge": measured.of("converged"),
        "blow up": measured.of("diverged"),
        "are on a periodic orbit": measured.of("periodic"),
        "are on an aperiodic orbit": measured.of("aperiodic"),
    }
    numbers = _shares(measured)
    if too_little := _thin(measured, groups):
        return undecided(too_little, *numbers)
    for run in (*groups["converge"], *groups["blow up"]):
        if run.amplified:
            return not_held(f"amplified outside the window: {_told(run)}", *numbers)
    aperiodic, periodic = groups["are on an aperiodic orbit"], groups["are on a periodic orbit"]
    if still := [run for run in aperiodic if run.amplified is False]:
        return not_held(f"not amplified on an aperiodic orbit: {_told(still[0])}", *numbers)
    if all(run.amplified for run in periodic):
        return not_held("every periodic orbit amplifies the last bit as well", *numbers)
    if untold := _untold(measured):
        return undecided(untold, *numbers)
    calm = sum(run.amplified is False for run in periodic)
    return held(
        f"the last bit is amplified on every one of {len(aperiodic)} aperiodic orbits, at none of "
        f"{len(groups['converge']) + len(groups['blow up'])} learning rates outside the window, and not on {calm} of "
        f"{len(periodic)} periodic orbits",
        *numbers,
    )


def _thin(measured: Twins, groups: dict[str, list[Twin]]) -> str:
    """Return why nothing can be decided, or ""."""
    if measured.control != 0:
        return f"a control, whose factor changes no rounding, differs by {number(measured.control)}"
    return next(
        (f"fewer than {plural(_FEWEST, 'twin')} that {name}" for name, runs in groups.items() if len(runs) < _FEWEST),
        "",
    )


def _untold(measured: Twins) -> str:
    runs = measured.of("converged", "diverged", "periodic", "aperiodic", "settling", "undecided")
    untold = [run for run in runs if run.amplified is None or run.kind in ("settling", "undecided")]
    told = f"nothing can be told of {plural(len(untold), 'twin')} in {len(runs)}"
    return told if len(untold) > _UNTOLD * len(runs) else ""


def _told(run: Twin) -> str:
    return f"{number(run.difference, 2)} at {number(run.lr)} ({run.kind})"


def _shares(measured: Twins) -> list[Number]:
    """Return the share of amplified twins of each kind, and the differences of the reference flow."""
    kinds = {"aperiodic": ("aperiodic",), "periodic": ("periodic",), "outside": ("converged", "diverged")}
    words = {"aperiodic": "on aperiodic orbits", "periodic": "on periodic orbits", "outside": "outside the window"}
    shares = []
    for name, ended in kinds.items():
        told = [run.amplified for run in measured.of(*ended) if run.amplified is not None]
        share = sum(told) / len(told) if told else None
        shares.append(
            Number(
                name=f"amplified_{name}",
                says=f"share of twins {words[name]} whose last bit is amplified",
                value=computed(share, len(told), "learning rates on a grid, not a sample"),
                unit="%",
            )
        )
    control = Number(
        name="control",
        says="largest difference to a twin whose factor changes no rounding",
        value=computed(measured.control),
        reference=0.0,
        source="exact",
    )
    known = [
        Number(
            name=f"difference_at_{run.lr}",
            says=f"mean relative difference of the reference twins, learning rate {number(run.lr)}",
            value=computed(run.difference),
            reference=1.0,
            source="of order one after 100 steps, computed independently of this package",
        )
        for run in measured.reference.runs
        if run.lr in (0.05, 0.07, 0.09)
    ]
    return [*shares, control, *known]
