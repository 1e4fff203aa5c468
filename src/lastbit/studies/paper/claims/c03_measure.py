"""What C3 trains and keeps: a sweep of rates on scaled time, how far each twin came, how fast, and whether it left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lastbit.core.plain import plain
from lastbit.dynamics.verdict import judge
from lastbit.store import StudyFolder
from lastbit.studies.frame.kind import DTYPES
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.traced import Arrays, floats
from lastbit.studies.trace.result import members_found
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["ACTIVATIONS", "SIZES", "Rated", "Size", "Swept", "Twin", "from_plain", "measure"]

ACTIVATIONS = ("relu", "swish")
"""One whose units switch, and a smooth one."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a scale trains.

    Attributes:
        task: name of a built-in one.
        rates: learning rates, the highest first.
        seeds: of the trainings at each rate, in each format, with each activation.
        twins: perturbed runs of each.
        steps: of a run at the highest rate, from which the time is foretold.
        measured: which measured step is as dear.
        dearer: what a step costs with its recording and half of all in float64, in measured steps.
        settings: of the trace and of the task; the epochs are those of the highest rate.
    """

    task: str
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    twins: int
    steps: int
    measured: str
    dearer: float
    settings: Mapping[str, Any] = field(default_factory=dict)


_STRONG = {"weight_decay": 0.02, "schedule": "constant"}
"""A constant rate with strong decay, under which a smooth network too has an instability (docs/trace.md)."""

SIZES: dict[str, Size] = {
    "small": Size(
        task="digits",
        rates=(0.6, 0.3, 0.15),
        seeds=(1,),
        twins=2,
        steps=310,
        measured="digits",
        dearer=2.0,
        settings={"epochs": 10, "every": 10, **_STRONG},
    ),
    "medium": Size(
        task="digits",
        rates=(0.6, 0.3, 0.15, 0.075),
        seeds=(1, 2),
        twins=2,
        steps=310,
        measured="digits",
        dearer=2.0,
        settings={"epochs": 10, "every": 10, **_STRONG},
    ),
    "full": Size(
        task="cifar10",
        rates=(0.1, 0.05, 0.025, 0.0125),
        seeds=tuple(range(6)),
        twins=5,
        steps=78_200,
        measured="cifar",
        dearer=1.5,
        settings={"model": "resnet56", "epochs": 200, "schedule": "step"},
    ),
}
"""By scale. On the digits seed 0 was the pilot by which the rule of the narrower form was fixed: it is left out."""


@dataclass(frozen=True, kw_only=True)
class Twin:
    """One twin.

    Attributes:
        distance: relative L2 distance from the base at each recorded step.
        rate: of its growth from 10% to 90% of its rise, nats per step.
        left: whether it left what accumulated rounding explains.
    """

    distance: tuple[float, ...]
    rate: float
    left: bool


@dataclass(frozen=True, kw_only=True)
class Rated:
    """One training of the sweep.

    Attributes:
        activation: of its network.
        dtype: of its weights.
        lr: its learning rate.
        seed: of it.
        sound: whether the exact repeat agreed in every bit and the perturbation landed.
        steps: recorded, from the first after the branch.
        bound: what accumulated rounding explains at them, relative L2.
        twins: perturbed.
    """

    activation: str
    dtype: str
    lr: float
    seed: int
    sound: bool
    steps: tuple[int, ...]
    bound: tuple[float, ...]
    twins: tuple[Twin, ...]


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was measured: one entry for each training of the sweep."""

    trainings: tuple[Rated, ...]

    def twins(self, *, activation: str = "", dtype: str = "", lr: float | None = None) -> list[Twin]:
        """Return the twins of the trainings with this activation, format and rate; any where none is named."""
        return [
            twin
            for one in self.trainings
            if activation in ("", one.activation) and dtype in ("", one.dtype) and lr in (None, one.lr)
            for twin in one.twins
        ]

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates, the highest first."""
        return tuple(sorted({one.lr for one in self.trainings}, reverse=True))

    def powers(self, activation: str) -> list[float]:
        """Return for each twin the power of the rate with which its growth on scaled time goes, fitted over all."""
        found = []
        mine = [one for one in self.trainings if one.activation == activation]
        for dtype, seed in sorted({(one.dtype, one.seed) for one in mine}):
            swept = [one for one in mine if (one.dtype, one.seed) == (dtype, seed)]
            for twins in zip(*(one.twins for one in swept), strict=True):
                rates = [twin.rate / one.lr for twin, one in zip(twins, swept, strict=True)]
                if len(swept) > 1 and all(rate > 0 for rate in rates):
                    found.append(float(np.polyfit(np.log([one.lr for one in swept]), np.log(rates), 1)[0]))
        return found

    def levels(self, activation: str = "") -> list[float]:
        """Return, at the highest rate, by how many decades each twin in float64 ends above that in float32."""
        wide, short = (
            self.twins(activation=activation, dtype=dtype, lr=self.rates[0]) for dtype in ("float64", "float32")
        )
        return [math.log10(a.distance[-1] / b.distance[-1]) for a, b in zip(wide, short, strict=True)]


def measure(
    lab: Lab, task: str, rates: Sequence[float], seeds: Sequence[int], settings: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Train every rate for the same scaled time in both formats, and return what is kept of each."""
    found: list[Mapping[str, Any]] = []
    for seed in seeds:
        sweep = {"lr": list(rates), "scaled_time": True, "dtype": ["float32", "float64"], "seed": seed}
        study = lab.study("trace", f"{settings['activation']}-seed{seed}", task, **settings, **sweep)
        with StudyFolder.read(study.path) as folder:
            found += [{"seed": seed, **_kept(twins, arrays)} for twins, arrays in members_found(folder)]
    return found


def _kept(found: TwinsFound, arrays: Arrays) -> Mapping[str, Any]:
    steps, norm = arrays["step"], arrays["all_norm"]
    twins = []
    for distance in arrays["all_l2"][1:]:
        judged = judge(steps, distance, norm, dtype=DTYPES[found.dtype])
        twins.append(
            {
                "distance": distance[1:] / norm[1:],
                "rate": judged.growth_rate_per_step,
                "left": bool((distance > arrays["rounding_bound"]).any()),
            }
        )
    numbers: Mapping[str, Any] = plain(
        {
            "dtype": found.dtype,
            "lr": found.lr,
            "sound": not found.silent,
            "steps": steps[1:],
            "bound": (arrays["rounding_bound"] / norm)[1:],
            "twins": twins,
        }
    )
    return numbers


def from_plain(activation: str, one: Mapping[str, Any]) -> Rated:
    """Return what was kept, given how JSON holds it."""
    return Rated(
        activation=activation,
        steps=tuple(one["steps"]),
        bound=floats(one["bound"]),
        twins=tuple(
            Twin(distance=floats(twin["distance"]), rate=floats([twin["rate"]])[0], left=twin["left"])
            for twin in one["twins"]
        ),
        **{name: one[name] for name in ("dtype", "lr", "seed", "sound")},
    )
