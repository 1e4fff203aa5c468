"""Simulate the non-linear flow of an ensemble, with its twins, and record what happens to each member.

Members differ in learning rate, weight decay, start, format and rescaling k; all that share a format step together.
Members that have settled or blown up leave the batch early.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn.flow import CnnFlow, FlowState
from lastbit.pde.cnn.lanczos import extreme_eigenpairs
from lastbit.pde.cnn.linearisation import linearise_at
from lastbit.pde.cnn.members import members_of
from lastbit.pde.cnn.problem import CnnProblem
from lastbit.pde.cnn.schemes import TimeScheme
from lastbit.pde.cnn.simulation import Simulation, mean_relative_l1, merged, norms
from lastbit.pde.cnn.status import FlowStatus, flow_status, has_blown_up, has_settled

__all__ = ["simulate"]

_CHECK_EVERY = 16
"""Steps between two looks for members that are done."""
_QUIET_CHECKS = 2
"""Looks in a row at which a member must be settled before it leaves."""


def simulate(
    problem: CnnProblem,
    *,
    lr: float | Sequence[float] | Tensor,
    weight_decay: float | Sequence[float] | Tensor = 0.0,
    steps: int = 1000,
    kernel: Tensor | None = None,
    twin: int | None = None,
    dtype: str | Sequence[str] = "float64",
    scheme: TimeScheme | None = None,
    record_every: int = 1,
    shares: bool = False,
    sharpness: bool = False,
    engine: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Run the flow for every member and return its records.

    Args:
        problem: images, labels, activation.
        lr: learning rates, one or one per member.
        weight_decay: likewise; negative ones are anti-damping, allowed.
        steps: steps of the scheme.
        kernel: `[C, n, m]` for all members or `[M, C, n, m]`; the standard normal kernel of seed 0 when None.
        twin: odd factor k of the twins; without it there are none.
        dtype: `"float64"`, `"float32"` or `"bfloat16"`, one or one per member.
        scheme: Euler when None.
        record_every: steps between records; 0 records start and end only.
        shares: record the regime shares.
        sharpness: record the sharpness, some ten products with the Hessian per record.
        engine: of the correlation.
        progress: called with (steps done, steps) now and then.

    Raises:
        LastbitError: sizes that do not fit, or settings that cannot be.

    Example:
        >>> from lastbit.pde.cnn.images import checkerboard
        >>> problem = CnnProblem.of(checkerboard(32), kernel=8)
        >>> [str(status) for status in simulate(problem, lr=[0.02, 0.11], weight_decay=20.0, steps=300).status_M]
        ['converged', 'diverged']
    """
    lr_M, decay_M, kernel_MCnm, names = members_of(problem, lr, weight_decay, kernel, dtype)
    if steps < 1:
        raise LastbitError(f"steps = {steps}: use 1 or more")
    if record_every < 0:
        raise LastbitError(f"record_every = {record_every}: use 0 (start and end only) or more")
    if twin is not None and twin < 1:
        raise LastbitError(f"twin = {twin}: use a positive integer, odd to change the rounding (3, 5, 7, ...)")
    times = sorted({0, steps, *(range(0, steps, record_every) if record_every else ())})
    parts = []
    for name in dict.fromkeys(names):
        index = torch.tensor([i for i, other in enumerate(names) if other == name])
        flow = CnnFlow(problem, scheme=scheme, dtype=name, engine=engine)
        run = _Run(flow, times, twin, shares, sharpness)
        run(kernel_MCnm[index], lr_M[index], decay_M[index], progress)
        parts.append((index, run.finish(name)))
    return merged(parts) if len(parts) > 1 else parts[0][1]


