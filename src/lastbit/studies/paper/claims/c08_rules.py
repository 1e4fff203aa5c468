"""What C8 measured, and the rules that judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lastbit.report.formatting import number, percent, plural
from lastbit.studies.paper.claim import Judged, Number, computed, held, not_held, undecided
from lastbit.studies.paper.rules import Bracket, agreement

__all__ = ["ORDER", "RULE", "End", "Restrained", "Run", "Sweep", "judge_ends", "judge_order"]

ORDER = ("converged", "restrained", "diverged")
"""How flows end, in the order of their learning rates."""

_FEWEST = 3
"""Runs of each kind that a flow must have, or its order says little."""

_UNTOLD = 0.1
"""Share of the runs beyond which those that are too short to tell decide nothing."""

_GROWTH = 2.0
"""Factor between the largest losses of the last and the second quarter of a run up to which it is bounded."""

_RISES = 0.05
"""Share of steps at which a loss must rise to oscillate."""

_TOLERANCE = 0.01
"""Within which a simulated end must lie of the foretold one."""

RULE = (
    "Held if each flow, in the order of its learning rates, converges, then is restrained (never settles), then blows "
    f"up; the largest loss of the last quarter of a restrained run is at most {number(_GROWTH)} times that of the "
    f"second; and the loss rises at {percent(_RISES)} to {percent(1 - _RISES)} of the steps of at least half of the "
    f"restrained runs. Not held otherwise; undecided if a flow has fewer than {_FEWEST} learning rates of a kind, or "
    f"if more than {percent(_UNTOLD)} of its runs are too short to tell."
)
"""What `judge_order` does, in words."""

_REFERENCE_LOSS = 0.2915
"""To which the reference flow converges at learning rates 0.01 and 0.03."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One flow at one learning rate.

    Attributes:
        lr: learning rate.
        status: how it ended.
        end: its last loss, with its weight decay term, as all losses; None where it blew up, as the next four.
        least: smallest loss of the second half of its steps.
        largest: largest of them.
        growth: largest loss of the last quarter of its steps over that of the second quarter.
        rises: share of the steps of the second half at which the loss rose.
        losses: of its first steps, to be drawn.
    """

    lr: float
    status: str
    end: float | None
    least: float | None
    largest: float | None
    growth: float | None
    rises: float | None
    losses: Sequence[float | None] = ()

    @property
    def bounded(self) -> bool:
        """Whether the loss has stopped growing."""
        return self.growth is not None and self.growth <= _GROWTH

    @property
    def oscillates(self) -> bool:
        """Whether the loss rises now and then and falls now and then."""
        return self.rises is not None and _RISES <= self.rises <= 1 - _RISES


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One flow over learning rates, in their order."""

    words: str
    decay: float
    runs: tuple[Run, ...]

    def of(self, status: str) -> list[Run]:
        """Its runs that ended in one way."""
        return [run for run in self.runs if run.status == status]

    @property
    def disorder(self) -> tuple[Run, Run] | None:
        """Two runs in the wrong order: the larger learning rate ended as only smaller ones should."""
        told = [run for run in self.runs if run.status in ORDER]
        wrong = (pair for pair in pairwise(told) if ORDER.index(pair[0].status) > ORDER.index(pair[1].status))
        return next(wrong, None)


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of a window: `kind` is `lower`, `upper`, or `least upper` where theory gives but a guarantee."""

    kind: str
    what: str
    bracket: Bracket | None


@dataclass(frozen=True, kw_only=True)
class Restrained:
    """What was measured.

    Attributes:
        reference: the flow that was computed independently.
        sweeps: others.
        ends: of windows; a bracket that was not found is None.
    """

    reference: Sweep
    sweeps: tuple[Sweep, ...]
    ends: tuple[End, ...]


def judge_order(measured: Restrained) -> Judged:
    """Hold the claim where each flow converges, is restrained, and blows up, in this order of learning rates."""
    numbers = _seen(measured)
    for sweep in (measured.reference, *measured.sweeps):
        if sweep.disorder is not None:
            near, far = (f"{run.status} at {number(run.lr)}" for run in sweep.disorder)
            return not_held(f"out of order: {near}, but {far} ({sweep.words})", *numbers)
        if sweep.of("converged") and sweep.of("diverged") and not sweep.of("restrained"):
            return not_held(f"no learning rate is restrained between rest and blow-up ({sweep.words})", *numbers)
        if growing := [run for run in sweep.of("restrained") if not run.bounded]:
            return not_held(f"the loss still grows at {number(growing[0].lr)} ({sweep.words})", *numbers)
    few = [one.words for one in measured.sweeps if min(len(one.of(status)) for status in ORDER) < _FEWEST]
    if few or not measured.sweeps:
        return undecided(f"fewer than {_FEWEST} learning rates of a kind{f' ({few[0]})' if few else ''}", *numbers)
    untold = [one.words for one in measured.sweeps if len(one.of("undecided")) > _UNTOLD * len(one.runs)]
    if untold:
        return undecided(f"too few steps to tell how many a run ends ({untold[0]})", *numbers)
    told = [run for sweep in measured.sweeps for run in sweep.of("restrained")]
    share = _share(told) or 0.0
    if share < 0.5:
        return not_held(f"the loss oscillates at only {percent(share)} of the restrained learning rates", *numbers)
    return held(
        f"each of {plural(len(measured.sweeps), 'flow')} converges, is restrained and blows up in the order of its "
        f"learning rates, and {percent(share)} of the restrained losses oscillate",
        *numbers,
    )


def judge_ends(measured: Restrained) -> Judged:
    """Hold our form where the ends of the windows are those of theory, within 1%."""
    met = [one.bracket for one in measured.ends if one.kind != "least upper" and one.bracket is not None]
    answer, decisive = agreement(met, _TOLERANCE)
    kinds = [one.kind for one in measured.ends if one.bracket is not None]
    if decisive is None or len(kinds) < len(measured.ends) or min(kinds.count("lower"), kinds.count("upper")) < 2:
        return undecided("fewer than two windows were found whole")
    numbers = [
        Number(
            name="deviation",
            says=f"simulated over predicted, less 1: {decisive.what}",
            value=decisive.deviation,
            reference=0.0,
            source="2/(λ_max + α) at rest, and 2/α",
        )
    ]
    if answer is False:
        return not_held(f"the simulated {decisive.what} lies more than 1% off the predicted one", *numbers)
    least = [one.bracket for one in measured.ends if one.kind == "least upper" and one.bracket is not None]
    if short := [one for one in least if one.ends[1] < -_TOLERANCE]:
        return not_held(f"the flow blows up below 2/α: {short[0].what}", *numbers)
    if answer is None or any(one.ends[0] < -_TOLERANCE for one in least):
        return undecided("a bracket reaches beyond 1%", *numbers)
    return held(
        f"all {plural(len(met), 'simulated end')} lie within 1% of the predicted ones, the farthest is the "
        f"{decisive.what}; where every direction is seen the flow stays bounded up to 2/α at least",
        *numbers,
    )


def _seen(measured: Restrained) -> list[Number]:
    """Return the losses of the reference flow at rest, and the share of restrained runs that oscillate."""
    known = "computed independently of this package"
    rest = [
        Number(
            name=f"loss_at_{run.lr}",
            says=f"loss at rest, learning rate {number(run.lr)} ({measured.reference.words})",
            value=computed(run.end),
            reference=_REFERENCE_LOSS,
            source=known,
        )
        for run in measured.reference.of("converged")
    ]
    told = [run for sweep in measured.sweeps for run in sweep.of("restrained")]
    share = Number(
        name="oscillating",
        says="share of restrained learning rates at which the loss itself oscillates",
        value=computed(_share(told), len(told), "learning rates on a grid, not a sample"),
        unit="%",
    )
    return [*rest, share]


def _share(runs: Sequence[Run]) -> float | None:
    return sum(run.oscillates for run in runs) / len(runs) if runs else None
