"""The register of changes: how each is written, and which are tried where none is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lastbit.core.errors import LastbitError
from lastbit.studies.frame.arms import LETTERS
from lastbit.studies.remedy.changes.activation import Activation
from lastbit.studies.remedy.changes.average import LateMean, RunningMean
from lastbit.studies.remedy.changes.change import Change, Subject
from lastbit.studies.remedy.changes.gradient import Clip
from lastbit.studies.remedy.changes.limit import StepsLimited
from lastbit.studies.remedy.changes.network import Norm
from lastbit.studies.remedy.changes.numbers import Wider
from lastbit.studies.remedy.changes.outputs import MeanOutput
from lastbit.studies.remedy.changes.rate import Course, WarmUp
from lastbit.studies.remedy.changes.scaled import Batch, Decay, Scaled, StepSize
from lastbit.tasks.models import NORMS
from lastbit.tasks.schedules import SCHEDULES

__all__ = ["FAMILIES", "averaged", "changes_for", "changes_of"]

_NUMBER = r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
_WHOLE = "with any whole number above 0"
_ALONE = "with nothing behind it"
_FACTOR = rf"([*/]){_NUMBER}"


@dataclass(frozen=True)
class Family:
    """Changes of one sort.

    Attributes:
        written: a pattern of their names.
        examples: such names, of which the first are tried where none is named.
        make: from the groups of the pattern.
        tried: how many of the examples that are.
        takes: what may stand in them.
    """

    written: str
    examples: tuple[str, ...]
    make: Callable[..., Change]
    tried: int = 1
    takes: str = "with any number above 0"


def _steps_limited(layer: str | None, every: str) -> Change:
    return StepsLimited(int(every), per_layer=layer is not None)


FAMILIES: tuple[Family, ...] = (
    Family("(gelu|silu)", ("gelu", "silu"), Activation, 2, _ALONE),
    Family(f"decay{_FACTOR}", ("decay/10", "decay*2"), lambda sign, by: Decay(sign, float(by))),
    Family(f"lr{_FACTOR}", ("lr/2", "lr*2"), lambda sign, by: StepSize(sign, float(by))),
    Family(f"batch{_FACTOR}", ("batch*2", "batch/2"), lambda sign, by: Batch(sign, float(by))),
    Family("float64", ("float64",), Wider, takes=_ALONE),
    Family(f"ema={_NUMBER}", ("ema=0.995",), lambda decay: RunningMean(float(decay))),
    Family(f"late-mean={_NUMBER}", ("late-mean=0.25",), lambda share: LateMean(float(share))),
    Family(r"mean=(\d+)", ("mean=3",), lambda runs: MeanOutput(int(runs)), takes=_WHOLE),
    Family(f"clip={_NUMBER}", ("clip=1",), lambda most: Clip(float(most))),
    Family(f"warmup={_NUMBER}", ("warmup=0.1",), lambda share: WarmUp(float(share))),
    Family(
        rf"schedule=({'|'.join(SCHEDULES)})",
        ("schedule=cosine",),
        Course,
        takes=f"or another of {', '.join(SCHEDULES)}",
    ),
    Family(r"(layer-)?step-limit=(\d+)", ("step-limit=100", "layer-step-limit=100"), _steps_limited, 2, _WHOLE),
    Family(rf"norm=({'|'.join(NORMS)})", ("norm=group",), Norm, takes=f"or another of {', '.join(NORMS)}"),
)


def _change_of(text: str) -> Change:
    """Return the change of this name.

    Raises:
        LastbitError: there is none; names those that there are.
    """
    for family in FAMILIES:
        found = re.fullmatch(family.written, text)
        if found is not None:
            change = family.make(*found.groups())
            if isinstance(change, Scaled) and not change.by:
                raise LastbitError(f"--change {text}: give a factor above 0")
            return change
    for family in FAMILIES:
        names = [re.sub(r"[*/=].*", "", example) for example in family.examples]
        if re.split(r"[*/=]", text)[0] in names and text not in names:
            raise LastbitError(f"--change {text}: write {' or '.join(family.examples)}, {family.takes}")
    known = ", ".join(example for family in FAMILIES for example in family.examples[: family.tried])
    raise LastbitError(f"unknown change {text!r}: write one such as {known} (any number where one stands)")


def changes_of(texts: Sequence[str]) -> list[Change]:
    """Return the changes of these names.

    Raises:
        LastbitError: there is none of a name, two are the same, or they are more than a study has arms for.
    """
    found: list[Change] = []
    for text in texts:
        change = _change_of(text)
        if change in found:
            raise LastbitError(f"--change {text} stands there twice: name each change once")
        found.append(change)
    if len(found) >= len(LETTERS):
        raise LastbitError(
            f"{len(found)} changes are too many to hold against each other: name at most {len(LETTERS) - 1}"
        )
    return found


def averaged(texts: Sequence[str]) -> dict[str, int]:
    """Return how many runs of the base are in each mean, of those of these changes that are made of them, by name."""
    return {change.name: change.runs for change in changes_of(texts) if isinstance(change, MeanOutput)}


def changes_for(subject: Subject) -> list[Change]:
    """Return the changes that are tried of a training where none is named: of every family, those that it allows.

    Raises:
        LastbitError: it allows none.
    """
    found = []
    for family in FAMILIES:
        for change in changes_of(family.examples[: family.tried]):
            try:
                change.check(subject)
            except LastbitError:
                continue
            found.append(change)
    return found
