"""Keep or discard: one candidate of many against a noisy baseline, so that few of the keeps of a session are false.

A session compares candidates one after the other with a baseline that each keep replaces. Candidate i is tested at

    alpha_i = error_rate (K + 1) / N,   K keeps before it was claimed, N candidates declared

which is LOND with equal weights: the expected share of false keeps among the keeps is at most `error_rate`. At each
look its n runs are compared with the n_b of the baseline, first topped up:

    z = (mean_c - mean_b) / sqrt(v_c / n + sigma^2 / n_b)

sigma^2 is pooled over all baselines of the session. v_c is sigma^2, or from four runs on the candidate's own
variance where that is the larger, then with the degrees of freedom of Welch. Below the look's bound of futility the
candidate is discarded for good; where Student's one-sided p is at most the look's part of alpha_i it is kept. Looks
share alpha_i, so that together they keep a candidate that is no better in at most alpha_i.

Sources: Javanmard and Montanari (2018), Annals of Statistics 46, 526-554 (LOND); Welch (1947), Biometrika 34, 28-35.
Bounds, sizes and parts were chosen by simulation and are simulated in `tests/stats/test_gate_levels.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import stats

from lastbit.stats._inputs import Floats, finite_array, unit_of
from lastbit.stats.gate_session import OWN_SPREAD_FROM, Candidate, GateRules, Session, mean_of, squares_of

__all__ = ["Choice", "Comparison", "Decision", "Why", "look"]


class Choice(StrEnum):
    """What is decided of a candidate."""

    MORE = "more"
    """Nothing yet: run what the decision asks for, and look again."""
    KEEP = "keep"
    DISCARD = "discard"
    UNDECIDED = "undecided"
    """It cannot be told, and why is not that the candidate is no better: never to be read as a discard."""


class Why(StrEnum):
    """The reason of a decision."""

    BASELINE_SHORT = "baseline_short"
    """More: the baseline has fewer runs than the next look needs (the candidate may, too)."""
    CANDIDATE_SHORT = "candidate_short"
    """More: the candidate has fewer runs than the next look needs."""
    BETTER = "better"
    """Keep: p is at most this look's part of alpha_i."""
    NOT_AHEAD = "not_ahead"
    """Discard: z is below the look's bound."""
    NOT_SHOWN = "not_shown"
    """Discard: at the last look p is above its part of alpha_i."""
    SAME_BITS = "same_bits"
    """Discard: the run of the baseline's seed is the baseline's, bit for bit."""
    DIVERGED = "diverged"
    """Discard: a run ended without a finite value, which no mean makes good."""
    CRASHED = "crashed"
    """Undecided: a run raised, was killed or reported no metric, which says nothing of how good the candidate is."""
    BUDGET = "budget"
    """Undecided: fewer runs are left than the next look needs."""
    SPREAD = "spread"
    """Undecided: it would be kept, but it spreads so much more than the baseline that the level does not hold."""
    NO_NOISE = "no_noise"
    """Undecided: it is ahead, but no run of any baseline differs from another, so that the noise is not known."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a look saw.

    Attributes:
        n: runs of the candidate.
        n_baseline: runs of the baseline.
        difference: of the means; positive where the candidate is better.
        sigma: SD of a run, pooled over the session's baselines.
        own_sigma: SD of the candidate's runs; None before four.
        spread: variance of the candidate over the baseline's; None before four runs or where the baseline has none.
        flagged: whether the candidate spreads far more than the baseline.
        df: degrees of freedom of the standard error.
        z: the difference over its standard error.
        p: chance of such a z or a larger one where the candidate is no better; from Student's distribution.
        level: the p at which this look keeps; 0 where it keeps nothing.
    """

    n: int
    n_baseline: int
    difference: float
    sigma: float
    own_sigma: float | None
    spread: float | None
    flagged: bool
    df: float
    z: float
    p: float
    level: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do with a candidate, and why.

    Attributes:
        choice: keep, discard, undecided or more.
        why: the reason.
        alpha: alpha_i of the candidate.
        comparison: the numbers; None where nothing was compared.
        candidate_runs: runs that the candidate shall have in all before the next look; 0 where it is decided.
        baseline_runs: runs that the baseline shall have in all before that.
    """

    choice: Choice
    why: Why
    alpha: float
    comparison: Comparison | None = None
    candidate_runs: int = 0
    baseline_runs: int = 0


def look(rules: GateRules, session: Session, candidate: Candidate, *, higher_is_better: bool) -> Decision:
    """Return what is decided of a candidate by the runs so far.

    Whatever the order in which runs end, and whoever asks: the same numbers give the same decision. Where the runs
    stand between two looks, it says what the next look needs.

    Args:
        rules: what the session declared.
        session: its baselines, and where it stood when the candidate was claimed.
        candidate: its runs.
        higher_is_better: whether a larger value is the better one.

    Raises:
        LastbitError: a value that is not finite.

    Example:
        >>> session = Session.of([[0.90, 0.91, 0.92, 0.91, 0.90]])
        >>> decision = look(GateRules(), session, Candidate(values=(0.87,)), higher_is_better=True)
        >>> print(decision.choice, decision.why, round(decision.comparison.z, 1))
        discard not_ahead -4.1
    """
    alpha = rules.alpha(session.keeps)
    for holds, choice, why in (
        (candidate.same_bits, Choice.DISCARD, Why.SAME_BITS),
        (candidate.diverged, Choice.DISCARD, Why.DIVERGED),
        (candidate.crashed, Choice.UNDECIDED, Why.CRASHED),
    ):
        if holds:
            return Decision(choice=choice, why=why, alpha=alpha)
    baseline = finite_array(session.baseline, "the values of the baseline", 1)
    values = finite_array(candidate.values, "the values of the candidate", 1)
    at = next((k for k, n in enumerate(rules.looks) if n >= len(values)), len(rules.looks) - 1)
    if len(values) < rules.looks[at] or len(baseline) < rules.baseline_sizes[at]:
        return _more(rules, session, len(values), at, None)
    level = alpha * rules.shares[at]
    seen = _compare(rules, session, values if higher_is_better else -values, baseline, level, higher_is_better)
    return _decided(rules, session, at, seen)


def _decided(rules: GateRules, session: Session, at: int, seen: Comparison) -> Decision:
    alpha, last = rules.alpha(session.keeps), at == len(rules.looks) - 1
    too_wide = seen.own_sigma is not None and seen.own_sigma > math.sqrt(rules.most_spread) * seen.sigma
    passes = seen.p <= seen.level > 0
    found: tuple[Choice, Why] | None = None
    if not seen.sigma and seen.difference > 0 and (at or passes):
        # However the candidate spreads, nothing could be kept: more runs of both would be for nothing.
        found = Choice.UNDECIDED, Why.NO_NOISE
    elif passes and not too_wide:
        found = Choice.KEEP, Why.BETTER
    elif last:
        found = (Choice.UNDECIDED, Why.SPREAD) if passes else (Choice.DISCARD, Why.NOT_SHOWN)
    elif seen.z < rules.futility[at]:
        found = Choice.DISCARD, Why.NOT_AHEAD
    if found is None:
        return _more(rules, session, seen.n, at + 1, seen)
    return Decision(choice=found[0], why=found[1], alpha=alpha, comparison=seen)


def _more(rules: GateRules, session: Session, n: int, at: int, seen: Comparison | None) -> Decision:
    """Return the decision to go on to look `at`, or that the runs do not suffice for it."""
    runs, size = max(rules.looks[at], n), rules.baseline_sizes[at]
    missing = max(size - len(session.baseline), 0)
    if session.runs_left is not None and runs - n + missing > session.runs_left:
        choice, why = Choice.UNDECIDED, Why.BUDGET
    else:
        choice, why = Choice.MORE, Why.BASELINE_SHORT if missing else Why.CANDIDATE_SHORT
    return Decision(
        choice=choice,
        why=why,
        alpha=rules.alpha(session.keeps),
        comparison=seen,
        candidate_runs=runs,
        baseline_runs=size,
    )


def _compare(
    rules: GateRules, session: Session, values: Floats, baseline: Floats, level: float, higher: bool
) -> Comparison:
    """Compare values of which larger ones are better with the baseline's, which are still as they came."""
    baseline = baseline if higher else -baseline
    unit = unit_of(np.concatenate([values, baseline, [session.earlier_sigma]]))
    values, baseline = values / unit, baseline / unit
    n, n_b = len(values), len(baseline)
    df = float(session.earlier_df + n_b - 1)
    sigma2 = ((session.earlier_sigma / unit) ** 2 * session.earlier_df + squares_of(baseline)) / df
    own = squares_of(values) / (n - 1) if n >= OWN_SPREAD_FROM else None
    a, b = (sigma2 if own is None else max(own, sigma2)) / n, sigma2 / n_b
    if own is not None and own > sigma2:
        df = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / df)
    difference, error = mean_of(values) - mean_of(baseline), math.sqrt(a + b)
    z = difference / error if error else math.copysign(math.inf, difference) if difference else 0.0
    return Comparison(
        n=n,
        n_baseline=n_b,
        difference=difference * unit,
        sigma=math.sqrt(sigma2) * unit,
        own_sigma=None if own is None else math.sqrt(own) * unit,
        spread=None if own is None or not sigma2 else own / sigma2,
        flagged=own is not None and own > rules.flag_spread * sigma2,
        df=df,
        z=z,
        p=float(stats.t.sf(z, df)),
        level=level,
    )
