"""What C11 measures: edges of the one-layer CNN found by simulation, and of trained networks, over weight decays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lastbit.core.plain import plain
from lastbit.pde.cnn import CnnProblem, checkerboard, find_window
from lastbit.pde.cnn.images import white_noise
from lastbit.pde.cnn.linear_flow import simulated_bounds
from lastbit.pde.cnn.linearisation import linearise_regime
from lastbit.pde.lanczos import extreme_eigenpairs
from lastbit.report.formatting import number
from lastbit.stats import Estimate
from lastbit.studies.paper.claim import Piece
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import Bracket

__all__ = ["SIZES", "TRAININGS", "Edge", "Size", "edge_of", "pieces"]

_TOLERANCE = 1e-3
"""Of the bisections of the linear flow, relative."""

_IMAGES = ("checkerboard", "noise")
"""Of the first most directions of the window are unseen, of the second none."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is measured at a scale.

    Attributes:
        image: points along each side.
        kernel: of the window.
        decays: of the flows.
        trained: weight decays of the networks, none the first.
        settings: of the studies of networks.
    """

    image: int
    kernel: int
    decays: Sequence[float]
    trained: Sequence[float]
    settings: Mapping[str, Any] = field(default_factory=dict)


SIZES: Mapping[str, Size] = {
    "small": Size(image=24, kernel=6, decays=(0.1, 0.4, 1.6), trained=(0.0, 1.0), settings={"every": 25}),
    "medium": Size(image=64, kernel=12, decays=(0.1, 0.4, 1.6, 3.2), trained=(0.0, 0.1, 1.0), settings={"every": 11}),
    "full": Size(image=256, kernel=32, decays=(0.1, 5.0, 20.0, 40.0), trained=(0.0, 0.01, 0.1, 1.0)),
}
"""By scale; the networks are the same at every one, followed more closely at the larger."""

_STEEP = f"{Path(__file__).with_name('c11_task.py')}:make"

TRAININGS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "steep": ("steep squared error, full batch", _STEEP, {}),
    "default": ("squared error, full batch", "digits", {}),
    "logistic": ("cross-entropy, full batch", "digits", {"loss": "cross-entropy"}),
    "batches": ("steep squared error, batches of 150", _STEEP, {"batch_size": 150, "steps": 1500}),
}
"""Each training by its piece: in words, the task, and how it differs."""


class _Flow(NamedTuple):
    """One flow whose window is bisected."""

    image: str
    size: int
    kernel: int
    decay: float


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Where a trained network stands against its limit.

    Attributes:
        training: its name in `TRAININGS`.
        decay: weight decay.
        limit: on the sharpness of the data loss, `2/lr - decay`.
        sharpness: of the data loss, over the last third.
        ratio: learning rate over the largest stable one, over the last third.
        steps: measured.
        course: sharpness at each of them.
    """

    training: str
    decay: float
    limit: float
    sharpness: Estimate
    ratio: Estimate
    steps: Sequence[int]
    course: Sequence[float | None]


def _problem(image: str, size: int, kernel: int) -> CnnProblem:
    if image == "checkerboard":
        return CnnProblem.of(checkerboard(size), kernel=kernel)
    return CnnProblem.of(white_noise(size, channels=2), kernel=max(2, 2 * kernel // 3))


def _window(flow: _Flow) -> Mapping[str, Any]:
    """Return the ends of a window, and the sharpness of the data loss at rest."""
    found = find_window(_problem(flow.image, flow.size, flow.kernel), weight_decay=flow.decay, steps=600)
    low, high = found.low_range, found.high_range
    return {
        "image": flow.image,
        "decay": flow.decay,
        "low": low,
        "high": high,
        "theory_low": found.theory_low,
        "theory_high": found.theory_high,
        "sharpness": None if found.sharpness is None else found.sharpness - flow.decay,
    }


def _windows(lab: Lab) -> Mapping[str, Any]:
    size = SIZES[lab.scale]
    flows = [_Flow(image, size.image, size.kernel, decay) for decay in size.decays for image in _IMAGES]
    return {"windows": [plain(one) for one in lab.map(_window, flows)]}


def _smallest(flow: _Flow) -> Bracket:
    """Return the weight decay below which a mode of the linear flow grows, foretold and found."""
    problem = _problem(flow.image, flow.size, flow.kernel)
    operator = linearise_regime(problem, "transitioning")
    ends = extreme_eigenpairs(operator, (1, *problem.kernel_shape), like=problem.images_BCHW, tolerance=1e-6)
    least, most = float(ends.low_M[0]), float(ends.high_M[0])
    low, high = ends.low_vector_MCnm[0], ends.high_vector_MCnm[0]
    dt = 0.7 / max(abs(least), abs(most))
    found = simulated_bounds(operator, low, high, dt=dt, rtol=_TOLERANCE).alpha_min
    return Bracket(
        what=f"{flow.image}, {number(flow.size)} by {number(flow.size)}",
        foretold=-least,
        low=found * (1 - _TOLERANCE),
        high=found * (1 + _TOLERANCE),
    )


def _growing(lab: Lab) -> Mapping[str, Any]:
    size = SIZES[lab.scale]
    flows = [_Flow(image, size.image, size.kernel, 0.0) for image in _IMAGES]
    return {"growing": [plain(_smallest(flow)) for flow in flows]}


def _train(name: str, lab: Lab) -> Mapping[str, Any]:
    size, (_, task, changes) = SIZES[lab.scale], TRAININGS[name]
    settings = {"twins": 0, **size.settings, **changes, "weight_decay": tuple(size.trained)}
    cells = lab.study("eos", name, task, **settings).result.cells
    return {
        "edges": [
            {
                "training": name,
                "decay": cell.axes["weight_decay"],
                "limit": cell.limit,
                "sharpness": plain(cell.sharpness_tail),
                "ratio": plain(cell.ratio_tail),
                "steps": plain(cell.steps),
                "course": plain(cell.sharpness),
            }
            for cell in cells
        ]
    }


def edge_of(measured: Mapping[str, Any]) -> Edge:
    """Return a network's edge from what its piece measured."""
    return Edge(**{**measured, **{name: Estimate(**measured[name]) for name in ("sharpness", "ratio")}})


def pieces(scale: str) -> Sequence[Piece]:
    """Return the flows, and each training."""
    size = SIZES[scale]
    points, every = (size.image / 24) ** 2, size.settings.get("every", 3)
    networks = [
        Piece(
            name=name,
            says=f"{words}: sharpness along the training",
            measure=partial(_train, name),
            steps={"digits": 1500 * (1 + 75 / every) * len(size.trained)},
        )
        for name, (words, _, _) in TRAININGS.items()
    ]
    return [
        Piece(name="growing", says="modes that grow", measure=_growing, steps={"digits": 200 * points}),
        Piece(
            name="windows",
            says="ends of the flows' windows",
            measure=_windows,
            steps={"digits": 1800 * points * len(size.decays)},
        ),
        *networks,
    ]
