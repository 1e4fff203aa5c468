"""What C8 measures: how flows end over learning rates, their losses, and both ends of the window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from lastbit.pde.cnn.status import FlowStatus
from lastbit.pde.cnn.time_loop import simulate
from lastbit.pde.cnn.window import find_window
from lastbit.studies.paper.claims.flows import REFERENCE, REFERENCE_RATES, FlowSetting, arguments, steps_of, swept

__all__ = ["SIZES", "Sizes", "ends_of", "reference", "sweep_of", "window_steps"]


class Sizes(NamedTuple):
    """What is measured at a scale."""

    sweeps: tuple[FlowSetting, ...]
    rates: int
    ends: tuple[FlowSetting, ...]


_BOARDS = (
    FlowSetting("checkerboard", 64, 32, 20.0, 0, 600),
    *(FlowSetting("checkerboard", 32, 8, 5.0, seed, 800) for seed in (0, 1)),
)
_NOISE = FlowSetting("noise", 24, 4, 0.1, 0, 1500, channels=2)

SIZES: Mapping[str, Sizes] = {
    "small": Sizes((*_BOARDS, _NOISE), 31, (*_BOARDS[:2], _NOISE)),
    "medium": Sizes(
        (*_BOARDS, _NOISE, FlowSetting("noise", 48, 6, 0.1, 1, 2000, channels=2)),
        91,
        (REFERENCE._replace(steps=800), *_BOARDS, _NOISE),
    ),
    "full": Sizes(
        (
            *(FlowSetting("checkerboard", 256, 32, 20.0, seed, 1000) for seed in range(6)),
            *(FlowSetting("noise", 48, 6, 0.1, seed, 4000, channels=2) for seed in range(6)),
        ),
        181,
        (*(REFERENCE._replace(steps=800, seed=seed) for seed in range(-1, 5)), _NOISE),
    ),
}
"""By scale."""

_SHOWN = 200
"""Steps of a loss that are kept to be drawn."""

_WINDOW_TRIALS = 75
"""Members of a search for both ends, with the search for its rest."""


def window_steps(setting: FlowSetting) -> float:
    """Return about how many steps of the flow a search for both ends takes."""
    return steps_of(setting, _WINDOW_TRIALS)


def reference(_: object) -> Mapping[str, Any]:
    """Return the flow that was computed independently, with the losses of its first steps."""
    return _swept(REFERENCE, REFERENCE_RATES, _SHOWN)


def sweep_of(task: tuple[FlowSetting, int]) -> Mapping[str, Any]:
    """Return how a flow ends at many learning rates."""
    setting, count = task
    return _swept(setting, swept(setting, count), 0)


def ends_of(setting: FlowSetting) -> list[Mapping[str, Any]]:
    """Return both ends of a window, foretold and found; `bracket` is None where none was found."""
    window = find_window(**arguments(setting), steps=max(setting.steps, 800))
    found = {"lower": (window.theory_low, window.low_range), "upper": (window.theory_high, window.high_range)}
    return [
        {
            "kind": "least upper" if name == "upper" and not setting.unseen else name,
            "what": f"{name} end ({setting.words})",
            "foretold": foretold,
            "bracket": bracket if bracket is not None and all(map(math.isfinite, bracket)) else None,
        }
        for name, (foretold, bracket) in found.items()
    ]


def _swept(setting: FlowSetting, rates: Sequence[float], shown: int) -> Mapping[str, Any]:
    run = simulate(**arguments(setting), lr=rates, steps=setting.steps)
    quarters = torch.tensor_split(run.loss_TM, 4)
    growth = quarters[3].amax(0) / quarters[1].amax(0)
    second = run.loss_TM[setting.steps // 2 :]
    ran = [status is not FlowStatus.DIVERGED for status in run.status_M]
    rises = (second.diff(dim=0) > 0).double().mean(0)
    return {
        "words": setting.words,
        "decay": setting.decay,
        "runs": [
            {
                "lr": rate,
                "status": str(status),
                "end": float(run.loss_TM[-1, i]) if ran[i] else None,
                "least": float(second[:, i].min()) if ran[i] else None,
                "largest": float(second[:, i].max()) if ran[i] else None,
                "growth": float(growth[i]) if ran[i] else None,
                "rises": float(rises[i]) if ran[i] else None,
                "losses": _until_lost(run.loss_TM[: shown + 1, i]) if shown else [],
            }
            for i, (rate, status) in enumerate(zip(rates, run.status_M, strict=True))
        ],
    }


def _until_lost(losses: torch.Tensor) -> list[float | None]:
    """Return losses, None where a flow that blew up has left."""
    return [loss if math.isfinite(loss) else None for loss in losses.tolist()]
