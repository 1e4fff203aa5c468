"""The built-in networks, each a function of the input shape, the number of classes and a few named choices."""

from __future__ import annotations

from lastbit.tasks.models.registry import ACTIVATIONS, MODELS, NORMS, PLAIN, ModelSpec, build_model

__all__ = ["ACTIVATIONS", "MODELS", "NORMS", "PLAIN", "ModelSpec", "build_model"]
