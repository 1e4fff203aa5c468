"""One sentence that a person can act on."""

from __future__ import annotations

from typing import Any

__all__ = ["verdict"]


def verdict(result: dict[str, Any]) -> tuple[str, str, str]:
    """Return the verdict of an audit's result as a sentence, as one of a few fixed words, and what to do about it.

    The words: `not_reproducible`, `not_landed`, `no_runs`, `not_measured` (too small a grid), `no_spread`,
    `mostly_last_bit` (the interval of the share begins above one half), `hardly_last_bit` (it ends below a tenth),
    `partly_last_bit` (anything between, or too few seeds to tell).
    """
    silent = _without_estimates(result)
    if silent is not None:
        return silent
    name, unit = result["metric"]["name"], result["metric"]["unit"]
    points = " points" if unit == "%" else f" {unit}".rstrip()
    sigma = result["sigma_last_bit"]
    if result["sigma_total"]["estimate"] is None:
        if sigma["estimate"] is None:
            return (
                f"one run of {name} says nothing of its spread: the control repeated bit for bit, but neither the last "
                "bit nor the seed was varied.",
                "not_measured",
                "Ask for at least 2 seeds and 2 perturbations.",
            )
        return (
            f"with one seed, changing only the last bit moves {name} by σ = {_number(sigma['estimate'])}{points} "
            f"({_interval(sigma)}, n = {sigma['n']}); the spread over seeds is not measured.",
            "not_measured",
            "Ask for at least 2 seeds to set the last bit beside them.",
        )
    single = result["smallest_resolvable_difference"][0]["difference"]
    if not result["sigma_total"]["estimate"]:
        return (
            f"all {result['sigma_total']['n']} runs reached the same {name}: no spread to attribute.",
            "no_spread",
            "Look at the loss and the churn below, which resolve smaller differences.",
        )
    noise = (
        f"between two single runs, a difference in {name} below {_number(single['estimate'])}{points} cannot be told "
        "from noise"
    )
    share = result["last_bit_variance_share"]
    if share["estimate"] is None:
        return (
            f"{noise}; how much of it is the last bit is not measured.",
            "not_measured",
            "Ask for at least 2 seeds and 2 perturbations.",
        )
    if not sigma["estimate"]:
        return (
            f"{noise}, and none of it seen here is the last bit: changing it moved {name} in none of "
            f"{sigma['n']} runs.",
            "hardly_last_bit",
            f"Look at the test loss and the weight distance, which resolve smaller differences.{_few(result)}",
        )
    part = (
        f"{_percent(share['estimate'])} of the variance "
        f"(95% interval {_percent(share['low'])} to {_percent(share['high'])})"
    )
    few = _few(result)
    if share["high"] is not None and share["high"] < 0.1:
        return (
            f"{noise}, and hardly any of it is the last bit: {part}.",
            "hardly_last_bit",
            f"The seed decides: fixing it makes runs comparable, averaging over seeds makes them general.{few}",
        )
    if share["low"] is not None and share["low"] > 0.5:
        return (
            f"{noise}, and most of that noise is the last floating-point bit: {part}.",
            "mostly_last_bit",
            "Fixing the seed would not remove it: any change of hardware, library or batch order brings it back. "
            f"Average over several runs, or train with a smaller learning rate or weight decay.{few}",
        )
    return (
        f"{noise}, and the last floating-point bit alone makes {part}.",
        "partly_last_bit",
        f"Fixing the seed removes only the rest: average over several runs before you believe a difference.{few}",
    )


def _without_estimates(result: dict[str, Any]) -> tuple[str, str, str] | None:
    control, landing = result["control"], result["perturbation"]
    if control["first_difference"] is not None:
        where = control["first_difference"]
        values = "" if where["base"] is None else f": {where['base']:.9g} against {where['repeat']:.9g}"
        return (
            f"not reproducible here: an exact repeat of seed {where['cell']} first differs at step {where['step']} "
            f"({where['what']}{values}), so no spread can be laid to the last bit.",
            "not_reproducible",
            "Look for a random draw that no seed governs, or an operation without a deterministic algorithm; "
            "--device cpu --workers 1 rules most of them out.",
        )
    failed = [name for name in ("mean",) if result.get(name, result["metric"].get("mean", {}))["estimate"] is None]
    if failed and landing["landed_fraction"] == 0:
        return (
            f"the perturbation ({landing['kind']}) changed no weight in any run: there is no last-bit spread.",
            "not_landed",
            "Choose another --perturb, or a learning rate whose updates reach the weights' last bit.",
        )
    if failed:
        return (
            f"no spread can be reported: {result['metric']['mean']['note'].removeprefix('not measured: ')}.",
            "no_runs",
            "See how each run ended below.",
        )
    return None


def _few(result: dict[str, Any]) -> str:
    seeds = result["sigma_seed"]["n"]
    return f" Few seeds ({seeds}): read the intervals, not the estimates." if seeds < 10 else ""


def _number(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _percent(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{100 * value:.0f}%" if value >= 0.01 or value == 0 else f"{100 * value:.2g}%"


def _interval(estimate: dict[str, Any]) -> str:
    low, high = estimate["low"], estimate["high"]
    if low is None or high is None:
        return "no interval"
    return f"95% interval {_number(low)} to {_number(high)}"
