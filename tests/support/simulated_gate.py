"""Sessions of a gate, many at once: the fast twin of `lastbit.stats.gate.look`, and the rules that people improvise.

Shapes: S sessions, n runs. A candidate that is no better equals its baseline exactly, which is the hardest case; good
ones are better by 0.5 to 2 SDs of a run, evenly. A keep becomes the baseline of what follows.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from lastbit.stats.gate_session import GateRules


@dataclass(frozen=True)
class World:
    """What a session meets."""

    good: float = 0.1
    """Share of candidates that are better."""
    noise: str = "normal"
    """Of a run: `normal`, `t4`, `skewed` (log-normal of shape 1/2) or `skewed down` (its mirror image); SD 1."""
    variance: float = 1.0
    """Of a candidate's runs, in units of the baseline's."""
    candidates: int = 300
    inherited: bool = False
    """Whether a candidate that was kept has its variance as a baseline, too, and does not return to 1."""

    def draw(self, rng, sessions, n):
        """Return (S, n) runs of mean 0 and variance 1."""
        if self.noise == "t4":
            return rng.standard_t(4, (sessions, n)) / np.sqrt(2)
        if self.noise in ("skewed", "skewed down"):
            side = -1 if self.noise == "skewed down" else 1
            size = np.exp(0.5 * rng.standard_normal((sessions, n)))
            return side * (size - np.exp(0.125)) / np.sqrt((np.exp(0.25) - 1) * np.exp(0.25))
        return rng.standard_normal((sessions, n))

    def effects(self, rng, sessions):
        """Return (S,) by how much the next candidate is better."""
        return np.where(rng.random(sessions) < self.good, rng.uniform(0.5, 2, sessions), 0.0)


class Tally:
    """What became of the candidates of each session."""

    def __init__(self, sessions):
        self.keeps, self.false, self.runs = np.zeros(sessions, int), np.zeros(sessions, int), np.zeros(sessions)
        self.gain = np.zeros(sessions)
        self.good = self.found = self.candidates = 0

    def add(self, effects, kept):
        self.keeps += kept
        self.false += kept & (effects <= 0)
        self.gain += np.where(kept, effects, 0)
        self.good += int((effects > 0).sum())
        self.found += int((kept & (effects > 0)).sum())
        self.candidates += 1

    @property
    def false_share(self):
        """Mean over sessions of the share of keeps that are false, 0 where there is none; and its standard error."""
        share = self.false / np.maximum(self.keeps, 1)
        return float(share.mean()), float(share.std() / np.sqrt(len(share)))

    @property
    def power(self):
        return self.found / max(self.good, 1)

    @property
    def runs_a_candidate(self):
        return float(self.runs.mean() / self.candidates)

    def __str__(self):
        share, error = self.false_share
        power = f", power {self.power:.1%}" if self.good else ""
        return (
            f"{share:.2%} of keeps false (s.e. {error:.2%}){power}, {self.runs_a_candidate:.2f} runs a candidate, "
            f"gain {self.gain.mean():.1f} SD"
        )


class Baselines:
    """The present baseline of each session, and the variance of the earlier ones."""

    def __init__(self, sessions):
        self.n, self.sum, self.square = np.zeros(sessions, int), np.zeros(sessions), np.zeros(sessions)
        self.earlier, self.earlier_df = np.zeros(sessions), np.zeros(sessions)
        self.rows = [[[]] for _ in range(sessions)]

    def top_up(self, size, who, draw, keep_rows):
        """Bring the baselines of sessions `who` to `size` runs; return how many runs that took of each."""
        need = np.where(who, np.maximum(size - self.n, 0), 0)
        if need.max():
            runs = draw(need.max())
            taken = np.where(np.arange(need.max()) < need[:, None], runs, 0.0)
            self.n, self.sum, self.square = self.n + need, self.sum + taken.sum(1), self.square + (taken**2).sum(1)
            if keep_rows:
                for rows, values, count in zip(self.rows, runs, need, strict=True):
                    rows[-1] += values[:count].tolist()
        return need

    def variance(self, at):
        """Return the pooled variance and its degrees of freedom in sessions `at`."""
        df = self.earlier_df[at] + self.n[at] - 1
        return (self.earlier[at] + self._squares()[at]) / df, df

    def renew(self, kept):
        """Begin anew where a candidate was kept."""
        self.earlier = np.where(kept, self.earlier + self._squares(), self.earlier)
        self.earlier_df = np.where(kept, self.earlier_df + self.n - 1, self.earlier_df)
        self.n, self.sum, self.square = (np.where(kept, 0, x) for x in (self.n, self.sum, self.square))
        for session in np.flatnonzero(kept):
            self.rows[session].append([])

    def _squares(self):
        return self.square - self.sum**2 / np.maximum(self.n, 1)


def gate(world, rules, *, own_above=1.0, sessions=1000, seed=0, observe=None):
    """Run sessions by the rules; `observe(rows, values, keeps, k, kept, dropped)` hears every look of every session.

    A candidate's own variance counts where it is more than `own_above` times the baseline's: `look` takes 1.
    """
    rng, spread = np.random.default_rng(seed), np.ones((sessions, 1))
    tally, base = Tally(sessions), Baselines(sessions)

    def draw(n):
        return world.draw(rng, sessions, n)

    def draw_baseline(n):
        return draw(n) * spread

    for _ in range(world.candidates):
        effects, alpha = world.effects(rng, sessions), rules.error_rate * (tally.keeps + 1) / rules.candidates
        alive, kept, values = np.ones(sessions, bool), np.zeros(sessions, bool), np.zeros((sessions, 0))
        for k, (n, size) in enumerate(zip(rules.looks, rules.baseline_sizes, strict=True)):
            tally.runs += base.top_up(size, alive, draw_baseline, observe is not None)
            new = n - values.shape[1]
            values = np.hstack([values, draw(new) * np.sqrt(world.variance) + effects[:, None]])
            tally.runs += alive * new
            at = np.flatnonzero(alive)
            sigma2, df = base.variance(at)
            a, b = sigma2 / n, sigma2 / base.n[at]
            wide = np.zeros(len(at), bool)
            if n >= 4:
                own = values[at].var(1, ddof=1)
                larger, wide = own > own_above * sigma2, own > rules.most_spread * sigma2
                a = np.where(larger, own, sigma2) / n
                df = np.where(larger, (a + b) ** 2 / (a**2 / (n - 1) + b**2 / df), df)
            z = (values[at].mean(1) - base.sum[at] / base.n[at]) / np.sqrt(a + b)
            keep = (stats.t.sf(z, df) <= alpha[at] * rules.shares[k]) & ~wide if rules.shares[k] else wide & False
            last = k == len(rules.looks) - 1
            drop = ~keep & (z < (np.inf if last else rules.futility[k]))
            if observe:
                for one, session in enumerate(at):
                    observe(base.rows[session], values[session], tally.keeps[session], k, keep[one], drop[one])
            kept[at] |= keep
            alive[at] &= ~keep & ~drop
            if not alive.any():
                break
        tally.add(effects, kept)
        base.renew(kept)
        if world.inherited:
            spread[kept] = np.sqrt(world.variance)
    return tally


def twice_the_difference(world, *, sessions=1000, seed=0):
    """Keep a single run that is ahead of the last one kept by twice the difference of two baseline runs."""
    rng = np.random.default_rng(seed)
    tally, level = Tally(sessions), np.zeros(sessions)
    first = world.draw(rng, sessions, 2)
    tally.runs += 2
    best, margin = first.mean(1), 2 * np.abs(first[:, 0] - first[:, 1])
    for _ in range(world.candidates):
        effects = world.effects(rng, sessions)
        run = level + effects + world.draw(rng, sessions, 1)[:, 0] * np.sqrt(world.variance)
        kept = run > best + margin
        best, level = np.where(kept, run, best), np.where(kept, level + effects, level)
        tally.runs += 1
        tally.add(effects, kept)
    return tally


def one_run(world, *, z=1.6449, baseline=5, sessions=1000, seed=0):
    """Keep a single run whose z against five fresh baseline runs is above 1.64 (one-sided 5%), the SD known."""
    rng = np.random.default_rng(seed)
    tally, level = Tally(sessions), np.zeros(sessions)
    mean = world.draw(rng, sessions, baseline).mean(1)
    tally.runs += baseline
    for _ in range(world.candidates):
        effects = world.effects(rng, sessions)
        run = level + effects + world.draw(rng, sessions, 1)[:, 0] * np.sqrt(world.variance)
        kept = run > mean + z * np.sqrt(1 + 1 / baseline)
        level = np.where(kept, level + effects, level)
        mean = np.where(kept, level + world.draw(rng, sessions, baseline).mean(1), mean)
        tally.runs += 1 + baseline * kept
        tally.add(effects, kept)
    return tally


def rules_to_eight(candidates=300):
    """Return rules that look for the last time at 8 runs, for comparison: they cost more and find less."""
    return GateRules(
        candidates=candidates,
        looks=(1, 2, 4, 8),
        baseline_sizes=(5, 8, 16, 32),
        futility=(0.0, 0.5, 1.0),
        shares=(0.0, 0.0, 0.0, 1.0),
    )
