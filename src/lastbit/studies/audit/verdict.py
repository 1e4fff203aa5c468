"""One sentence that a person can act on."""

from __future__ import annotations

from lastbit.report.formatting import number, percent, reason, show, step
from lastbit.studies.audit.spreads import Spreads
from lastbit.studies.frame.control import Control, Landing
from lastbit.studies.frame.result import Verdict

__all__ = ["verdict"]

_VARY_BOTH = "Ask for at least 2 seeds and 2 perturbations."


def verdict(control: Control, landing: Landing, spreads: Spreads) -> Verdict:
    """Return the verdict of an audit as a sentence, as one of a few fixed words, and what to do about it.

    The words: `not_reproducible`, `not_landed`, `no_runs`, `not_measured` (too small a grid), `no_spread`,
    `mostly_last_bit` (the interval of the share begins above one half), `hardly_last_bit` (it ends below a tenth),
    `partly_last_bit` (anything between, or too few seeds to tell).
    """
    silent = _without_spreads(control, landing, spreads)
    if silent is not None:
        return silent
    name, sigma, total = spreads.metric.name, spreads.sigma_last_bit, spreads.sigma_total
    if total.estimate is None:
        return _one_seed(spreads)
    if not total.estimate:
        return Verdict(
            f"all {total.n} runs reached the same {name}: no spread to attribute.",
            "no_spread",
            "Look at the loss and the churn below, which resolve smaller differences.",
        )
    single = show(spreads.smallest_resolvable_difference[0].difference, spreads.points)
    noise = f"between two single runs, a difference in {name} below {single.value} cannot be distinguished from noise"
    share = spreads.last_bit_variance_share
    if share.estimate is None:
        return Verdict(f"{noise}; how much of it is the last bit is not measured.", "not_measured", _VARY_BOTH)
    few = _few(spreads)
    if not sigma.estimate:
        return Verdict(
            f"{noise}, and none of it seen here is the last bit: changing it moved {name} in none of {sigma.n} runs.",
            "hardly_last_bit",
            f"Look at the test loss and the weight distance, which resolve smaller differences.{few}",
        )
    part = f"{percent(share.estimate)} of the variance ({show(share, '%').words})"
    if share.high is not None and share.high < 0.1:
        return Verdict(
            f"{noise}, and hardly any of it is the last bit: {part}.",
            "hardly_last_bit",
            f"The seed decides: fixing it makes runs comparable, averaging over seeds makes them general.{few}",
        )
    if share.low is not None and share.low > 0.5:
        return Verdict(
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


def _without_spreads(control: Control, landing: Landing, spreads: Spreads) -> Verdict | None:
    """Return what is said where a control failed."""
    where = control.first_difference
    if where is not None:
        values = "" if where.base is None else f": {number(where.base, 9)} against {number(where.repeat, 9)}"
        return Verdict(
            f"not reproducible here: an exact repeat of seed {where.cell} first differs at {step(where.step)} "
            f"({where.what}{values}), so no spread can be attributed to the last bit.",
            "not_reproducible",
            "Look for a random draw that no seed governs, or an operation without a deterministic algorithm; "
            "--device cpu --workers 1 rules most of them out.",
        )
    if spreads.metric.mean.estimate is not None:
        return None
    if landing.landed_fraction == 0:
        return Verdict(
            f"the perturbation ({landing.kind}) changed no weight in any run: there is no last-bit spread.",
            "not_landed",
            "Choose another --perturb, or a learning rate whose updates reach the weights' last bit.",
        )
    return Verdict(
        f"no spread can be reported: {reason(spreads.metric.mean)}.", "no_runs", "See how each run ended below."
    )


def _one_seed(spreads: Spreads) -> Verdict:
    name, sigma = spreads.metric.name, spreads.sigma_last_bit
    if sigma.estimate is None:
        return Verdict(
            f"one run of {name} says nothing of its spread: the control repeated bit for bit, but neither the last "
            "bit nor the seed was varied.",
            "not_measured",
            _VARY_BOTH,
        )
    shown = show(sigma, spreads.points)
    return Verdict(
        f"with one seed, changing only the last bit moves {name} by σ = {shown.value} ({shown.words}, n = {shown.n}); "
        "the spread over seeds is not measured.",
        "not_measured",
        "Ask for at least 2 seeds to set the last bit beside them.",
    )


def _few(spreads: Spreads) -> str:
    seeds = spreads.sigma_seed.n
    return f" Few seeds ({seeds}): read the intervals, not the estimates." if seeds < 10 else ""
