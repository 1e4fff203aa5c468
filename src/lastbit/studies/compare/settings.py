"""What a comparison has besides its arms: the runs of each, and how it is decided."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict

from lastbit.core.keywords import setting
from lastbit.studies.audit.settings import AuditSettings

__all__ = ["CompareSettings"]

_DECISION = "The decision"

_Words = Annotated[tuple[str, ...], BeforeValidator(lambda word: (word,) if isinstance(word, str) else word)]


class CompareSettings(AuditSettings):
    """The runs of each arm, and how it is decided; what is trained are its programs."""

    model_config = ConfigDict(json_schema_extra={"panel": "The runs of each arm"})

    decides: ClassVar[tuple[str, ...]] = ("task",)

    metric: Annotated[
        _Words,
        setting(
            "what is compared: of a command the name of a number in its output, or a /pattern/ with one group",
            panel=_DECISION,
            shown="the first",
            verbatim=True,
        ),
    ] = ()
    better: Annotated[
        _Words,
        setting("whether higher or lower is better", panel=_DECISION, shown="as the task says", verbatim=True),
    ] = ()
    seeds: Annotated[int, setting("seeds of each arm", ge=2, le=10_000)] = 5
    perturbations: Annotated[
        int,
        setting("runs per seed, the unperturbed one included; from 2 on the last bit's part is measured", ge=1, le=100),
    ] = 1
    worth: Annotated[
        float | None,
        setting(
            "the smallest difference that matters, in the metric's unit; without it no difference is called absent",
            panel=_DECISION,
            shown="none",
            gt=0,
        ),
    ] = None
    paired: Annotated[
        bool,
        setting("compare runs of the same seed; decide on it before the runs, not after", panel=_DECISION),
    ] = False
    pairs: Annotated[
        Literal["first", "all"],
        setting("of several arms, compare all with the first, or every pair", panel=_DECISION),
    ] = "first"
    sequential: Annotated[
        bool,
        setting("add runs until it is settled, at most --most seeds an arm", panel=_DECISION, flags=("--sequential",)),
    ] = False
    open: Annotated[
        bool,
        setting(
            "with --sequential: a test without a last run, which needs more of them", panel=_DECISION, flags=("--open",)
        ),
    ] = False
    most: Annotated[
        int | None,
        setting(
            "with --sequential: seeds of each arm at most", panel=_DECISION, shown="20; 300 with --open", ge=3, le=1_000
        ),
    ] = None

    @property
    def so_many(self) -> int:
        """Seeds that an arm has at most."""
        if not self.sequential:
            return self.seeds
        return self.most or (300 if self.open else 20)
