"""What a run keeps of its weights: as many bytes for a tensor of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core.digests import sha256_of
from lastbit.core.recorder import Moment
from lastbit.train.training import Training

__all__ = ["Weigh", "described", "first_weighed", "of_weights", "result_weighed", "weighed", "weighed_of_before"]

Arrays = dict[str, np.ndarray[Any, Any]]

Weigh = Callable[[Moment, Mapping[str, Tensor], Mapping[str, Tensor]], Arrays]
"""Called with weights and buffers by name after the first step and for the network that is the result: returns what is
kept of the weights, the same number of bytes however large they are."""


def weighed(when: Moment, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> Arrays:
    """Return the digests of the weights alone."""
    return {"digest": sha256_of(weights)}


def of_weights(first: Mapping[str, Tensor], final: Mapping[str, Tensor], weigh: Weigh) -> Arrays:
    """Return the arrays of a run that tell of its weights, where both moments are at hand.

    Args:
        first: the weights after the first step, by name.
        final: of the network that is the result.
        weigh: what is kept of them.
    """
    weighings = _named("first", weigh("first", first, {})) | _named("final", weigh("final", final, {}))
    return _described("weights", final) | weighings


def described(training: Training) -> Arrays:
    """Return the names, sizes and formats of weights and buffers, in the order of their digests."""
    return _described("weights", training.trained()) | _described("buffers", _buffers(training))


def first_weighed(training: Training, weigh: Weigh) -> Arrays:
    """Return what is kept of the weights after the first step."""
    return _named("first", weigh("first", training.trained(), {}))


def result_weighed(training: Training, weigh: Weigh) -> Arrays:
    """Return what is kept of the network as it is."""
    return _of_the_result(training, training.trained(), _buffers(training), weigh)


def weighed_of_before(training: Training, first: Tensor, kept: Arrays, weigh: Weigh) -> Arrays:
    """Weigh what a checkpoint of a former lastbit held: the first weights, returned, and in place those of `kept`."""
    weights, buffers = training.trained(), _buffers(training)
    if kept:
        final, state = (
            _split(torch.from_numpy(kept.pop(name)), like)
            for name, like in (("weights_final", weights), ("buffers_final", buffers))
        )
        kept |= _of_the_result(training, final, state, weigh)
    return _named("first", weigh("first", _split(first, weights), {}))


def _buffers(training: Training) -> dict[str, Tensor]:
    return dict(training.model.named_buffers())


def _of_the_result(
    training: Training, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor], weigh: Weigh
) -> Arrays:
    # Only what belongs to the network's state goes with its weights.
    saved = training.model.state_dict().keys()
    found = weigh("final", weights, {name: buffer for name, buffer in buffers.items() if name in saved})
    return _named("final", found) | {"buffers_final_digest": sha256_of(buffers)}


def _named(when: Moment, found: Arrays) -> Arrays:
    return {f"weights_{when}_{name}": array for name, array in found.items()}


def _described(what: str, tensors: Mapping[str, Tensor]) -> Arrays:
    formats = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()]
    return {
        f"{what}_name": np.array(list(tensors), dtype=np.str_),
        f"{what}_size": np.array([tensor.numel() for tensor in tensors.values()], dtype=np.int64),
        f"{what}_format": np.array(formats, dtype=np.str_),
    }


def _split(flat: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return flat numbers as tensors of the shapes and formats of others."""
    parts = torch.split(flat, [tensor.numel() for tensor in like.values()])
    return {
        name: part.to(tensor.dtype).view(tensor.shape) for part, (name, tensor) in zip(parts, like.items(), strict=True)
    }
