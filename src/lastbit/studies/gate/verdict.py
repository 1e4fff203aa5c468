"""The decision in one sentence, its reason, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.report.formatting import count, number, p_value, percent, plural
from lastbit.stats.gate import Comparison, Why
from lastbit.stats.gate_session import GateRules
from lastbit.studies.compare.names import told_apart
from lastbit.studies.frame.result import Verdict
from lastbit.studies.gate.result import NO_RUN, CandidateRow, SessionRow

__all__ = ["alpha_left", "gate_verdict", "reason_of", "session_verdict", "short_reason_of", "shorter", "told"]

_LONGEST = 60
"""Characters of a candidate that stand in a sentence."""


def gate_verdict(session: SessionRow, candidate: int, *, before: bool = False) -> Verdict:
    """Return the verdict on a candidate: `keep`, `discard` or `undecided`, first of all.

    Args:
        session: as it stands after the decision.
        candidate: its number.
        before: whether it was decided by an earlier call.
    """
    one = session.of(candidate)
    name = told(session, one)
    sentence = f"{one.choice}: candidate {candidate}{f' ({name})' if name else ''} {reason_of(session, one)}."
    earlier = ["It was decided before; --again compares it once more, as a new candidate."] if before else []
    return Verdict(sentence, one.choice, " ".join([*_advice(one), *earlier, session_verdict(session)]))


def told(session: SessionRow, one: CandidateRow) -> str:
    """Return what tells a candidate from the baseline that it was compared with, in a few words."""
    return shorter(told_apart([_plain(session.baselines[one.epoch].text), _plain(one.text)])[1] or _plain(one.text))


def _plain(text: str) -> str:
    """Return a program without the folders of files that are named from the root on."""
    return " ".join(word.rpartition("/")[2] if word.startswith("/") else word for word in text.split(" "))


_SHORT = {
    Why.BETTER: "better",
    Why.NOT_AHEAD: "not ahead enough to go on",
    Why.NOT_SHOWN: "not shown to be better",
    Why.SAME_BITS: "the bits of the baseline",
    Why.BUDGET: "too few runs left",
    Why.SPREAD: "spreads too much",
    Why.NO_NOISE: "no noise seen",
}


def short_reason_of(session: SessionRow, one: CandidateRow) -> str:
    """Return why a candidate is what it is, for a table that has the numbers."""
    return _SHORT[Why(one.why)] if one.why in [*_SHORT] else "" if one.choice == "open" else reason_of(session, one)


def shorter(text: str) -> str:
    """Return a text that a sentence has room for."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def reason_of(session: SessionRow, one: CandidateRow) -> str:
    """Return why a candidate is what it is, in words that go on from its name."""
    if one.why == Why.SAME_BITS:
        return "trains exactly as the baseline does, bit for bit"
    if one.why == Why.DIVERGED:
        return f"diverged: {one.said}"
    if one.why == Why.CRASHED:
        return f"crashed: {one.said}"
    if one.why == NO_RUN:
        return f"could not be compared: {one.said}"
    if one.choice == "open":
        return f"is being compared after {plural(one.runs, 'run')}"
    if one.why == Why.BUDGET:
        return (
            f"needs more runs than the budget of {plural(session.budget or 0, 'run')} has left{_so_far(session, one)}"
        )
    seen = one.comparison
    if seen is None:
        return one.why
    gap = _gap(session, one)
    if one.why == Why.BETTER:
        return f"{gap} ({_chance(seen)})"
    if one.why == Why.NOT_AHEAD:
        bound = _bound(seen.n)
        if seen.difference <= 0 or bound is None:
            return gap
        errors = f"{number(seen.z, 2)} standard errors, where {number(bound, 3)} are asked"
        return f"{gap}, which is not ahead enough to go on ({errors})"
    if one.why == Why.NOT_SHOWN:
        return f"{gap}, which does not show that it is better ({_chance(seen)})"
    if one.why == Why.SPREAD:
        return f"{gap}, but spreads {number(seen.spread, 3)} times the variance of the baseline, where no rate is known"
    equal = f"the baseline's {plural(seen.n_baseline, 'run')} are all equal"
    return f"{gap}, but {equal}, so that the noise is not known: see that {{seed}} reaches it, or take a finer metric"


def _chance(seen: Comparison) -> str:
    p = p_value(seen.p)
    return f"p {p if p.startswith('under') else f'= {p}'}, at most {number(seen.level, 2)} was asked"


def _gap(session: SessionRow, one: CandidateRow) -> str:
    seen = one.comparison
    assert seen is not None
    metric = f" in {session.metric}" if session.metric else ""
    by = number(abs(seen.difference), 3, session.points)
    after = f"after {plural(seen.n, 'run')}"
    if not seen.difference:
        return f"is as good as the baseline{metric} {after}"
    return f"is {'better' if seen.difference > 0 else 'worse'} by {by}{metric} {after}"


def _so_far(session: SessionRow, one: CandidateRow) -> str:
    return f"; so far it {_gap(session, one)}" if one.comparison is not None else ""


def _bound(n: int) -> float | None:
    rules = GateRules()
    return rules.futility[rules.looks.index(n)] if n in rules.looks[:-1] else None


def _advice(one: CandidateRow) -> Sequence[str]:
    seen = one.comparison
    flagged = seen is not None and seen.flagged and one.why != Why.SPREAD
    said = []
    if one.choice == "keep":
        said.append(
            "It is the baseline from now on, and fresh runs of it will say how good that is: the value that won is too "
            "good on average."
        )
    if one.why == Why.CRASHED:
        said.append(
            "That is no discard: the same command tries again, and a program that is mended is a new candidate."
        )
    if flagged and seen is not None and seen.spread is not None:
        said.append(f"It spreads more than the baseline: {number(seen.spread, 3)} times the variance.")
    return said


def alpha_left(session: SessionRow) -> str:
    """Return how much of the error rate no candidate has used."""
    return f"{number(100 * session.alpha_left, 3, '%')} of {percent(session.error_rate)}"


def session_verdict(session: SessionRow) -> str:
    """Return where a session stands, in one sentence."""
    left = f"α left: {alpha_left(session)}"
    compared = f"{count(session.counted)} of {plural(session.declared, 'candidate')} compared"
    spent = f"{plural(session.runs_spent, 'run')} spent"
    return f"{compared}, {count(session.keeps)} kept; {left}; {spent}."
