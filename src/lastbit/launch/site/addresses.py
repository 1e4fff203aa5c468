"""Numbers in place of addresses, given to objects in the order in which they are first asked for.

Only the standard library is imported: this is loaded by `sitecustomize.py` before anything of lastbit's is.
"""

from __future__ import annotations

import weakref
from itertools import count
from typing import Any

__all__ = ["number_of"]

_address = id
"""As it was before anything was changed."""

_given = count(1)

_numbers: dict[int, tuple[weakref.ref[Any], int]] = {}
"""By address, with who lives there: an address is used anew."""


def number_of(one: Any) -> int:
    """Return the number of an object; its address, where it is of a kind that cannot be told from a later one there."""
    address = _address(one)
    known = _numbers.get(address)
    if known is not None and known[0]() is one:
        return known[1]
    try:
        lives = weakref.ref(one)
    except TypeError:
        return address
    number = next(_given)
    _numbers[address] = lives, number
    return number
