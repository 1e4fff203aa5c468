"""What a run leaves of its weights: digests and a sketch of every tensor, and the weights themselves where they stay.

Whatever the size of the network, its arrays hold for each of the T tensors that are trained

| array | content |
| --- | --- |
| `weights_name`, `weights_size`, `weights_format` (T,) | its name, number of elements and format |
| `weights_first_digest`, `weights_final_digest` (T, 32) | the SHA-256 digest of its bits |
| `weights_final_norm` (T,) | its L2 norm |
| `weights_final_values`, `…_residuals` (T, 64), `…_fingerprints` (T,) | its `dynamics.sketch` |

and of its buffers `buffers_name`, `buffers_size`, `buffers_format` and `buffers_final_digest`. In how many weights a
perturbed run differs from its base is counted from the weights themselves as soon as both runs are in
(`frame.landed`), for which they are lent; who asked for them keeps the final ones in `weights/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lastbit.core.digests import sha256_of
from lastbit.core.recorder import Moment
from lastbit.core.status import Role
from lastbit.core.ulp import has_last_bit
from lastbit.dynamics.sketch import CountSketch
from lastbit.launch.record import WIDTH
from lastbit.store import RunFiles

__all__ = ["SMALL", "Keep", "Weigher", "stays"]

Arrays = dict[str, np.ndarray[Any, Any]]

Keep = Literal["all", "base", "none"]
"""Whose final weights stay in the study: of all runs, of each seed's unperturbed one, of none. Those of an exact repeat
never do."""

SMALL = 2**19
"""The most weights of a network whose distances are exact, and whose final weights stay unless it is asked otherwise:
2 MiB a run in float32."""


def stays(keep: Keep | None, role: Role, weights: int) -> bool:
    """Tell whether the final weights of a run stay in the study.

    Args:
        keep: as asked; None for all of a small network and none of a larger one.
        role: of the run.
        weights: how many it has.
    """
    if role == Role.REPEAT:
        return False
    chosen = keep or ("all" if weights <= SMALL else "none")
    return chosen == "all" or (chosen == "base" and role == Role.BASE)


@dataclass
class Weigher:
    """Weighs the networks of one run: `train.weighed.Weigh`.

    Attributes:
        files: of the run.
        role: what it is in its cell.
        keep: whose final weights stay, as asked.
        lends: whether other runs are compared with it weight by weight.
    """

    files: RunFiles
    role: Role
    keep: Keep | None
    lends: bool
    _plan: CountSketch | None = field(default=None, repr=False)

    def __call__(self, when: Moment, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> Arrays:
        """Return what is kept in the arrays, and write the weights where they stay or are lent."""
        found: Arrays = {"digest": sha256_of(weights)}
        if when == "final" and weights and all(map(has_last_bit, weights.values())):
            found |= self._sketched(weights)
        if when == "final" and stays(self.keep, self.role, sum(one.numel() for one in weights.values())):
            self.files.keep_weights({**weights, **buffers})
        elif self.lends and self.role != Role.REPEAT:
            self.files.lend_weights(when, weights)
        return found

    def _sketched(self, weights: Mapping[str, Tensor]) -> Arrays:
        if self._plan is None or not self._plan.fits(weights):
            self._plan = CountSketch(weights, width=WIDTH)
        norms = [torch.linalg.vector_norm(one.detach(), dtype=torch.float64) for one in weights.values()]
        return self._plan(weights).arrays() | {"norm": torch.stack([one.cpu() for one in norms]).numpy()}
