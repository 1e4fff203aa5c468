"""What a search for a remedy has besides its training: the changes, the runs of each, and what a remedy may cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict

from lastbit.core.keywords import setting
from lastbit.studies.audit.settings import AuditSettings

__all__ = ["RemedySettings"]

_CHANGES = "What is changed"


class RemedySettings(AuditSettings):
    """The changes, and the runs of the training as it is and of each change; what is trained is its program."""

    model_config = ConfigDict(json_schema_extra={"panel": "The runs of each"})

    change: Annotated[
        tuple[str, ...],
        setting(
            "changes of the task, each tried by itself, such as gelu decay/10 lr/2 float64",
            panel=_CHANGES,
            shown="those that the task allows",
            flags=("--change", "--try"),
        ),
    ] = ()
    base: Annotated[
        str | None,
        setting("in place of changes: the training as it is, a command or a task in quotes", panel=_CHANGES),
    ] = None
    variant: Annotated[
        tuple[str, ...],
        setting(
            "with --base: the training changed, as 'NAME=python train.py --act gelu'", panel=_CHANGES, verbatim=True
        ),
    ] = ()
    worth: Annotated[
        float | None,
        setting(
            "the smallest loss of the metric that matters, in its unit; without it no change is called harmless",
            panel=_CHANGES,
            shown="none",
            gt=0,
        ),
    ] = None
    confirm: Annotated[
        bool,
        setting("train what looked best again, beside the training as it is, with as many fresh seeds", panel=_CHANGES),
    ] = True
    seeds: Annotated[int, setting("seeds of each", ge=3, le=1_000)] = 10
    perturbations: Annotated[int, setting("runs per seed, the unperturbed one included", ge=2, le=1_000)] = 6
