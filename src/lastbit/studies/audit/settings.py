"""What an audit has besides its program: the grid and the numerics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lastbit.core.config import Config

__all__ = ["AuditSettings"]


class AuditSettings(Config):
    """The grid and the numerics of an audit; what is trained is its program."""

    seeds: int = Field(default=6, ge=1, le=10_000, description="seeds, the rows of the grid")
    perturbations: int = Field(default=6, ge=1, le=10_000, description="runs per seed, the unperturbed one included")
    perturb: Literal["rescale", "ulp", "rounding", "reorder"] = Field(
        default="rescale", description="how the last bit is perturbed"
    )
    vary: Literal["all", "order", "init", "augment"] = Field(default="all", description="what differs between seeds")
    dtype: Literal["float32", "float64", "bfloat16"] = Field(default="float32", description="format of the weights")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
