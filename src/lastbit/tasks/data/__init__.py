"""Readers of the built-in data sets: decoded once in a process, standardised, split the same way every time."""

from __future__ import annotations

from lastbit.tasks.data.images import Images, standardised_splits, stratified_order

__all__ = ["Images", "standardised_splits", "stratified_order"]
