"""The one-layer CNN that settings describe."""

from __future__ import annotations

from torch import Tensor

from lastbit.core.device import resolve_device
from lastbit.pde import TimeScheme, descent_scheme
from lastbit.pde.cnn import CnnProblem, initial_kernels, make_image
from lastbit.report.formatting import number
from lastbit.studies.pde.settings import CnnSettings

__all__ = ["cnn_problem", "cnn_start", "cnn_words", "picture_words", "time_scheme"]


def cnn_problem(settings: CnnSettings) -> CnnProblem:
    """Build the problem on its device."""
    image = make_image(settings.image, size=settings.image_size, channels=settings.channels, seed=settings.seed)
    problem = CnnProblem.of(
        image,
        kernel=settings.kernel,
        label=settings.label,
        beta=settings.beta,
        pooling=settings.pooling,
        boundary=settings.boundary,
    )
    return problem.to(device=resolve_device(settings.device))


def cnn_start(problem: CnnProblem, seed: int, scale: float) -> Tensor:
    """Return the kernel that a flow starts from, `[C, n, m]`."""
    return initial_kernels(problem, seeds=(seed,), scale=scale)[0]


def time_scheme(settings: CnnSettings) -> TimeScheme:
    """Return the scheme that steps the flow."""
    return descent_scheme(settings.scheme, settings.momentum)


def picture_words(image: str) -> str:
    """Return an image in a word."""
    return image if image in ("checkerboard", "noise") else "image file"


def cnn_words(settings: CnnSettings) -> str:
    """Return the problem in a few words."""
    one = settings
    return (
        f"one-layer CNN, {one.kernel} x {one.kernel} window on a {picture_words(one.image)} of "
        f"{one.image_size} x {one.image_size}, label {number(one.label)}, {one.pooling} pooling, {one.scheme}"
    )
