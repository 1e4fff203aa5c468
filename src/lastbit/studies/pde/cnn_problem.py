"""The one-layer CNN that settings describe, and what the results about it share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lastbit.core.device import resolve_device
from lastbit.pde import descent_scheme
from lastbit.pde.cnn.images import make_image
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels
from lastbit.report.formatting import count, number
from lastbit.studies.pde.result import PdeResult
from lastbit.studies.pde.settings import CnnSettings, FlowSettings, PhaseSettings, SimulateSettings, WindowSettings

__all__ = ["CnnResult", "cnn_problem", "flow_arguments", "picture_words", "too_few_steps"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CnnResult(PdeResult):
    """The answer of a command on the one-layer CNN."""

    settings: CnnSettings

    @property
    def limit(self) -> float:
        """The scheme's step limit `L`: 2 for gradient descent."""
        return descent_scheme(self.settings.scheme, self.settings.momentum).step_limit()

    @property
    def words(self) -> str:
        """The network in a few words."""
        one = self.settings
        return (
            f"one-layer CNN, {one.kernel} x {one.kernel} window on a {picture_words(one.image)} of "
            f"{one.image_size} x {one.image_size}, label {number(one.label)}, {one.pooling} pooling, {one.scheme}"
        )


def cnn_problem(settings: CnnSettings) -> CnnProblem:
    """Build the problem on its device."""
    image = make_image(settings.image, size=settings.image_size, channels=settings.channels, seed=settings.seed)
    given = settings.model_dump(include={"kernel", "label", "beta", "pooling", "boundary"})
    return CnnProblem.of(image, **given).to(device=resolve_device(settings.device))


def flow_arguments(settings: FlowSettings, *names: str) -> dict[str, Any]:
    """Return what every simulation of the flow takes (problem, kernel at the start, scheme), and the settings named."""
    problem = cnn_problem(settings)
    return {
        **settings.model_dump(include=set(names)),
        "problem": problem,
        "kernel": initial_kernels(problem, seeds=(settings.seed,), scale=settings.init_scale)[0],
        "scheme": descent_scheme(settings.scheme, settings.momentum),
    }


def too_few_steps(settings: SimulateSettings | WindowSettings | PhaseSettings) -> str:
    """Return that the steps say nothing yet, and how many to write: the default, or four times as many."""
    usual: int = type(settings).model_fields["steps"].default
    return f"too few steps to tell ({count(settings.steps)}; write --steps {max(usual, 4 * settings.steps)})"


def picture_words(image: str) -> str:
    """Return an image in a word."""
    return image if image in ("checkerboard", "noise") else "image file"
