"""The seed of a perturbation, and one seed from two numbers."""

from __future__ import annotations

from functools import partial
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator

from lastbit.perturb.base import check_integer

__all__ = ["Seed", "pairing"]

Seed: TypeAlias = Annotated[int, BeforeValidator(partial(check_integer, "seed", least=0))]
"""A seed of a perturbation: a whole number of at least 0."""


def pairing(first: int, second: int) -> int:
    """Return Cantor's pairing of two numbers, different for different pairs and small for small ones.

    `(a + b)(a + b + 1) / 2 + b`; small, so that a label that shows it stays readable.

    Example:
        >>> [pairing(0, 1), pairing(0, 2), pairing(1, 1)]
        [2, 5, 4]
    """
    check_integer("seed", first, least=0)
    return (first + second) * (first + second + 1) // 2 + second
