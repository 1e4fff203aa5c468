"""The rules of C11: what of it holds for flows, for trained networks, and for the rate at which a flow blows up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lastbit.report.formatting import change, number, show
from lastbit.studies.paper.claim import Judged, Number, held, not_held, undecided
from lastbit.studies.paper.claims.c11_measure import TRAININGS, Edge
from lastbit.studies.paper.rules import Bracket, agreement

__all__ = ["FALLS", "STANDS", "Decayed", "Window", "judge_found", "judge_published", "most_decayed"]

_SHIFT, _END, _HOVERS = 0.05, 0.01, 0.1
"""Within which the shift of the flow's edge must be the decay; an end of stability must be where it was foretold; and
the ratio of a network at its edge must be 1, as in the verdict of `lastbit eos`."""

STANDS, FALLS = ("steep",), ("default", "logistic")
"""Trainings by full batches whose loss stands up to decay, and whose does not."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The learning rates at which a flow is restrained, and what theory says of them.

    Attributes:
        image: checkerboard, of which most directions of the window are unseen, or noise.
        decay: weight decay.
        low: between which rates it stops to converge; None where that is not known.
        high: between which it begins to blow up.
        theory_low: `2 / (sharpness + decay)` at rest.
        theory_high: `2 / decay`.
        sharpness: of the data loss at rest.
    """

    image: str
    decay: float
    low: tuple[float, float] | None
    high: tuple[float, float] | None
    theory_low: float | None
    theory_high: float
    sharpness: float | None

    @property
    def what(self) -> str:
        """Its name in words."""
        return f"{self.image}, decay {number(self.decay)}"

    @property
    def shift(self) -> Bracket | None:
        """What the simulated edge adds to the data loss's sharpness; None where nothing at rest is sharp."""
        if self.low is None or self.sharpness is None or self.sharpness <= 0 or self.low[0] <= 0:
            return None
        low, high = (2 / rate - self.sharpness for rate in reversed(self.low))
        return Bracket(what=self.what, foretold=self.decay, low=low, high=high)

    @property
    def end(self) -> Bracket | None:
        """The rate from which on it blows up."""
        if self.high is None:
            return None
        return Bracket(what=self.what, foretold=self.theory_high, low=self.high[0], high=self.high[1])


@dataclass(frozen=True, kw_only=True)
class Decayed:
    """What was measured.

    Attributes:
        windows: of the one-layer CNN.
        growing: weight decays below which a mode of the linear flow grows.
        edges: of trained networks.
    """

    windows: Sequence[Window]
    growing: Sequence[Bracket]
    edges: Sequence[Edge]


class _Part(NamedTuple):
    """One thing that a form says: whether it is so, None where that cannot be told."""

    answer: bool | None
    says: str
    numbers: tuple[Number, ...] = ()


def _joined(parts: Sequence[_Part]) -> Judged:
    """Return that one part is not so, or else that one cannot be told, or else that all are so."""
    for answer, judgement in ((False, not_held), (None, undecided), (True, held)):
        chosen = [part for part in parts if part.answer is answer]
        if chosen:
            ordered = [*chosen, *(part for part in parts if part.answer is not answer)]
            return judgement("; ".join(part.says for part in chosen), *(n for part in ordered for n in part.numbers))
    return undecided("nothing was measured")


def _within(name: str, says: str, brackets: Iterable[Bracket | None], tolerance: float) -> _Part:
    """Return whether thresholds are where they were foretold; at least two of them."""
    known = [one for one in brackets if one is not None]
    answer, decisive = agreement(known, tolerance)
    if decisive is None:
        return _Part(None, f"{says}: none was found")
    value = Number(name=name, says=f"{says}, found over foretold less 1 ({decisive.what})", value=decisive.deviation)
    enough = answer if len(known) > 1 or answer is False else None
    word = {True: "is", False: "is not", None: "cannot be told to be"}[enough]
    return _Part(enough, f"{says} {word} within {number(100 * tolerance, unit='%')} ({decisive.what})", (value,))


def _hovers(edge: Edge) -> bool | None:
    """Return whether a network ends at its limit; None where its interval reaches to both sides."""
    ratio = edge.ratio
    if ratio.estimate is None or ratio.low is None or ratio.high is None:
        return None
    if ratio.low >= 1 - _HOVERS and ratio.high <= 1 + _HOVERS:
        return True
    return False if ratio.high < 1 - _HOVERS or ratio.low > 1 + _HOVERS else None


