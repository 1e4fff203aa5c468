"""What `result.json` of before says, looked up in what it says now: every field, under the list of renamed fields.

Whoever renames, moves or removes a field of a result adds it here and to "Renamed fields" in CHANGELOG.md. Nothing else
of an old result may be missing, and no number may have changed.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

AXES = ("lr", "momentum", "weight_decay", "depth", "width", "kernel")

OF_TASK = (
    "task",
    "model",
    "activation",
    "loss",
    "optimizer",
    "nesterov",
    "schedule",
    "train_size",
    "batch_size",
    "data_root",
)
"""Settings that edge-of-stability studies kept among their own, and that are the program's now."""

OF_A_TRAINING = ("steps", "seeds", "twins", "perturb", "every", "flow")
"""Settings of a whole training, which a measurement kept among its own without using them."""

RENAMED: dict[str, dict[str, str | None]] = {
    "audit": {
        "perturbation.perturbed_runs": "perturbation.twins",
        "control.first_difference.seed": "control.first_difference.cell",
        "runs[].seed": "runs[].cell",
        "runs[].perturbation": "runs[].twin",
        "runs[].control": None,
        "smallest_resolvable_difference": None,  # of two seeds: 53 points of accuracy was no number to act on
        "seeds_needed": None,  # of two seeds: 278,105
        "verdict": None,  # it named the 53 points
        # A percentage ends at 0 and 100, and no standard deviation of one is beyond 50.
        **dict.fromkeys(("metric.mean.high", "sigma_last_bit.high", "sigma_seed.high", "sigma_total.high")),
        **{
            f"distribution.{part}.{spread}.high": None
            for part in ("last_bit", "total")
            for spread in ("observed", "distribution", "test_set")
        },
        "spec.audit": "spec.settings",
        "spec.task": "spec.program",
    },
    "trace": {
        "verdict": "verdict_kind",
        "sentence": "verdict",
        "members[].verdict": "members[].verdict_kind",
        "members_planned": "runs_planned",
        "spec.trace": "spec.settings",
        "spec.trace.lr": None,
        "spec.fingerprint": None,  # of a sweep it covers the task of every training now
        "execution": None,  # was empty, says workers and threads now
        "spec.task": "spec.program",
        **{
            f"{where}{old}": f"{where}{new}"
            for where in ("", "members[].")
            for old, new in {
                "control.max_difference": "control_max_difference",
                "control.max_ulp": "control_max_ulp",
                "perturbation.first_step_share": "perturbation.first_step_share.median",
                "perturbation.last_step_share": "perturbation.last_step_share.median",
            }.items()
        },
        "runs[].control": None,
    },
    "eos": {
        "spec.eos": "spec.settings",
        **{f"spec.eos.{name}": f"spec.program.{name}" for name in OF_TASK},
        **{f"spec.eos.{axis}": None for axis in AXES},  # a list, of one value too
        "spec.fingerprint": None,  # of cells that differ in their seed alone, one counts
        **{f"{where}.settings.parameters": None for where in ("cells[]", "task")},  # was wrong
        "cells_planned": "runs_planned",
        "cells_finished": "runs_finished",
        **{f"cells[].{axis}": f"cells[].axes.{axis}" for axis in AXES},
        **{
            f"{cell}control.{before}": now and f"{cell}{now}"
            for cell in ("", "cells[].")
            for before, now in {
                "largest_distance": "repeat_distance",
                "twins": "landing.twins",
                "twins_landed": None,
            }.items()
        },
        "control.largest_distance": "cells[0].repeat_distance",
        "verdict_kind": None,  # of a sweep: was that of one of its trainings, is `mixed` where they differ
        # Intervals of tails allow for the correlation that was found, and count what a tail is worth.
        **{
            f"{cell}{tail}.{name}": None
            for cell in ("", "cells[].")
            for tail in ("ratio_tail", "sharpness_tail")
            for name in ("low", "high", "n", "note")
        },
    },
    "sharpness": {
        **{f"spec.{name}": f"spec.settings.{name}" for name in ("after", "by")},
        "spec.checkpoint": None,  # empty text where there was none
        **{f"spec.settings.{name}": f"spec.program.{name}" for name in OF_TASK},
        **{f"spec.settings.{name}": None for name in (*AXES, *OF_A_TRAINING)},
    },
}
"""By kind of study: path of before (`members[].verdict`) to path of now, None where it was removed. It holds for what
is below the path too, and the longest path counts."""

