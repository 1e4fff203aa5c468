"""What every curvature operator is: a symmetric matrix known by its products with vectors.

Axes: K vectors of a block, P parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = ["SymmetricOperator"]


class SymmetricOperator(ABC):
    """A real symmetric matrix of shape `(size, size)` that is never formed.

    `operator @ v` takes a vector `(P,)` or a block of columns `(P, K)`. `products` counts vectors multiplied so far.
    """

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.size = size
        self.dtype = dtype
        self.device = device
        self.products = 0

    @property
    def shape(self) -> tuple[int, int]:
        """`(size, size)`."""
        return (self.size, self.size)

    @abstractmethod
    def _multiply(self, vectors_KP: Tensor) -> Tensor:
        """Return the products with the rows of `vectors_KP`, as rows."""

    def multiply_rows(self, vectors_KP: Tensor) -> Tensor:
        """Return the products with the rows of a `(K, P)` block, as rows.

        Raises:
            LastbitError: shape, dtype or device do not fit, or a product is not finite.
        """
        if vectors_KP.ndim != 2 or vectors_KP.shape[1] != self.size:
            raise LastbitError(
                f"the operator multiplies vectors of {self.size} numbers, got shape {tuple(vectors_KP.shape)}"
            )
        if vectors_KP.dtype != self.dtype or vectors_KP.device != self.device:
            raise LastbitError(
                f"the operator works in {self.dtype} on {self.device}, got {vectors_KP.dtype} on {vectors_KP.device}: "
                "convert the vector with .to(operator.device, operator.dtype)"
            )
        self.products += vectors_KP.shape[0]
        with torch.inference_mode(False):
            return self._multiply(vectors_KP.clone() if vectors_KP.is_inference() else vectors_KP)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Multiply a vector `(P,)` or columns `(P, K)`."""
        if vectors.ndim == 1:
            return self.multiply_rows(vectors[None])[0]
        return self.multiply_rows(vectors.mT).mT

    def dense(self) -> Tensor:
        """Return the matrix itself, `(P, P)`, from P products: for small operators and tests."""
        return self @ torch.eye(self.size, dtype=self.dtype, device=self.device)

    def to_scipy(self) -> LinearOperator:
        """Return the operator for `scipy.sparse.linalg` (NumPy vectors, products still counted here)."""

        def product(vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            column = torch.as_tensor(vector.reshape(-1)).to(self.device, self.dtype)
            return (self @ column).to(numeric).cpu().numpy()

        # NumPy knows no bfloat16, and ARPACK no half precision.
        numeric = self.dtype if self.dtype == torch.float64 else torch.float32
        numpy_dtype = torch.empty((), dtype=numeric).numpy().dtype
        return LinearOperator(self.shape, matvec=product, dtype=numpy_dtype)
