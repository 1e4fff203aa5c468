"""Another format of weights and arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lastbit.studies.remedy.changes.change import Change, Subject

__all__ = ["Wider"]


@dataclass(frozen=True)
class Wider(Change):
    """Weights, examples and arithmetic in float64, whose last bit is 29 binary places further down."""

    @property
    def name(self) -> str:
        """Its name."""
        return "float64"

    @property
    def says(self) -> str:
        """What it does."""
        return "weights and arithmetic in float64"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The format of the weights."""
        return {"dtype": "float64"}

    def check(self, subject: Subject) -> None:
        """Refuse a training that is in float64 already.

        Raises:
            LastbitError: it is.
        """
        if subject.dtype == "float64":
            raise self.refused("the training is in float64 already")
