"""The one number that each kind of study is asked for, from the result as it is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.report.formatting import RATIO, RATIO_DIGITS, decades, number, show, show_ratio, step
from lastbit.stats import Estimate

__all__ = ["headline"]


def headline(kind: str, result: Mapping[str, Any]) -> str:
    """Return the number with its name; "" where the result has none.

    Args:
        kind: of the study.
        result: content of `result.json`, of this format or a former one.
    """
    try:
        return _OF_KIND[kind](result) if kind in _OF_KIND else ""
    except (LookupError, TypeError, ValueError, AttributeError, LastbitError):
        return ""


def _estimate(name: str, content: Mapping[str, Any], unit: str = "", **how: int) -> str:
    value, low, high = (content.get(field) for field in ("estimate", "low", "high"))
    found = Estimate(estimate=value, low=low, high=high, n=int(content.get("n", 0)))
    shown = show(found, "points" if unit == "%" else unit, **how)
    interval = f" ({shown.interval})" if shown.interval else ""
    return f"{name} {shown.value}{interval}" if shown.measured else ""


def _sigma(result: Mapping[str, Any]) -> str:
    return _estimate("σ last bit", result["sigma_last_bit"], str(result["metric"]["unit"]))


def _difference(result: Mapping[str, Any]) -> str:
    return _estimate("difference", result["difference"], str(result["unit"]))


def _left(result: Mapping[str, Any]) -> str:
    named = [result["confirmation"]] if result["confirmation"] else result["changes"]
    first = named[0]
    ratio = Estimate(**{one: first[_of_judged(result)][one] for one in ("estimate", "low", "high", "n")})
    return f"{first['name']} leaves {show_ratio(ratio).value} of σ last bit"


def _of_judged(result: Mapping[str, Any]) -> str:
    return "loss_last_bit" if result["judged_by"] == "test_loss" else "metric_last_bit"


def _rise(result: Mapping[str, Any]) -> str:
    return f"rise {decades(float(result['decades']))} decades"


def _ratio(result: Mapping[str, Any]) -> str:
    return _estimate(RATIO, result["ratio_tail"], digits=RATIO_DIGITS)


def _ratio_now(result: Mapping[str, Any]) -> str:
    return f"{RATIO} {number(float(result['whole']['ratio']), RATIO_DIGITS)}"


def _same(result: Mapping[str, Any]) -> str:
    first = result["first_step"]
    return _steps(result) if first is None else f"differs from {step(int(first))} on"


def _steps(result: Mapping[str, Any]) -> str:
    return f"compared steps {int(result['steps'])}"


_OF_KIND: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "audit": _sigma,
    "compare": _difference,
    "trace": _rise,
    "eos": _ratio,
    "sharpness": _ratio_now,
    "doctor": _steps,
    "same": _same,
    "remedy": _left,
}