def _at_edge(edge: Edge | None, name: str, wanted: bool) -> _Part:
    """Return whether a network is, or is not, at its edge."""
    if edge is None:
        return _Part(None, f"{TRAININGS[name][0]}: not measured")
    said = f"{TRAININGS[name][0]}, decay {number(edge.decay)}"
    stands = {True: "ends at its limit", False: "leaves its limit", None: "cannot be told to end at its limit or not"}
    found = _hovers(edge)
    value = Number(
        name=f"ratio_{name}_{number(edge.decay)}",
        says=f"learning rate over the largest stable one, last third ({said})",
        value=edge.ratio,
        reference=1.0,
        source="2/lr - decay",
    )
    return _Part(
        None if found is None else found is wanted, f"{said} {stands[found]} ({show(edge.ratio, digits=3)})", (value,)
    )


def most_decayed(measured: Decayed, name: str) -> Edge | None:
    """Return a training with the largest decay; None where it was measured without decay alone."""
    edges = [edge for edge in measured.edges if edge.training == name and edge.decay > 0]
    return max(edges, key=lambda edge: edge.decay, default=None)


def _without(measured: Decayed, name: str) -> Edge | None:
    return next((edge for edge in measured.edges if edge.training == name and edge.decay == 0), None)


def _flow_parts(measured: Decayed) -> list[_Part]:
    return [
        _within("shift", "what decay adds to the edge of the flow", (one.shift for one in measured.windows), _SHIFT),
        _within("growing", "the decay below which a mode grows", measured.growing, _END),
    ]


def judge_published(measured: Decayed) -> Judged:
    """Hold the claim where flows and every training with decay are at `2/lr - decay`, and flows end at `2/decay`."""
    trained = [_at_edge(most_decayed(measured, name), name, wanted=True) for name in TRAININGS]
    end = _within("end", "the rate at which the flow blows up, 2/decay,", (one.end for one in measured.windows), _END)
    return _joined([*_flow_parts(measured), *trained, end])


def _moved(measured: Decayed, name: str) -> _Part:
    """Return whether decay moved the sharpness of a training below that without decay, and below `2/lr`.

    It did not where the whole interval of the difference lies below half of the decay.
    """
    none, most = _without(measured, name), most_decayed(measured, name)
    if none is None or most is None:
        return _Part(None, f"{TRAININGS[name][0]}: not measured with and without decay")
    unmoved, of, without = most.limit + most.decay, most.sharpness, none.sharpness
    values = tuple(
        Number(
            name=f"sharpness_{name}_{number(edge.decay)}",
            says=f"sharpness of the data loss, last third ({TRAININGS[name][0]}, decay {number(edge.decay)})",
            value=edge.sharpness,
            reference=edge.limit,
            source="2/lr - decay",
        )
        for edge in (most, none)
    )
    said = f"with decay {number(most.decay)} the sharpness ends at {show(most.sharpness, digits=4)}"
    if of.low is None or of.high is None or without.low is None or without.high is None:
        return _Part(None, f"{said}, without an interval", values)
    below = of.high < min(unmoved, without.low)
    answer = True if below else False if without.high - of.low < most.decay / 2 else None
    against = {True: "below", False: "not below", None: "not certainly below"}[answer]
    return _Part(answer, f"{said}, {against} {number(unmoved)}, the limit without decay", values)


def _unseen(measured: Decayed) -> list[_Part]:
    """Return that `2/decay` is the end with unseen directions, and without them a bound that need not be met."""
    met = _within(
        "end_unseen",
        "the rate at which a flow with unseen directions blows up, 2/decay,",
        (one.end for one in measured.windows if one.image == "checkerboard"),
        _END,
    )
    others = [one.end for one in measured.windows if one.image != "checkerboard"]
    ends = [end for end in others if end is not None]
    if not ends or len(ends) < len(others):
        return [met, _Part(None, "where a flow without unseen directions blows up is not known")]
    farthest = max(ends, key=lambda end: end.low / end.foretold)
    value = Number(
        name="end_seen",
        says=f"the same without unseen directions, found over 2/decay less 1 ({farthest.what})",
        value=farthest.deviation,
    )
    bounded = all(end.high >= end.foretold * (1 - _END) for end in ends)
    beyond = farthest.low > farthest.foretold * (1 + _END)
    answer = (bounded and beyond) or (None if bounded and farthest.high > farthest.foretold * (1 + _END) else False)
    deviation = change((farthest.low + farthest.high) / 2, farthest.foretold)
    return [met, _Part(answer, f"without unseen directions the end lies at {deviation} of 2/decay at most", (value,))]


def judge_found(measured: Decayed) -> Judged:
    """Hold the claim where the edge moves on losses that stand up to decay, others leave it, and 2/decay is a bound."""
    stands = [
        part
        for name in STANDS
        for part in (_at_edge(most_decayed(measured, name), name, wanted=True), _moved(measured, name))
    ]
    falls = [_at_edge(most_decayed(measured, name), name, wanted=False) for name in FALLS]
    return _joined([*_flow_parts(measured), *stands, *falls, *_unseen(measured)])
