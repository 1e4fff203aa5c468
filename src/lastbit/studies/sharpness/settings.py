"""What a measurement of sharpness has besides its program: when, from which weights, by which parts of the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict

from lastbit.core.keywords import setting
from lastbit.studies.eos.settings import EosSettings, ProbeSize, SmoothFormat
from lastbit.studies.frame.settings import Device, StudySettings

__all__ = ["SharpnessSettings"]


class SharpnessSettings(StudySettings):
    """How one measurement is taken; what is measured is its program, one value of each setting."""

    model_config = ConfigDict(json_schema_extra={"panel": "The measurement"})
    arguments: ClassVar[tuple[str, ...]] = EosSettings.arguments
    decides: ClassVar[tuple[str, ...]] = (*EosSettings.decides, "schedule")
    shown: ClassVar[Mapping[str, str]] = EosSettings.shown

    after: Annotated[int, setting("training steps to take before measuring; adaptive optimizers need 1", ge=0)] = 0
    checkpoint: Annotated[
        str | None,
        BeforeValidator(lambda file: str(file) if isinstance(file, Path) else file),
        setting("weights to load first: .safetensors, or a file of torch.save (read without pickle code)"),
    ] = None
    by: Annotated[Literal["module", "tensor", "group"], setting("what the rows of the table are")] = "module"
    probe_size: ProbeSize = 2000
    seed: Annotated[int, setting("seed of the training", ge=0)] = 0
    dtype: SmoothFormat = "float32"
    device: Device = "auto"
