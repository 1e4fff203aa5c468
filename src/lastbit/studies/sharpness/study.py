"""One measurement on disk, as a Python object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from lastbit.core.errors import LastbitError
from lastbit.report.text import brief
from lastbit.store import SCHEMA, StudyFolder
from lastbit.studies.frame.folders import check_kind
from lastbit.studies.frame.stored import StoredStudy
from lastbit.studies.sharpness.page import sharpness_page
from lastbit.studies.sharpness.result import RUN, SharpnessResult, conclude

__all__ = ["SharpnessStudy"]


class SharpnessStudy(StoredStudy):
    """A measurement of sharpness on disk.

    Example:
        >>> found = SharpnessStudy(Path("lastbit-studies/sharpness-digits-001"))  # doctest: +SKIP
        >>> found.result.whole.ratio  # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with StudyFolder.read(path) as folder:
            check_kind(folder, "sharpness", "a measurement")
            stored = folder.result()
            if stored is None:
                raise LastbitError(f"{path} holds no result: measure again with lastbit sharpness")
            now = folder.facts["schema"] == SCHEMA
            self.result: SharpnessResult = SharpnessResult.from_json(stored) if now else conclude(folder)
            """What was measured."""

    @property
    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """What was measured; `spectrum_nodes` and `spectrum_weights` have a row for each probe."""
        with StudyFolder.read(self.path) as folder:
            return folder.arrays(RUN)

    @property
    def passed(self) -> bool:
        """Whether the eigenvalue of the whole network is certified by its residual."""
        return self.result.whole.converged

    def export(self, target: str | Path) -> Path:
        """Refuse: a single measurement has no table of runs."""
        raise LastbitError("a single measurement has no runs to export: its numbers are in result.json, see --json")

    def _render(self) -> RenderableType:
        with StudyFolder.read(self.path) as folder:
            return brief(sharpness_page(folder, self.result))
