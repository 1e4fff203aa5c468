"""Which steps and weight decays are stable: of a classical problem, of the one-layer CNN, of deep networks."""

from __future__ import annotations

from typing import Any

from lastbit.core.config import Config, validated
from lastbit.core.errors import LastbitError, choose
from lastbit.core.keywords import keywords, takes
from lastbit.studies.pde.cnn_stability import CnnStability, cnn_stability
from lastbit.studies.pde.deep_stability import DeepStability, deep_stability
from lastbit.studies.pde.linear_stability import LinearStability, linear_stability
from lastbit.studies.pde.result import Progress
from lastbit.studies.pde.settings import (
    PROBLEMS,
    CnnStabilitySettings,
    DeepStabilitySettings,
    LinearStabilitySettings,
)

__all__ = ["pde_stability"]


@takes(CnnStabilitySettings, DeepStabilitySettings, LinearStabilitySettings)
def pde_stability(
    problem: str = "cnn", *, progress: Progress | None = None, **settings: Any
) -> CnnStability | DeepStability | LinearStability:
    """Say which steps, and for networks which weight decays, are stable.

    Args:
        problem: `"cnn"`, `"deep"`, or a classical problem of `lastbit.pde.linear`; it takes its own settings alone.
        **settings: fields of `CnnStabilitySettings`, `DeepStabilitySettings` or `LinearStabilitySettings`.
        progress: called with (spectra done, spectra) for a deep network; the other problems are quick.

    Raises:
        LastbitError: a problem or setting that cannot be, in one line.

    Example:
        >>> pde_stability("heat", dx=0.5).analysis.max_stable_dt
        0.125
        >>> found = pde_stability("cnn", dt=1e-3, image_size=32, kernel=4, pooling="sum")
        >>> round(found.answer.alpha_min), round(found.answer.alpha_max)
        (3364, 2000)
    """
    choose(problem, PROBLEMS, "problem")
    configs: dict[str, type[Config]] = {"cnn": CnnStabilitySettings, "deep": DeepStabilitySettings}
    config = configs.get(problem, LinearStabilitySettings)
    others = {one.name for one in keywords(*configs.values(), LinearStabilitySettings)}
    if wrong := [name for name in settings if name in others and name not in config.model_fields]:
        raise LastbitError(f"--{wrong[0].replace('_', '-')} says nothing about {problem}: leave it out")
    given = validated(config, settings, flag="--")
    if isinstance(given, CnnStabilitySettings):
        return cnn_stability(given)
    if isinstance(given, DeepStabilitySettings):
        return deep_stability(given, progress)
    assert isinstance(given, LinearStabilitySettings)
    return linear_stability(problem, given)
