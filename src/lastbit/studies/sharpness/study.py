"""One measurement on disk, as a Python object."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastbit.studies.frame.study import Study
from lastbit.studies.sharpness.result import RUN, SharpnessResult

__all__ = ["SharpnessStudy"]


class SharpnessStudy(Study[SharpnessResult]):
    """A measurement of sharpness on disk.

    Example:
        >>> found = open_study("lastbit-studies/sharpness-digits-001")  # doctest: +SKIP
        >>> found.result.whole.ratio  # doctest: +SKIP
    """

    @property
    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """What was measured; `spectrum_nodes` and `spectrum_weights` have a row for each probe."""
        with self._folder() as folder:
            return folder.arrays(RUN)
