"""What C9 measures: twins that differ in the rounding of their updates alone, over learning rates, and their orbits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import torch

from lastbit.pde.cnn.orbits import orbit_of
from lastbit.pde.cnn.simulation import Simulation
from lastbit.pde.cnn.status import FlowStatus
from lastbit.pde.cnn.time_loop import simulate
from lastbit.studies.paper.claims.flows import REFERENCE, REFERENCE_RATES, FlowSetting, arguments, swept

__all__ = ["SHOWN_STEPS", "SIZES", "TWIN", "Sizes", "control", "reference", "sweep_of"]

TWIN = 3
"""Factor k of the twin."""

SHOWN_STEPS = 200
"""Steps of the reference flow whose differences are drawn."""

_CONTROL = 2
"""A power of two changes no rounding."""
_CONTROL_RATES, _CONTROL_STEPS = (0.6, 0.75, 0.9), 200
"""Of 2/α, inside the window."""


class Sizes(NamedTuple):
    """What is measured at a scale."""

    sweeps: tuple[FlowSetting, ...]
    rates: int


_BOARD = FlowSetting("checkerboard", 64, 32, 20.0, 0, 1000)
_SMALL = (
    _BOARD,
    *(FlowSetting("checkerboard", 32, 8, 5.0, seed, 2000) for seed in (0, 1)),
    FlowSetting("noise", 24, 4, 0.1, 0, 3000, channels=2),
)

SIZES: Mapping[str, Sizes] = {
    "small": Sizes(_SMALL, 41),
    "medium": Sizes((*_SMALL, FlowSetting("noise", 48, 6, 0.1, 1, 4000, channels=2)), 121),
    "full": Sizes(
        (
            *(FlowSetting("checkerboard", 256, 32, 20.0, seed, 2000) for seed in range(6)),
            *(FlowSetting("noise", 48, 6, 0.1, seed, 8000, channels=2) for seed in range(6)),
        ),
        241,
    ),
}
"""By scale."""


def reference(_: object) -> Mapping[str, Any]:
    """Return the twins of the flow that was computed independently, with the differences of their first steps."""
    return _twins(REFERENCE, REFERENCE_RATES, SHOWN_STEPS)


def sweep_of(task: tuple[FlowSetting, int]) -> Mapping[str, Any]:
    """Return the twins of a flow at many learning rates."""
    setting, count = task
    return _twins(setting, swept(setting, count), 0)


def control(_: object) -> Mapping[str, Any]:
    """Return the largest difference to a twin whose factor changes no rounding, at learning rates in the window."""
    rates = [share * 2 / _BOARD.decay for share in _CONTROL_RATES]
    run = simulate(**arguments(_BOARD), lr=rates, steps=_CONTROL_STEPS, twin=_CONTROL)
    return {"rates": rates, "steps": _CONTROL_STEPS, "largest": float(run.twin_difference_TM.nan_to_num(9.0).max())}


def _twins(setting: FlowSetting, rates: Sequence[float], shown: int) -> Mapping[str, Any]:
    run = simulate(**arguments(setting), lr=rates, steps=setting.steps, twin=TWIN)
    return {
        "words": setting.words,
        "decay": setting.decay,
        "runs": [
            {
                "lr": rate,
                "status": str(run.status_M[i]),
                "orbit": _orbit(run, i),
                "first": float(run.twin_distance_TM[1, i]),
                "difference": _difference(run, i),
                "differences": [
                    one if isfinite(one) else None for one in run.twin_difference_TM[: shown + 1, i].tolist()
                ]
                if shown
                else [],
            }
            for i, rate in enumerate(rates)
        ],
    }


def _orbit(run: Simulation, member: int) -> str:
    """Return what a restrained member's orbit is; "" where it settles or blows up."""
    if run.status_M[member] is not FlowStatus.RESTRAINED:
        return ""
    return orbit_of(torch.stack([run.kernel_norm_TM[:, member], run.data_loss_TM[:, member]], dim=1)).kind


def _difference(run: Simulation, member: int) -> float:
    """Return the largest difference of the last quarter of the steps; of a member that blows up, that at its end."""
    difference_T = run.twin_difference_TM[:, member]
    known = difference_T[torch.isfinite(difference_T)]
    blew_up = run.status_M[member] is FlowStatus.DIVERGED
    return float(known[-1] if blew_up else known[-max(1, len(known) // 4) :].max())
