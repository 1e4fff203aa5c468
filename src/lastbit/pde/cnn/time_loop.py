"""Simulate the non-linear flow of an ensemble, with its twins, and record what happens to each member.

Members differ in learning rate, weight decay and start, and step together.
Members that have settled or blown up leave the batch early.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.pde.builtin_schemes import EULER
from lastbit.pde.cnn.flow import CnnFlow, FlowState
from lastbit.pde.cnn.linearisation import linearise_at
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels
from lastbit.pde.cnn.simulation import Simulation, mean_relative_l1, norms
from lastbit.pde.cnn.status import FlowStatus, flow_status, has_blown_up, has_settled
from lastbit.pde.lanczos import extreme_eigenpairs
from lastbit.pde.schemes import TimeScheme

__all__ = ["simulate"]

_CHECK_EVERY = 16
"""Steps between two checks for members that are done."""
_QUIET_LOOKS = 2
"""Consecutive checks at which a member must be settled before it leaves."""


def simulate(
    problem: CnnProblem,
    *,
    lr: float | Sequence[float] | Tensor,
    weight_decay: float | Sequence[float] | Tensor = 0.0,
    steps: int = 1000,
    kernel: Tensor | None = None,
    twin: int | None = None,
    dtype: str = "float64",
    scheme: TimeScheme = EULER,
    record_every: int = 1,
    shares: bool = False,
    sharpness: bool = False,
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
        dtype: `"float64"`, `"float32"` or `"bfloat16"`.
        scheme: of the steps.
        record_every: steps between records; 0 records start and end only.
        shares: record the regime shares.
        sharpness: record the sharpness, some ten products with the Hessian per record.
        progress: called with (steps done, steps) now and then.

    Raises:
        LastbitError: sizes that do not fit, or invalid settings.

    Example:
        >>> from lastbit.pde.cnn.images import checkerboard
        >>> problem = CnnProblem.of(checkerboard(32), kernel=8)
        >>> [str(status) for status in simulate(problem, lr=[0.02, 0.11], weight_decay=20.0, steps=300).status_M]
        ['converged', 'diverged']
    """
    lr_M, decay_M, kernel_MCnm = _members(problem, lr, weight_decay, kernel)
    if steps < 1:
        raise LastbitError(f"steps = {steps}: use 1 or more")
    if record_every < 0:
        raise LastbitError(f"record_every = {record_every}: use 0 (start and end only) or more")
    if twin is not None and twin < 1:
        raise LastbitError(f"twin = {twin}: use a positive integer, odd to change the rounding (3, 5, 7, ...)")
    times = sorted({0, steps, *(range(0, steps, record_every) if record_every else ())})
    run = _Run(CnnFlow(problem, scheme=scheme, dtype=dtype), times, twin, shares, sharpness)
    run(kernel_MCnm, lr_M, decay_M, progress)
    return run.finish()


