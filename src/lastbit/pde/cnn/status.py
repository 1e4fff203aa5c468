"""How a simulated member ended: converged, restrained or diverged, by one documented rule.

The rule looks at two histories and at nothing else, least of all at the theory it is to test: the norm of the kernel
`|K_t|` and of the update `|K_{t+1} - K_t|`. Their *envelopes* are the maxima `e1 ... e4` over the four quarters of the
steps; an envelope *goes on* growing (or shrinking) if it does so by more than 2% from the second quarter to the third
and again to the last, and the last of these two factors is, in logarithm, at least half the one before: a geometric
change goes on, a saturating one does not.

- `diverged`: a value that is not finite, or a kernel `BLOW_UP` times larger than at the start (than 1, if it started
  smaller); or, at the end, a norm above that of the start whose envelope goes on growing.
- `converged`: the last update is rounding only, or the updates' envelope goes on shrinking. Rounding only means at most
  `epsilon^SETTLED` of the kernel's norm, with the machine epsilon of the format: 2e-12 in float64, 6e-6 in float32,
  3% in bfloat16. It leaves room for the gradient's rounding, which a multiplier near -1 amplifies, and asks for less
  room where the format has few digits to spare.
- `restrained`: neither. The member never settles, and stays bounded.

Divergence is tested first. A run of fewer than 8 steps has no quarters to speak of: unless it blew up or settled, it
counts as `restrained`.
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor

__all__ = ["BLOW_UP", "CHANGE", "SETTLED", "FlowStatus", "flow_status", "has_blown_up", "has_settled"]

BLOW_UP = 1e6
"""Growth of the kernel's norm that ends a member."""
CHANGE = 1.02
"""Factor per quarter from which an envelope counts as growing (or its inverse, as shrinking)."""
SETTLED = 0.75
"""Power of the machine epsilon below which an update relative to the kernel is rounding, not movement."""


class FlowStatus(StrEnum):
    """How a member of a simulated flow ended."""

    CONVERGED = "converged"
    RESTRAINED = "restrained"
    DIVERGED = "diverged"


def has_blown_up(norm: Tensor, start: Tensor) -> Tensor:
    """Whether a norm is not finite or `BLOW_UP` times that of the start, element-wise."""
    return ~(norm <= BLOW_UP * start.clamp(min=1.0))


def has_settled(update: Tensor, norm: Tensor, epsilon: Tensor) -> Tensor:
    """Whether an update is rounding only, element-wise."""
    return update <= epsilon**SETTLED * norm


def flow_status(norm_TM: Tensor, update_TM: Tensor, epsilon_M: Tensor) -> list[FlowStatus]:
    """Apply the rule to the histories of members that ran equally long.

    Args:
        norm_TM: norms of the kernels, the start included.
        update_TM: norms of the updates, one fewer.
        epsilon_M: machine epsilon of each member's format.
    """
    blown = has_blown_up(norm_TM, norm_TM[0]).any(0)
    still = has_settled(update_TM[-1:], norm_TM[-1:], epsilon_M)
    converged = still.any(0)
    diverged = blown
    if len(update_TM) >= 8:
        norm_4M, update_4M = _log_envelopes(norm_TM[1:]), _log_envelopes(update_TM)
        larger = norm_4M[3] > norm_TM[0].log()
        diverged = blown | (_goes_on(norm_4M) & larger & ~converged)
        converged = converged | _goes_on(-update_4M)
    order = (FlowStatus.RESTRAINED, FlowStatus.CONVERGED, FlowStatus.DIVERGED)
    index = torch.where(diverged, 2, converged.long())
    return [order[i] for i in index.tolist()]


def _log_envelopes(history_TM: Tensor) -> Tensor:
    """Return the logarithms of the maxima over the four quarters: `[4, M]`."""
    quarters = torch.tensor_split(history_TM, 4)
    return torch.stack([quarter.amax(0) for quarter in quarters]).clamp(min=torch.finfo(history_TM.dtype).tiny).log()


def _goes_on(log_4M: Tensor) -> Tensor:
    """Whether the growth of the last three quarters is geometric or faster."""
    first, second = log_4M[2] - log_4M[1], log_4M[3] - log_4M[2]
    edge = torch.log(torch.tensor(CHANGE, dtype=log_4M.dtype, device=log_4M.device))
    return (first > edge) & (second > edge) & (second >= first / 2)