class _Run:
    """The loop over steps for the members of one format, and its records."""

    def __init__(self, flow: CnnFlow, times: list[int], twin: int | None, shares: bool, sharpness: bool) -> None:
        self.flow, self.times, self.twin = flow, times, twin
        self.want_shares, self.want_sharpness = shares, sharpness

    def __call__(
        self, kernel_MCnm: Tensor, lr_M: Tensor, decay_M: Tensor, progress: Callable[[int, int], None] | None
    ) -> None:
        """Step until the last time, or until every member is done."""
        steps, members = self.times[-1], len(lr_M)
        self.lr_M, self.decay_M, self.steps_M = lr_M, decay_M, torch.full((members,), steps)
        device = self.flow.problem.images_BCHW.device
        copies = 1 if self.twin is None else 2
        k = torch.ones(copies * members)
        k[members:] = float(self.twin or 1)
        state = self.flow.init(
            kernel_MCnm.repeat(copies, 1, 1, 1), lr_M.repeat(copies), decay_M.repeat(copies), k
        )  # fmt: skip
        self.final_MCnm = state.kernel_MCnm[:members].clone()
        nan = torch.full((steps + 1, members), math.nan, dtype=torch.float64, device=device)
        self.norm_SM, self.update_SM, self.loss_SM = nan.clone(), nan[1:].clone(), nan.clone()
        rows = nan[: len(self.times)]
        self.twin_TM, self.distance_TM, self.sharpness_TM = rows.clone(), rows.clone(), rows.clone()
        self.shares_TM3 = rows[..., None].repeat(1, 1, 3)
        alive = torch.arange(members, device=device)
        quiet = torch.zeros(members, dtype=torch.long, device=device)
        rows_of = {step: row for row, step in enumerate(self.times)}
        for step in range(steps + 1):
            count = len(alive)
            if step in rows_of:
                self._record(rows_of[step], state, alive)
            following, loss = self.flow.step(state)
            norm = norms(state.kernel_MCnm[:count])
            self.norm_SM[step, alive], self.loss_SM[step, alive] = norm, loss[:count].double()
            if step == steps:
                break
            self.update_SM[step, alive] = norms(following.kernel_MCnm[:count] - state.kernel_MCnm[:count])
            if step and step % _CHECK_EVERY == 0:
                blown, quiet = self._look(state, following, alive, quiet)
                gone = blown | (quiet >= _QUIET_CHECKS)
                if bool(gone.any()):
                    self.final_MCnm[alive[gone]] = state.kernel_MCnm[:count][gone]
                    self.steps_M[alive[gone].cpu()] = step
                    settled = (gone & ~blown).nonzero()[:, 0]
                    # What a settled member shows now, it shows to the end.
                    if len(settled):
                        self._record(-1, state.take(_copies(settled, count, copies)), alive[settled])
                    kept = (~gone).nonzero()[:, 0]
                    alive, quiet = alive[kept], quiet[kept]
                    following = following.take(_copies(kept, count, copies))
                if progress is not None:
                    progress(step, steps)
            state = following
            if not len(alive):
                break
        self.final_MCnm[alive] = state.kernel_MCnm[: len(alive)]
        if progress is not None:
            progress(steps, steps)

    def _look(self, state: FlowState, following: FlowState, alive: Tensor, quiet: Tensor) -> tuple[Tensor, Tensor]:
        """Return which members have blown up, and for how many looks each has been settled."""
        count = len(alive)
        epsilon = torch.tensor(torch.finfo(self.flow.state_dtype).eps, device=alive.device)
        norm, update = norms(state.kernel_MCnm), norms(following.kernel_MCnm - state.kernel_MCnm)
        still, blown = has_settled(update, norm, epsilon), has_blown_up(norm[:count], self.norm_SM[0, alive])
        if self.twin is not None:
            still = still[:count] & still[count:]
        return blown, torch.where(still, quiet + 1, 0)

    def _record(self, row: int, state: FlowState, alive: Tensor) -> None:
        """Take what is asked for besides loss and norm."""
        count = len(alive)
        kernel = state.kernel_MCnm[:count]
        if self.twin is not None:
            other = state.kernel_MCnm[count:]
            self.twin_TM[row, alive] = mean_relative_l1(kernel, other)
            self.distance_TM[row, alive] = (kernel.double() - other.double()).abs().flatten(1).mean(1)
        if self.want_shares:
            self.shares_TM3[row, alive] = self.flow.regime_shares(kernel)
        if self.want_sharpness:
            flow, compute = self.flow, kernel.to(self.flow.compute_dtype)
            bounded = torch.isfinite(norms(compute)) & (norms(compute) < 1e30)
            chosen = bounded.nonzero()[:, 0]
            if len(chosen):
                J = linearise_at(flow.problem, compute[chosen], flow.correlator)
                ends = extreme_eigenpairs(
                    J, (len(chosen), *flow.problem.kernel_shape), like=compute, tolerance=1e-4
                )  # fmt: skip
                decay = self.decay_M.to(alive.device)[alive[chosen]]
                found = torch.where(ends.converged_M, ends.high_M.double() + decay, math.nan)
                self.sharpness_TM[row, alive[chosen]] = found

    def finish(self, dtype: str) -> Simulation:
        """Settle the statuses and return the records."""
        members = len(self.lr_M)
        status = [FlowStatus.RESTRAINED] * members
        epsilon = torch.finfo(self.flow.state_dtype).eps
        lengths = self.steps_M.to(self.norm_SM.device)
        for length in sorted(set(lengths.tolist())):
            index = (lengths == length).nonzero()[:, 0]
            eps_M = torch.full((len(index),), epsilon, dtype=torch.float64, device=index.device)
            found = flow_status(self.norm_SM[: length + 1, index], self.update_SM[:length, index], eps_M)
            for i, one in zip(index.tolist(), found, strict=True):
                status[i] = one
        at = torch.tensor(self.times, device=lengths.device)
        held = torch.tensor([one is FlowStatus.CONVERGED for one in status], device=lengths.device)
        after_TM = (at[:, None] > lengths) & held
        for record in (self.twin_TM, self.distance_TM, self.sharpness_TM):
            record.copy_(torch.where(after_TM, record[-1], record))
        self.shares_TM3 = torch.where(after_TM[..., None], self.shares_TM3[-1], self.shares_TM3)
        times_TM = torch.where(after_TM, lengths, at[:, None])
        norm_TM, data_TM = self.norm_SM.gather(0, times_TM), self.loss_SM.gather(0, times_TM)
        loss_TM = data_TM + self.decay_M.to(norm_TM) / 2 * norm_TM.square()
        return Simulation(
            step_T=at.cpu(), lr_M=self.lr_M, weight_decay_M=self.decay_M, dtype_M=[dtype] * members, status_M=status,
            steps_M=self.steps_M, loss_TM=loss_TM, data_loss_TM=data_TM, kernel_norm_TM=norm_TM,
            twin_difference_TM=self.twin_TM, twin_distance_TM=self.distance_TM, shares_TM3=self.shares_TM3,
            sharpness_TM=self.sharpness_TM, final_kernel_MCnm=self.final_MCnm.to(self.flow.compute_dtype),
        )  # fmt: skip


def _copies(index: Tensor, count: int, copies: int) -> Tensor:
    """Return the places of members and of their twins, which follow `count` places later."""
    return torch.cat([index + copy * count for copy in range(copies)])
