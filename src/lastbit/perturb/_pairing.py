"""One seed from two numbers."""

from __future__ import annotations

from lastbit.perturb._base import check_integer

__all__ = ["pairing"]


def pairing(first: int, second: int) -> int:
    """Return Cantor's pairing of two numbers, different for different pairs and small for small ones.

    `(a + b)(a + b + 1) / 2 + b`; small, so that a label that shows it stays readable.

    Example:
        >>> [pairing(0, 1), pairing(0, 2), pairing(1, 1)]
        [2, 5, 4]
    """
    check_integer("seed", first, least=0)
    return (first + second) * (first + second + 1) // 2 + second
