"""One sentence that a person can act on."""

from __future__ import annotations

from dataclasses import dataclass

from lastbit.report.formatting import count, number, percent, plural, reason, show, step
from lastbit.stats import proportion_estimate
from lastbit.studies.audit.controls import Divergence
from lastbit.studies.audit.metrics import Printed
from lastbit.studies.audit.spreads import Spreads
from lastbit.studies.frame.control import OWN_NOT_REPRODUCIBLE, Control, Landing
from lastbit.studies.frame.result import Verdict

__all__ = ["Asked", "verdict"]

_HARDLY, _MOSTLY = 0.1, 0.5
"""Shares of the variance: below the one the last bit is hardly any of it, above the other most of it."""

_VARY_BOTH = "Ask for at least 2 seeds and 2 perturbations."


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The grid that was asked for, and whether all of it is in: what is missing may have been varied all the same."""

    seeds: int
    perturbations: int
    finished: bool
    own: bool = False
    """Whether a command or a function trains, which decides its device itself."""

    @property
    def missing(self) -> str:
        """What became of runs that were asked for and are not there."""
        return "are not in yet" if not self.finished else "have no result"


def verdict(
    control: Control,
    landing: Landing,
    spreads: Spreads,
    divergence: Divergence,
    asked: Asked,
    printed: Printed | None = None,
) -> Verdict:
    """Return the verdict of an audit as a sentence, as one of a few fixed words, and what to do about it.

    The words: `not_reproducible`, `all_diverged`, `not_landed`, `not_finite` (no run has a finite metric), `no_runs`,
    `not_measured` (too small a grid, or a command's digits hide what the last bit changes), `no_spread`, `mixed` (some
    runs diverged, or what holds over all seeds does not hold for each), `mostly_last_bit` (the interval of the share
    begins above one half), `hardly_last_bit` (it ends below a tenth, or none was seen where a tenth would have been
    printed), `partly_last_bit` (anything between, or too few seeds to tell).
    """
    # No spread in what is printed is no sign of none in what is computed.
    hiding = printed if spreads.sigma_last_bit.estimate == 0 else None
    said = _without_spreads(control, landing, spreads, divergence, asked) or (
        _hidden(spreads, asked, hiding) if hiding is not None else _of_spreads(spreads, asked)
    )
    if not 0 < divergence.diverged < divergence.runs or spreads.metric.mean.estimate is None:
        return said
    bit = ", and the last bit decided which" if divergence.parted else ""
    where = f"in {divergence.seeds_with} of {plural(divergence.seeds, 'seed')}"
    return Verdict(
        f"{count(divergence.diverged)} of {plural(divergence.runs, 'run')} diverged{bit} ({where}; "
        f"for another seed, the chance is {show(divergence.chance, '%')}); of the others: {said.sentence}",
        "mixed",
        f"Train with a smaller learning rate: no spread holds a run that diverged. {said.advice}",
    )


def _of_spreads(spreads: Spreads, asked: Asked) -> Verdict:
    """Return what is said of the runs that have a metric."""
    name, sigma, total = spreads.metric.name, spreads.sigma_last_bit, spreads.sigma_total
    if total.estimate is None:
        return _one_seed(spreads, asked)
    if not total.estimate:
        return Verdict(
            f"all {total.n} runs reached the same {name}: no spread to attribute.",
            "no_spread",
            "Look at the loss and the churn below, which resolve smaller differences.",
        )
    noise, share = _noise(spreads), spreads.last_bit_variance_share
    if share.estimate is None:
        varied = asked.perturbations > 1
        why = f": the perturbed runs {asked.missing}" if varied else ""
        sentence = f"{noise}; how much of it is the last bit is not measured{why}."
        return Verdict(sentence, "not_measured", "" if varied else _VARY_BOTH)
    few = _few(spreads)
    if not sigma.estimate:
        return Verdict(
            f"{noise}, and none of it seen here is the last bit: changing it moved {name} in none of {sigma.n} runs.",
            "hardly_last_bit",
            f"Look at the test loss and the weight distance, which resolve smaller differences.{few}",
        )
    part = f"{percent(share.estimate)} of the variance ({show(share, '%').words})"
    if share.high is not None and share.high < _HARDLY:
        return _for_each_seed(spreads, "more than a tenth") or Verdict(
            f"{noise}, and hardly any of it is the last bit: {part}.",
            "hardly_last_bit",
            f"The seed decides: fixing it makes runs comparable, averaging over seeds makes them general.{few}",
        )
    if share.low is not None and share.low > _MOSTLY:
        return _for_each_seed(spreads, "less than half") or Verdict(
            f"{noise}, and most of that noise is the last floating-point bit: {part}.",
            "mostly_last_bit",
            "Fixing the seed would not remove it: any change of hardware, library or batch order brings it back. "
            f"Average over several runs, or train with a smaller learning rate or weight decay.{few}",
        )
    return Verdict(
        f"{noise}, and the last floating-point bit alone accounts for {part}.",
        "partly_last_bit",
        f"Fixing the seed removes only the rest: average over several runs before you believe a difference.{few}",
    )


def _hidden(spreads: Spreads, asked: Asked, printed: Printed) -> Verdict:
    """Return what is said where no run printed another number for the last bit's sake, in so many digits.

    Runs of a seed that print the same differ by less than a step d, so that their SD is below d/sqrt(2) (of two numbers
    that are a step apart; of more it is smaller) and the last bit's share below d^2 / (2 SD^2) of that of all runs.
    """
    name, total = spreads.metric.name, spreads.sigma_total
    more = "Have it print more digits, or write the number to a file that --metric-file reads."
    shown = f"{plural(printed.digits, 'digit')}, which {'hides' if printed.digits == 1 else 'hide'} any smaller change"
    hidden = f"The command prints {name} with {shown}: the weights moved all the same."
    if total.estimate is None:
        return Verdict(f"{_one_seed(spreads, asked).sentence} {hidden}", "not_measured", more)
    if not total.estimate:
        return Verdict(f"all {total.n} runs printed the same {name}. {hidden}", "not_measured", more)
    unmoved = f"changing it moved {name} in none of {plural(spreads.sigma_last_bit.n, 'run')}"
    step, most = printed.hidden_below, 1.0
    if step is not None:
        most = (step / total.estimate) ** 2 / 2
    if step is None or most >= _HARDLY:
        sentence = f"{_noise(spreads)}; how much of it is the last bit is not measured: {unmoved}. {hidden}"
        return Verdict(sentence, "not_measured", more)
    return Verdict(
        f"{_noise(spreads)}, and hardly any of it is the last bit: {unmoved} by the {number(step, 2, spreads.points)} "
        f"that its {plural(printed.digits, 'digit')} show, which is at most {percent(most)} of the variance.",
        "hardly_last_bit",
        "The seed decides: fixing it makes runs comparable, averaging over seeds makes them general. To measure the "
        f"last bit's part too, have the command print more digits.{_few(spreads)}",
    )


def _noise(spreads: Spreads) -> str:
    """Return how far two single runs differ by noise, and which true difference is found: two numbers, two names."""
    name, single = spreads.metric.name, spreads.smallest_resolvable_difference[0]
    if single.observed.estimate is None:
        return f"how far two single runs differ in {name} by noise is not known ({reason(single.observed)})"
    observed = show(single.observed, spreads.points)
    text = f"between two single runs, noise alone exceeds an observed difference in {name} of {observed} in 5% of cases"
    if single.difference.estimate is None:
        return f"{text}, and which true difference is found is not known ({reason(single.difference)})"
    return f"{text}, a true difference is found with 80% power from {show(single.difference, spreads.points)} on"


def _for_each_seed(spreads: Spreads, than: str) -> Verdict | None:
    """Return what is said where the share over all seeds does not hold for each; None where it may.

    A seed's own share is that of its last-bit variance in itself and the variance of the seeds; it differs where the
    whole interval lies on the other side of the line.
    """
    share, between = spreads.last_bit_variance_share, (spreads.sigma_seed.estimate or 0.0) ** 2
    more = than == "more than a tenth"
    others = 0
    known = [seed for seed in spreads.last_bit_by_seed if seed.estimate is not None]
    for seed in known:
        end = seed.low if more else seed.high
        if end is None:
            continue
        own = end**2 / (end**2 + between) if end else 0.0
        others += own > _HARDLY if more else own < _MOSTLY
    if not others:
        return None
    chance = show(proportion_estimate(others, len(known)), "%")
    return Verdict(
        f"{_noise(spreads)}; over all seeds the last floating-point bit accounts for {percent(share.estimate)} of the "
        f"variance ({show(share, '%').words}), but for {than} in {others} of {plural(len(known), 'seed')} "
        f"(for another seed, the chance is {chance}).",
        "mixed",
        f"Do not carry the share over from one seed to another: look at the runs of each.{_few(spreads)}",
    )


def _without_spreads(
    control: Control, landing: Landing, spreads: Spreads, divergence: Divergence, asked: Asked
) -> Verdict | None:
    """Return what is said where a control failed, or no run has a finite result."""
    where = control.first_difference
    if where is not None:
        values = "" if where.base is None else f": {number(where.base, 9)} against {number(where.repeat, 9)}"
        return Verdict(
            f"not reproducible here: an exact repeat of seed {where.cell} first differs at {step(where.step)} "
            f"({where.what}{values}), so no spread can be attributed to the last bit.",
            "not_reproducible",
            OWN_NOT_REPRODUCIBLE
            if asked.own
            else "Look for a random draw that no seed governs, or an operation without a deterministic algorithm; "
            "--device cpu --workers 1 rules most of them out.",
        )
    if spreads.metric.mean.estimate is not None:
        return None
    why = reason(spreads.metric.mean)
    if divergence.diverged and divergence.diverged == divergence.runs:
        return Verdict(
            f"every run {'' if asked.finished else 'so far '}diverged ({plural(divergence.runs, 'run')}): there is no "
            "result to compare.",
            "all_diverged",
            "Train with a smaller learning rate, and see below where each run diverged.",
        )
    if landing.landed_fraction == 0:
        return Verdict(
            f"the perturbation ({landing.kind}) changed no weight in any run: there is no last-bit spread.",
            "not_landed",
            "Choose another --perturb, or a learning rate whose updates reach the weights' last bit.",
        )
    if control.pairs and spreads.metric.mean.n and (landing.twins or asked.perturbations == 1):
        return Verdict(
            f"no spread can be reported: {why}.",
            "not_finite",
            f"Look at how {spreads.metric.name} is computed: a division by zero or a logarithm of zero makes it so.",
        )
    return Verdict(f"no spread can be reported: {why}.", "no_runs", "See how each run ended below.")


def _one_seed(spreads: Spreads, asked: Asked) -> Verdict:
    """Return what is said where the runs of one seed at most are in."""
    name, sigma = spreads.metric.name, spreads.sigma_last_bit
    if sigma.estimate is None:
        others = [what for what, of in (("last bit", asked.perturbations), ("seed", asked.seeds)) if of > 1]
        advice = "" if len(others) == 2 else _VARY_BOTH
        if asked.finished and others:
            advice = f"See below how the runs that failed ended. {advice}".strip()
        why = "neither the last bit nor the seed was varied"
        if others:
            why = f"the runs with another {' or '.join(others)} {asked.missing}"
        sentence = f"one run of {name} says nothing of its spread: the control repeated bit for bit, but {why}."
        return Verdict(sentence, "not_measured", advice)
    shown, others_asked = show(sigma, spreads.points), asked.seeds > 1
    rest = f"the runs of other seeds {asked.missing}" if others_asked else "the spread over seeds is not measured"
    return Verdict(
        f"with one seed, changing only the last bit moves {name} by σ = {shown.value} ({shown.words}, n = {shown.n}); "
        f"{rest}.",
        "not_measured",
        "" if others_asked else "Ask for at least 2 seeds to set the last bit beside them.",
    )


def _few(spreads: Spreads) -> str:
    seeds = spreads.sigma_seed.n
    return f" Few seeds ({seeds}): read the intervals, not the estimates." if seeds < 10 else ""
