"""An orthonormal basis, its image under an operator, and the Ritz pairs in it.

Axes: M basis vectors, P parameters, K chosen pairs. Vectors are rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lastbit.core.seeds import torch_stream
from lastbit.curvature.operators import SymmetricOperator

__all__ = ["Subspace"]


class Subspace:
    """An orthonormal basis `V`, its image `W = A V` and the projected matrix `T = V A V^T` in float64."""

    def __init__(self, operator: SymmetricOperator, capacity: int, seed: int) -> None:
        self.operator = operator
        self.capacity = capacity
        self.basis_MP = torch.empty(capacity, operator.size, dtype=operator.dtype, device=operator.device)
        self.image_MP = torch.empty_like(self.basis_MP)
        self.projected = torch.zeros(capacity, capacity, dtype=torch.float64)
        self.size = 0
        # Drawn on the CPU, so that a seed means the same start on every device.
        self.generator = torch_stream(seed, "eigen start")

    def random(self) -> Tensor:
        """Draw a standard normal vector."""
        vector = torch.randn(self.operator.size, generator=self.generator, dtype=torch.float64)
        return vector.to(self.operator.device, self.operator.dtype)

    def expand(self, vector_P: Tensor) -> None:
        """Add the direction of `vector_P` that is new; a random one where nothing new is left."""
        used_MP = self.basis_MP[: self.size]
        while True:
            before = vector_P.norm()
            # Twice is enough (Kahan and Parlett): one pass leaves a component as large as the rounding.
            for _ in range(2):
                vector_P = vector_P - used_MP.mT @ (used_MP @ vector_P)
            if vector_P.norm() > 10 * torch.finfo(vector_P.dtype).eps * before:
                break
            vector_P = self.random()
        vector_P = vector_P / vector_P.norm()
        vector_P = vector_P - used_MP.mT @ (used_MP @ vector_P)
        vector_P = vector_P / vector_P.norm()
        m = self.size
        self.basis_MP[m] = vector_P
        self.image_MP[m] = self.operator @ vector_P
        column = (self.basis_MP[: m + 1] @ self.image_MP[m]).to("cpu", torch.float64)
        self.projected[: m + 1, m] = column
        self.projected[m, : m + 1] = column
        self.size += 1

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Return Ritz values, ascending, and their coordinates as columns."""
        values, coordinates = torch.linalg.eigh(self.projected[: self.size, : self.size])
        return values, coordinates

    def combine(self, coordinates_MK: Tensor, rows_MP: Tensor) -> Tensor:
        """Return the combinations of `rows_MP` with these coordinates as columns, as rows."""
        return coordinates_MK.mT.to(rows_MP.device, rows_MP.dtype) @ rows_MP[: self.size]

    def restart(self, values: Tensor, coordinates_MK: Tensor) -> None:
        """Shrink the basis to the Ritz vectors with these coordinates."""
        basis_KP, image_KP = self.combine(coordinates_MK, self.basis_MP), self.combine(coordinates_MK, self.image_MP)
        self.size = len(values)
        self.basis_MP[: self.size] = basis_KP
        self.image_MP[: self.size] = image_KP
        self.projected.zero_()
        self.projected[: self.size, : self.size] = torch.diag(values)

    def residuals(self, values: Tensor, coordinates_MK: Tensor) -> Tensor:
        """Return `A y - theta y` for the Ritz pairs with these coordinates, as rows."""
        scaled = values.to(self.operator.device, self.operator.dtype)[:, None]
        return self.combine(coordinates_MK, self.image_MP) - scaled * self.combine(coordinates_MK, self.basis_MP)
