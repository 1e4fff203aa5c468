"""What a measurement of sharpness has besides its program: when, from which weights, by which parts of the network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from lastbit.core.config import Config

__all__ = ["SharpnessSettings"]


class SharpnessSettings(Config):
    """How one measurement is taken; what is measured is its program, one value of each setting."""

    after: int = Field(default=0, ge=0, description="training steps to take before measuring")
    checkpoint: str | None = Field(default=None, description="weights to load first, .pt or .safetensors")
    by: Literal["module", "tensor", "group"] = Field(default="module", description="what the rows of the table are")
    probe_size: PositiveInt = Field(default=2000, description="training examples that curvature is measured on")
    seed: int = Field(default=0, ge=0, description="seed of the training")
    dtype: Literal["float32", "float64"] = Field(default="float32", description="format of the weights")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