INFINITE = {
    "growth_rate_interval",
    "slope_interval",
    "max_lr",
    "lr_factor",
    "decay_interval",
}
"""Last parts of paths where null was written for an infinity too, which is "inf" or "-inf" now."""

SENTENCES = {"verdict", "sentence", "advice", "note", "reason"}
"""Last parts of paths under which sentences stand: their wording may change, and how many digits a number shows."""

_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def differences(
    kind: str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    rel: float = 0.0,
    without: frozenset[str] = frozenset(),
) -> list[str]:
    """Return a line for every field of `before` that `now` lacks, or has another value of.

    Args:
        kind: of the study, as in `RENAMED`; one that is not there has renamed nothing.
        before: the result as the code of before wrote it.
        now: the result as it is written today.
        rel: relative tolerance of numbers; 0 asks for the same bits.
        without: last parts of paths that are left out, such as `seconds`.
    """
    said = dict(_leaves(now))
    found = []
    for path, value in _leaves(before):
        if without & set(re.split(r"[.\[]", path)):
            continue
        new = _path_now(kind, path)
        if new is None:
            continue
        if value in ({}, []) and any(other.startswith((f"{new}.", f"{new}[")) for other in said):
            continue  # what held nothing holds something now
        if new not in said:
            found.append(f"{path} ({value!r}) is missing" + (f" at {new}" if new != path else ""))
            continue
        last = [part for part in re.split(r"[.\[]", path) if not part.endswith("]")][-1]
        if value is None and last in INFINITE and said[new] in ("inf", "-inf"):
            continue
        if not _same(value, said[new], rel, sentence=last in SENTENCES):
            found.append(f"{path} was {value!r}, now {said[new]!r}")
    return found


def same_numbers(before: str, now: str) -> bool:
    """Return whether two sentences hold the same numbers in the same order, to the digits that both show.

    An interval of a tail that is called too correlated now is left out of what was said.
    """
    if "too correlated to say" in now:
        before = re.sub(r" \(95% interval [^)]*\)", "", before, count=1)
    old, new = _NUMBER.findall(before), _NUMBER.findall(now)
    return len(old) == len(new) and all(map(_same_to_shared_digits, old, new))


def _same_to_shared_digits(one: str, two: str) -> bool:
    digits = min(len(re.sub(r"e.*|[^\d]", "", text).lstrip("0")) or 1 for text in (one, two))
    return len({f"{float(text.replace(',', '')):.{digits}g}" for text in (one, two)}) == 1


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that holds no others, with its path; an empty list or mapping too."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]")
    else:
        yield path, list(value) if isinstance(value, tuple) else value


def _pattern(path: str) -> str:
    return re.sub(r"\[\d+\]", "[]", path)


def _path_now(kind: str, path: str) -> str | None:
    """Return the path of today: that of the longest renamed part in front, with its numbers in order."""
    table = RENAMED.get(kind, {})
    pattern = _pattern(path)
    fits = [old for old in table if pattern == old or pattern.startswith((f"{old}.", f"{old}["))]
    if not fits:
        return path
    old = max(fits, key=len)
    new = table[old]
    if new is None:
        return None
    numbers = iter(re.findall(r"\[\d+\]", path))
    return re.sub(r"\[\]", lambda _: next(numbers), new + pattern[len(old) :])


def _options(command: str) -> list[str]:
    """Return what a command or a Python call asks for, whatever the order; `sharpness` took its task without a flag."""
    called, *options = re.split(r" (?=--)|, (?=\w+=)", command.removesuffix(")"))
    words = called.split()
    if words[:2] == ["lastbit", "sharpness"] and len(words) == 3:
        called, options = "lastbit sharpness", [f"--task {words[2]}", *options]
    return [called, *sorted(options)]


def _same(before: Any, now: Any, rel: float, *, sentence: bool) -> bool:
    if isinstance(before, str) and isinstance(now, str) and before.startswith(("lastbit ", "lb.")):
        return _options(before) == _options(now)
    if sentence and isinstance(before, str) and isinstance(now, str):
        return same_numbers(before, now)
    if isinstance(before, bool) or isinstance(now, bool) or not isinstance(before, int | float):
        return type(before) is type(now) and before == now
    if isinstance(now, bool | str) or now is None:
        return False
    return before == now or math.isclose(before, now, rel_tol=rel, abs_tol=0.0)
