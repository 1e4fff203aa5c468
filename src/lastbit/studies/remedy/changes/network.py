"""Another network of a built-in task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lastbit.studies.remedy.changes.change import Change, Subject

__all__ = ["Norm"]


@dataclass(frozen=True)
class Norm(Change):
    """Another normalisation in the network of a built-in task.

    Attributes:
        to: `batch`, `group` or `none`.
    """

    to: str

    @property
    def name(self) -> str:
        """Its name."""
        return f"norm={self.to}"

    @property
    def says(self) -> str:
        """What it does."""
        return "no normalisation" if self.to == "none" else f"{self.to} normalisation"

    @property
    def program(self) -> Mapping[str, Any]:
        """The task's own setting."""
        return {"norm": self.to}

    def check(self, subject: Subject) -> None:
        """Refuse a task that makes its network itself, and one that has this normalisation.

        Raises:
            LastbitError: it is one.
        """
        config = subject.config
        if config is None or config.depth is not None:
            raise self.refused("the normalisation is changed in the networks of built-in tasks alone (none of --depth)")
        if config.norm == self.to:
            raise self.refused("the network has this normalisation already")
