"""The gradient flow beside gradient descent: the same loss followed by adaptive steps instead of Euler's.

    dw/dt = -(grad L(w) + alpha w),      t = sum of lr over the steps  (over 1 - beta with momentum)

Where gradient descent hovers at its limit, the flow sharpens on: the difference of the two is what the step size does.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.integrate import RK45
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lastbit.core.batches import apply_model
from lastbit.core.errors import LastbitError
from lastbit.curvature import HessianOperator, NotFiniteError, top_eigenpairs
from lastbit.perturb.base import Identity
from lastbit.studies.eos.follow import probe_of
from lastbit.tasks import Task
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

__all__ = ["gradient_flow"]

POINTS = 40
"""Times at which the flow's sharpness is measured, evenly; as many again are crowded into the start."""

MAX_GRADIENTS = 20_000
"""Gradients spent at most. An explicit method needs about `t * sharpness / 3` of them: the flow becomes stiff."""

RTOL, ATOL = 1e-3, 1e-6
"""Of the integrator: its error then lies far below the distance between flow and descent at their edge."""


def _times(training: Training, steps: int) -> np.ndarray:
    """Return the flow's time after each step, from 0 on, by running the schedule alone."""
    group, times = training.optimizer.param_groups[0], [0.0]
    for _ in range(steps):
        times.append(times[-1] + float(group["lr"]) / (1 - float(group["momentum"])))
        training.optimizer.step()  # there are no gradients to step by
        for schedule in training.handed.schedulers.values():
            assert not isinstance(schedule, ReduceLROnPlateau)
            schedule.step()
    return np.array(times)


def gradient_flow(task: Task, *, seed: int, steps: int, device: torch.device) -> dict[str, np.ndarray]:
    """Follow the gradient flow of the full training loss from the study's initial weights, in float64.

    Dormand and Prince's explicit Runge–Kutta pair with adaptive steps (SciPy's `RK45`).

    Args:
        task: its loss, network, learning rate, momentum and weight decay.
        seed: of the initial weights.
        steps: of gradient descent; the flow ends at the same scaled time.
        device: where.

    Returns:
        `flow_step` (F,), the time in steps of gradient descent, `flow_loss`, `flow_sharpness` (F,), and
        `flow_gradients`, how many were spent. The series ends early where `MAX_GRADIENTS` do not suffice.

    Raises:
        LastbitError: the optimizer has no such flow.
    """
    training = Training(task, streams(seed), Identity(), device=device, dtype=torch.float64)
    group = training.optimizer.param_groups[0]
    if any(isinstance(schedule, ReduceLROnPlateau) for schedule in training.handed.schedulers.values()):
        raise LastbitError("--flow: a learning rate that waits for a plateau has no time of its own: leave --flow out")
    if not isinstance(training.optimizer, torch.optim.SGD) or len(training.optimizer.param_groups) > 1:
        raise LastbitError(f"--flow: {type(training.optimizer).__name__} is no gradient descent of one group")
    decay = float(group["weight_decay"])
    early, late = np.geomspace(min(0.5, steps / 2), steps, POINTS), np.linspace(0, steps, POINTS)
    looks = np.unique(np.concatenate([[0.0], early, late]).round(6).clip(0, steps))
    times = np.interp(looks, np.arange(steps + 1), _times(training, steps))
    parameters = [p for p in training.model.parameters() if p.requires_grad]
    with training.active():
        batch, loss_fn = probe_of(training, len(task.train), torch.float64)

    def put(flat: np.ndarray) -> None:
        parts = torch.split(torch.from_numpy(flat).to(device), [p.numel() for p in parameters])
        with torch.no_grad():
            for p, part in zip(parameters, parts, strict=True):
                p.copy_(part.view_as(p))

    def slope(_: float, flat: np.ndarray) -> np.ndarray:
        put(flat)
        gradients = torch.autograd.grad(loss_fn(apply_model(training.model, batch[0]), batch[1]), parameters)
        return -torch.cat([g.reshape(-1) for g in gradients]).cpu().numpy() - decay * flat

    start = torch.cat([p.detach().reshape(-1) for p in parameters]).cpu().numpy()
    found: list[tuple[float, float, float]] = []
    warm: torch.Tensor | None = None
    with training.active():
        solver = RK45(slope, 0.0, start, t_bound=times[-1], rtol=RTOL, atol=ATOL)
        for look, target in zip(looks, times, strict=True):
            while solver.t < target and solver.status == "running" and solver.nfev < MAX_GRADIENTS:
                solver.step()
            if solver.t < target or solver.status == "failed":
                break
            put(solver.y if solver.t == target or target == 0 else solver.dense_output()(target))
            try:
                hessian = HessianOperator(training.model, loss_fn, batch)
                pairs = top_eigenpairs(hessian, tol=1e-2, atol=1e-12, start=warm)
            except NotFiniteError:
                break
            warm = pairs.warm
            found.append((look, float(hessian.loss_and_gradient()[0]), pairs.largest))
    training.close()
    columns = zip(("flow_step", "flow_loss", "flow_sharpness"), np.array(found).reshape(-1, 3).T, strict=True)
    return dict(columns) | {"flow_gradients": np.array(solver.nfev)}
