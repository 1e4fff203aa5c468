"""From what was computed to what JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Return JSON-able data: arrays and tuples as lists, dataclasses by their fields, paths and enums of str as text.

    Infinities survive as the strings "inf" and "-inf", which Python's `float` and pydantic read back; NaN, a number
    that there is none of, is None.

    Example:
        >>> plain({"rate": np.array([0.5, np.nan]), "span": (1, np.float64("inf"))})
        {'rate': [0.5, None], 'span': [1, 'inf']}
    """
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, str | PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value
