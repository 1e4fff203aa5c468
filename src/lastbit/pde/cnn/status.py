"""How a simulated member ended: converged, restrained, diverged, or undecided, by one documented rule.

The rule looks at histories and nothing else, least of all at the theory that it tests: the norm of the kernel
`|K_t|`, of the update `|K_{t+1} - K_t|`, whether an update turned back on the one before (negative inner product), and
the loss with and without its weight decay term. An *envelope* is the maximum over each eighth of the steps; it *keeps*
growing (or shrinking) if it does so from every eighth to the next over the last six, by more than 2% over the last
quarter of the steps and over the quarter before, and the last of these two factors is, in logarithm, at least four
fifths of the one before: a geometric change does, a linear, algebraic or saturating one does not.

- `diverged`: a value that is not finite, or a kernel `BLOW_UP` times larger than at the start (than 1, if it started
  smaller); or, at the end, a kernel `OUTGROWN` times larger than at the start whose envelope keeps growing.
- `converged`, by one of three signs. *Settled*: the last update is rounding only, at most `epsilon^SETTLED` of the
  kernel's norm, with the machine epsilon of its format (2e-12 in float64, 6e-6 in float32, 3% in bfloat16), or the
  kernel has vanished, to `VANISHED` machine epsilons of the start's norm. *Settling*: the updates' envelope keeps
  shrinking, and so does that of the changes of the data loss, unless they are below the root of the machine epsilon (a
  large part of the kernel that dies out must not hide a small one that keeps bouncing). *Drifting*: at every single
  step of the second half the loss fell and the update did not turn back (a slow descent).
- `undecided`: too few steps to tell. The run has fewer than `FEWEST_STEPS`, or it is still on its way: the kernel's
  envelope keeps growing and its rate falls no faster than a linear growth's (factor `ON_ITS_WAY`), or those of the
  updates and of the changes of the data loss both keep shrinking.
- `restrained`: none of these. The member never settles, but stays bounded.

They are tested in the order diverged, converged, undecided, restrained. Close to an end of the window, where a mode
changes by a factor `1 +- e` per step, telling takes some `4 / e` steps.
"""

from __future__ import annotations

import math
from enum import StrEnum

import torch
from torch import Tensor

__all__ = ["FlowStatus", "flow_status", "has_blown_up", "has_settled"]

BLOW_UP = 1e6
"""Growth of the kernel's norm that ends a member."""
OUTGROWN = 10.0
"""Growth of the kernel's norm from which continued growth counts as blow-up in progress."""
CHANGE = 1.02
"""Factor per quarter from which an envelope counts as growing (or its inverse, as shrinking)."""
PERSISTENCE = 0.8
"""Share of its rate a change keeps from quarter to quarter to count as geometric; linear growth keeps 0.66."""
VANISHED = 64.0
"""Machine epsilons of the start's norm below which a kernel is zero but for rounding."""
ON_ITS_WAY = 0.6
"""Share of its rate a growth keeps from quarter to quarter unless it saturates; linear growth keeps 0.66."""
FEWEST_STEPS = 32
"""Steps below which nothing but a blow-up, a rest or a geometric change can be told: four in each eighth."""
SETTLED = 0.75
"""Power of the machine epsilon below which an update relative to the kernel is rounding, not movement."""


class FlowStatus(StrEnum):
    """How a member of a simulated flow ended."""

    CONVERGED = "converged"
    RESTRAINED = "restrained"
    DIVERGED = "diverged"
    UNDECIDED = "undecided"


def has_blown_up(norm: Tensor, start: Tensor) -> Tensor:
    """Whether a norm is not finite or `BLOW_UP` times that of the start, element-wise."""
    return ~(norm <= BLOW_UP * start.clamp(min=1.0))


def has_settled(update: Tensor, norm: Tensor, start: Tensor, epsilon: float, compute_epsilon: float) -> Tensor:
    """Whether an update is rounding only, or the kernel has vanished, element-wise."""
    return torch.le(update, epsilon**SETTLED * norm) | (norm <= VANISHED * compute_epsilon * start)


def flow_status(
    norm_TM: Tensor,
    update_TM: Tensor,
    back_TM: Tensor,
    loss_TM: Tensor,
    data_loss_TM: Tensor,
    *,
    epsilon: float,
    compute_epsilon: float,
) -> list[FlowStatus]:
    """Apply the rule to the histories of members that ran equally long.

    Args:
        norm_TM: norms of the kernels, the start included.
        update_TM: norms of the updates, one fewer.
        back_TM: whether each update turned back on the one before.
        loss_TM: losses with their weight decay term, the start included.
        data_loss_TM: losses without it.
        epsilon: machine epsilon of the kernel's format.
        compute_epsilon: machine epsilon of the format that the loss and its gradient are computed in.
    """
    blown = has_blown_up(norm_TM, norm_TM[0]).any(0)
    settled = has_settled(update_TM[-1:], norm_TM[-1:], norm_TM[0], epsilon, compute_epsilon).any(0)
    converged, diverged, undecided = settled, blown, torch.ones_like(settled)
    steps = len(update_TM)
    if steps >= 16:
        norm_8M, update_8M = _log_envelopes(norm_TM[1:]), _log_envelopes(update_TM)
        change_8M = _log_envelopes(data_loss_TM.diff(dim=0).abs())
        larger = norm_8M[7] > (OUTGROWN * norm_TM[0].clamp(min=1.0)).log()
        diverged = blown | (_goes_on(norm_8M) & larger & ~settled)
        quiet = (change_8M[7] < math.log(compute_epsilon) / 2) | _goes_on(-change_8M)
        falls = (loss_TM[len(loss_TM) // 2 :].diff(dim=0) < 0).all(0)
        converged = settled | (_goes_on(-update_8M) & quiet) | (falls & ~back_TM[steps // 2 :].any(0))
        if steps >= FEWEST_STEPS:
            fading = _goes_on(-update_8M, -math.inf) & _goes_on(-change_8M, -math.inf)
            undecided = fading | _goes_on(norm_8M, ON_ITS_WAY)
    order = (FlowStatus.RESTRAINED, FlowStatus.UNDECIDED, FlowStatus.CONVERGED, FlowStatus.DIVERGED)
    index = torch.where(diverged, 3, torch.where(converged, 2, undecided.long()))
    return [order[i] for i in index.tolist()]


def _log_envelopes(history_TM: Tensor) -> Tensor:
    """Return the logarithms of the maxima over eighths of the steps: `[8, M]`."""
    eighths = torch.tensor_split(history_TM, 8)
    return torch.stack([part.amax(0) for part in eighths]).clamp(min=torch.finfo(history_TM.dtype).tiny).log()


def _goes_on(log_8M: Tensor, persistence: float = PERSISTENCE) -> Tensor:
    """Whether the last six of eight envelopes grow without a break, and keep this share of their rate."""
    monotone = (log_8M[2:].diff(dim=0) > 0).all(0)
    before, last = log_8M[5] - log_8M[3], log_8M[7] - log_8M[5]
    return monotone & (before > math.log(CHANGE)) & (last > math.log(CHANGE)) & (last >= persistence * before)