def _members(
    problem: CnnProblem,
    lr: float | Sequence[float] | Tensor,
    weight_decay: float | Sequence[float] | Tensor,
    kernel: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return learning rates, weight decays and kernels of all members, checked."""
    lr_M = torch.as_tensor(lr, dtype=torch.float64).reshape(-1)
    decay_M = torch.as_tensor(weight_decay, dtype=torch.float64).reshape(-1)
    start = initial_kernels(problem)[0] if kernel is None else kernel
    start = start.reshape((1,) * (4 - start.ndim) + tuple(start.shape))
    if tuple(start.shape[1:]) != problem.kernel_shape:
        needed = ", ".join(map(str, problem.kernel_shape))
        raise LastbitError(f"a kernel of shape {tuple(start.shape)} does not fit: use [{needed}] or [M, {needed}]")
    counts = {"lr": len(lr_M), "weight_decay": len(decay_M), "kernel": len(start)}
    members = max(counts.values())
    for what, count in counts.items():
        if count not in (1, members):
            raise LastbitError(f"{count} values of {what} for {members} members: give one, or one per member")
    wrong = lr_M[~(torch.isfinite(lr_M) & (lr_M > 0))]
    if len(wrong):
        raise LastbitError(f"lr = {wrong[0]:g}: use a positive, finite learning rate")
    if not bool(torch.isfinite(decay_M).all()):
        raise LastbitError("weight_decay is not finite: use a number")
    if not bool(torch.isfinite(start).all()):
        raise LastbitError("the start kernel holds NaN or infinite values")
    return lr_M.expand(members), decay_M.expand(members), start.expand(members, *start.shape[1:])


class _Run:
    """The loop over steps, and its records."""

    def __init__(self, flow: CnnFlow, times: list[int], twin: int | None, shares: bool, sharpness: bool) -> None:
        self.flow, self.times, self.twin = flow, times, twin
        self.want_shares, self.want_sharpness = shares, sharpness
        self._epsilons = (torch.finfo(flow.state_dtype).eps, torch.finfo(flow.compute_dtype).eps)

    def __call__(
        self, kernel_MCnm: Tensor, lr_M: Tensor, decay_M: Tensor, progress: Callable[[int, int], None] | None
    ) -> None:
        """Step until the last time, or until every member is done."""
        steps, members = self.times[-1], len(lr_M)
        self.decay_M, self.steps_M = decay_M, torch.full((members,), steps)
        device = self.flow.problem.images_BCHW.device
        # Twins step apart from their members, in a batch of the same shape: the last bits of a product or a transform
        # may depend on the place in the batch, and twins must differ by the rescaling alone.
        factors = (1,) if self.twin is None else (1, self.twin)
        states = [self.flow.init(kernel_MCnm, lr_M, decay_M, torch.full((members,), float(k))) for k in factors]
        self._make_room(states[0].kernel_MCnm, steps)
        alive = torch.arange(members, device=device)
        quiet = torch.zeros(members, dtype=torch.long, device=device)
        before = torch.zeros_like(states[0].kernel_MCnm, dtype=torch.float64)
        rows_of = {step: row for row, step in enumerate(self.times)}
        for step in range(steps + 1):
            if step in rows_of:
                self._record(rows_of[step], states, alive)
            stepped = [self.flow.step(state) for state in states]
            following, loss = [pair[0] for pair in stepped], stepped[0][1]
            kernel = states[0].kernel_MCnm
            self.norm_SM[step, alive], self.loss_SM[step, alive] = norms(kernel), loss.double()
            if step == steps:
                break
            update = (following[0].kernel_MCnm - kernel).double()
            self.update_SM[step, alive] = norms(update)
            self.back_SM[step, alive] = (update * before).flatten(1).sum(1) < 0
            before = update
            if step and step % _CHECK_EVERY == 0:
                blown = has_blown_up(self.norm_SM[step, alive], self.norm_SM[0, alive])
                quiet = torch.where(self._still(states, following, alive), quiet + 1, 0)
                gone = blown | (quiet >= _QUIET_LOOKS)
                if bool(gone.any()):
                    self._let_go(step, states, alive, gone, gone & ~blown)
                    kept = (~gone).nonzero()[:, 0]
                    alive, quiet, before = alive[kept], quiet[kept], before[kept]
                    following = [state.take(kept) for state in following]
                if progress is not None:
                    progress(step, steps)
            states = following
            if not len(alive):
                break
        self.final_MCnm[alive] = states[0].kernel_MCnm
        if progress is not None:
            progress(steps, steps)

    def _make_room(self, kernel_MCnm: Tensor, steps: int) -> None:
        """Set up histories (S: every step) and records (T: the times asked for), all "not recorded"."""
        self.final_MCnm = kernel_MCnm.clone()
        nan = torch.full((steps + 1, len(kernel_MCnm)), math.nan, dtype=torch.float64, device=kernel_MCnm.device)
        self.norm_SM, self.update_SM, self.loss_SM = nan.clone(), nan[1:].clone(), nan.clone()
        self.back_SM = torch.zeros_like(self.update_SM, dtype=torch.bool)
        rows = nan[: len(self.times)]
        names = ("twin_difference_TM", "twin_distance_TM", "sharpness_TM")
        self.records = {name: rows.clone() for name in names} | {"shares_TM3": rows[..., None].repeat(1, 1, 3)}

    def _still(self, states: list[FlowState], following: list[FlowState], alive: Tensor) -> Tensor:
        """Return which members have settled, their twins included."""
        start = self.norm_SM[0, alive]
        pairs = [(old.kernel_MCnm, new.kernel_MCnm) for old, new in zip(states, following, strict=True)]
        return torch.stack(
            [has_settled(norms(new - old), norms(old), start, *self._epsilons) for old, new in pairs]
        ).all(0)

    def _let_go(self, step: int, states: list[FlowState], alive: Tensor, gone: Tensor, settled: Tensor) -> None:
        """Keep what members show as they leave; what a settled one shows now, it shows to the end."""
        self.final_MCnm[alive[gone]] = states[0].kernel_MCnm[gone]
        self.steps_M[alive[gone].cpu()] = step
        index = settled.nonzero()[:, 0]
        if len(index):
            self._record(-1, [state.take(index) for state in states], alive[index])

    def _record(self, row: int, states: list[FlowState], alive: Tensor) -> None:
        """Compute what is asked for besides loss and norm."""
        kernel = states[0].kernel_MCnm
        if len(states) > 1:
            other = states[1].kernel_MCnm
            self.records["twin_difference_TM"][row, alive] = mean_relative_l1(kernel, other)
            distance_MP = (kernel.double() - other.double()).abs().flatten(1)
            self.records["twin_distance_TM"][row, alive] = distance_MP.mean(1)
        if self.want_shares:
            self.records["shares_TM3"][row, alive] = self.flow.regime_shares(kernel)
        if self.want_sharpness:
            flow, compute = self.flow, kernel.to(self.flow.compute_dtype)
            bounded = torch.isfinite(norms(compute)) & (norms(compute) < 1e30)
            chosen = bounded.nonzero()[:, 0]
            if len(chosen):
                J = linearise_at(flow.problem, compute[chosen], flow.correlator)
                ends = extreme_eigenpairs(J, (len(chosen), *flow.problem.kernel_shape), like=compute, tolerance=1e-4)
                decay = self.decay_M.to(alive.device)[alive[chosen]]
                found = torch.where(ends.converged_M, ends.high_M.double() + decay, math.nan)
                self.records["sharpness_TM"][row, alive[chosen]] = found

    def finish(self) -> Simulation:
        """Settle the statuses and return the records."""
        status = [FlowStatus.UNDECIDED] * len(self.decay_M)
        epsilon, compute_epsilon = self._epsilons
        lengths, decay_M = self.steps_M.to(self.norm_SM.device), self.decay_M.to(self.norm_SM)
        for length in sorted(set(lengths.tolist())):
            index = (lengths == length).nonzero()[:, 0]
            norm_TM, data_TM = self.norm_SM[: length + 1, index], self.loss_SM[: length + 1, index]
            loss_TM = data_TM + decay_M[index] / 2 * norm_TM.square()
            update_TM, back_TM = self.update_SM[:length, index], self.back_SM[:length, index]
            found = flow_status(
                norm_TM, update_TM, back_TM, loss_TM, data_TM, epsilon=epsilon, compute_epsilon=compute_epsilon
            )
            for i, one in zip(index.tolist(), found, strict=True):
                status[i] = one
        at = torch.tensor(self.times, device=lengths.device)
        held = torch.tensor([one is FlowStatus.CONVERGED for one in status], device=lengths.device)
        after_TM = (at[:, None] > lengths) & held
        records = {
            name: torch.where(after_TM[..., None] if name == "shares_TM3" else after_TM, record[-1], record)
            for name, record in self.records.items()
        }
        times_TM = torch.where(after_TM, lengths, at[:, None])
        norm_TM, data_TM = self.norm_SM.gather(0, times_TM), self.loss_SM.gather(0, times_TM)
        loss_TM = data_TM + decay_M / 2 * norm_TM.square()
        return Simulation(
            step_T=at.cpu(),
            status_M=status,
            steps_M=self.steps_M,
            loss_TM=loss_TM,
            data_loss_TM=data_TM,
            kernel_norm_TM=norm_TM,
            **records,
            final_kernel_MCnm=self.final_MCnm.to(self.flow.compute_dtype),
        )
