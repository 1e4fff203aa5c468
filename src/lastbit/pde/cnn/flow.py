"""One step of the non-linear flow, for an ensemble: `d/dt K = -(grad of the mean cross-entropy) - alpha K`, stepped.

With `t = s(beta z)` and `q = beta z t`, the swish is `q / beta` and its slope `t + q - q t`, one interpolation: a
step is one forward map, a sigmoid, a product, a sum, an interpolation and one adjoint map.

The *k-rescaled* update `K <- K - (k dt)(d / k)` equals `K <- K - dt d` in exact arithmetic; for odd k it changes how
the update is rounded, and nothing else.

In bfloat16 the kernel, the velocity, the gradient and every operation of the update are rounded to bfloat16; the
responses, the pooling and the adjoint map are computed in float32 from the rounded kernel (there is no FFT in
bfloat16), as mixed-precision training does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from lastbit.core.errors import choose
from lastbit.pde.builtin_schemes import EULER, descent_direction
from lastbit.pde.cnn.activation import regime_shares
from lastbit.pde.cnn.correlation import Correlator, make_correlator
from lastbit.pde.cnn.problem import CnnProblem
from lastbit.pde.schemes import TimeScheme

__all__ = ["DTYPES", "CnnFlow", "FlowState"]

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}
"""Formats a flow runs in."""

_CHUNK_BYTES = 1 << 20
"""Responses processed at a time on a CPU: they stay in its second-level cache."""
_CHUNK_BYTES_ELSEWHERE = 1 << 30
"""Likewise on an accelerator, where large batches pay."""


@dataclass(frozen=True, eq=False)
class FlowState:
    """An ensemble between two steps.

    Attributes:
        kernel_MCnm: the kernels.
        velocity_MCnm: the scheme's velocity (unused by Euler).
        lr_M: learning rate `dt` of each member.
        weight_decay_M: `alpha` of each member.
        k_M: rescaling of the update; 1 is the plain one.
    """

    kernel_MCnm: Tensor
    velocity_MCnm: Tensor
    lr_M: Tensor
    weight_decay_M: Tensor
    k_M: Tensor

    def take(self, members: Tensor) -> FlowState:
        """Return some members only."""
        return FlowState(*(getattr(self, field.name)[members] for field in fields(self)))


class CnnFlow:
    """Steps an ensemble of kernels on one problem. Holds no state that changes."""

    def __init__(
        self, problem: CnnProblem, *, scheme: TimeScheme = EULER, dtype: str = "float64", engine: str = "auto"
    ) -> None:
        """Prepare the image's spectrum or patches.

        Args:
            problem: images, labels, activation.
            scheme: of the steps.
            dtype: `"float64"`, `"float32"` or `"bfloat16"`.
            engine: of the correlation.

        Raises:
            LastbitError: unknown format or engine.
        """
        self.state_dtype = DTYPES[choose(dtype, DTYPES, "dtype")]
        self.compute_dtype = torch.float64 if dtype == "float64" else torch.float32
        self.problem = problem.to(self.compute_dtype)
        self.scheme = scheme
        self.correlator: Correlator = make_correlator(self.problem, engine)
        rows, columns = problem.positions
        size = len(problem.labels_B) * rows * columns * self.problem.images_BCHW.element_size()
        on_cpu = problem.images_BCHW.device.type == "cpu"
        self._chunk = max(1, (_CHUNK_BYTES if on_cpu else _CHUNK_BYTES_ELSEWHERE) // size)
        self._one = torch.ones((), dtype=self.compute_dtype, device=problem.images_BCHW.device)

    def init(self, kernel_MCnm: Tensor, lr_M: Tensor, weight_decay_M: Tensor, k_M: Tensor) -> FlowState:
        """Round everything to the flow's format and start at rest."""
        dtype, device = self.state_dtype, self.problem.images_BCHW.device
        kernel, lr, decay, k = (x.to(device, dtype) for x in (kernel_MCnm, lr_M, weight_decay_M, k_M))
        return FlowState(kernel, torch.zeros_like(kernel), lr, decay, k)

    def gradient(self, kernel_MCnm: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient of the data loss and the data loss per member, in the compute format."""
        kernel = kernel_MCnm.to(self.compute_dtype)
        if len(kernel) <= self._chunk:
            return self._gradient(kernel)
        parts = [self._gradient(part) for part in torch.split(kernel, self._chunk)]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def step(self, state: FlowState) -> tuple[FlowState, Tensor]:
        """Return the next state and the data loss of the given one, per member."""
        gradient, loss_M = self.gradient(state.kernel_MCnm)
        decay, lr, k = (x[:, None, None, None] for x in (state.weight_decay_M, state.lr_M, state.k_M))
        full = gradient.to(self.state_dtype) + decay * state.kernel_MCnm
        direction, velocity = descent_direction(self.scheme, full, state.velocity_MCnm)
        kernel = state.kernel_MCnm - (k * lr) * (direction / k)
        return replace(state, kernel_MCnm=kernel, velocity_MCnm=velocity), loss_M

    def regime_shares(self, kernel_MCnm: Tensor) -> Tensor:
        """Return the shares of positions in the three regimes: `[M, 3]`."""
        kernel = kernel_MCnm.to(self.compute_dtype)
        parts = [
            regime_shares(self.correlator.forward(part), self.problem.beta) for part in torch.split(kernel, self._chunk)
        ]
        return torch.cat(parts)

    def _gradient(self, kernel_MCnm: Tensor) -> tuple[Tensor, Tensor]:
        problem = self.problem
        z_MBxy = self.correlator.forward(problem.beta * kernel_MCnm)
        t_MBxy = torch.sigmoid(z_MBxy)
        q_MBxy = z_MBxy.mul_(t_MBxy)
        p_MB = q_MBxy.sum((-2, -1)) * (problem.pool / problem.beta)
        y_B = problem.labels_B
        # y * inf would be NaN at y = 0: a term whose weight vanishes is left out.
        softplus = torch.nn.functional.softplus
        miss = torch.where(y_B > 0, y_B * softplus(-p_MB), 0)
        loss_M = (miss + torch.where(y_B < 1, (1 - y_B) * softplus(p_MB), 0)).mean(1)
        weight_MB = (torch.sigmoid(p_MB) - y_B) * (problem.pool / len(y_B))
        slope_MBxy = torch.lerp(q_MBxy, self._one, t_MBxy)
        if len(y_B) == 1:
            return self.correlator.adjoint(slope_MBxy) * weight_MB[..., None, None], loss_M
        return self.correlator.adjoint(slope_MBxy * weight_MB[..., None, None]), loss_M
