"""What an audit has besides its program: the grid and the numerics."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict

from lastbit.core.errors import LastbitError
from lastbit.core.keywords import setting
from lastbit.studies.frame.settings import Device, Format, PerturbAny, StudySettings

__all__ = ["AuditSettings"]


class AuditSettings(StudySettings):
    """The grid and the numerics of an audit; what is trained is its program."""

    model_config = ConfigDict(json_schema_extra={"panel": "The grid"})

    of_tasks: ClassVar[tuple[str, ...]] = ("vary", "dtype", "device")
    commands: ClassVar[bool] = True
    lays_out: ClassVar[bool] = True

    seeds: Annotated[int, setting("seeds, the rows of the grid", ge=1, le=10_000)] = 6
    perturbations: Annotated[int, setting("runs per seed, the unperturbed one included", ge=1, le=10_000)] = 6
    vary: Annotated[Literal["all", "order", "init", "augment"], setting("what differs between seeds")] = "all"
    perturb: PerturbAny = "rescale"
    dtype: Annotated[Format, setting("format of the weights", panel="The arithmetic")] = "float32"
    device: Device = "auto"
    keep_weights: Annotated[
        Literal["all", "base", "none"] | None,
        setting(
            "whose final weights stay in the study: of all runs, of each seed's unperturbed one (base), of none",
            panel="Output",
            shown="all up to 524,288 weights, none above",
            remarks={"all": "default up to 524,288 weights", "none": "default above"},
        ),
    ] = None

    def check_of_command(self, program: str) -> None:
        """Refuse, for a command of this name, what lastbit cannot do for it.

        Raises:
            LastbitError: its weights are to be kept.
        """
        if self.keep_weights is not None:
            raise LastbitError(
                f"--keep-weights {self.keep_weights}: the weights of {program} stay in its own processes: let the "
                "command save them itself, and leave --keep-weights out"
            )
