"""The weights that finished runs have left, read back: lent, kept, or of a former lastbit among the arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core.batches import widened
from lastbit.core.digests import sha256_of
from lastbit.core.recorder import MOMENTS, Moment
from lastbit.store import DamagedFileError, RunFiles, StudyFolder

__all__ = ["Arrays", "arrays_of", "differing", "digested", "is_former", "stored_weights", "without_weights"]

Arrays = Mapping[str, np.ndarray[Any, Any]]

_FORMER = ("weights_first", "weights_final", "buffers_final")
"""Arrays in which a former lastbit kept numbers where digests are now: flat, half precision as float32."""

_BLOCK = 1 << 20


def is_former(arrays: Arrays) -> bool:
    """Tell whether a run keeps its final weights among its arrays."""
    return "weights_final" in arrays


def without_weights(arrays: Arrays) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a run without those that grow with its network."""
    return {name: array for name, array in arrays.items() if name not in _FORMER}


def stored_weights(files: RunFiles, arrays: Arrays, when: Moment) -> list[Tensor] | None:
    """Return the weights of a run at a moment, tensor by tensor, of a former lastbit as one.

    Args:
        files: of the run.
        arrays: of the run.
        when: which.

    Returns:
        None where they are not there, or are not the bits whose digests are in the arrays.
    """
    if (former := arrays.get(f"weights_{when}")) is not None:
        return [torch.from_numpy(former)]
    found = files.load_weights(when) if f"weights_{when}_digest" in arrays else None
    if found is None:
        return None
    # Those that stay have the buffers beside them; of a function's optimizer some may have come up later.
    weights = {name: found[name] for name in arrays["weights_name"].tolist() if name in found}
    return list(weights.values()) if np.array_equal(sha256_of(weights), arrays[f"weights_{when}_digest"]) else None


def differing(one: Sequence[Tensor], two: Sequence[Tensor]) -> int | None:
    """Return in how many elements two sets of tensors differ; two NaNs do not. None where their sizes do."""
    if len(one) != len(two):  # those of a former lastbit are one tensor
        one, two = ([torch.cat([widened(x).reshape(-1) for x in each])] for each in (one, two))
    if [x.numel() for x in one] != [x.numel() for x in two]:
        return None
    return sum(
        int(((a != b) & ~(a.isnan() & b.isnan())).sum())
        for x, y in zip(one, two, strict=True)
        for a, b in zip(_blocks(x), _blocks(y), strict=True)
    )


def _blocks(x: Tensor) -> Iterator[Tensor]:
    return iter(torch.split(x.reshape(-1), _BLOCK))


def digested(arrays: Arrays, like: Arrays) -> Arrays:
    """Return the arrays of a run of a former lastbit with the digests of its weights and buffers in their place.

    Args:
        arrays: of the run.
        like: of another run of the same training, which has digests; names, sizes and formats are taken from it.

    Returns:
        `arrays` themselves where they keep no such numbers, `like` has no digests, or the sizes do not fit.
    """
    if not is_former(arrays) or "weights_final_digest" not in like:
        return arrays
    found = dict(arrays)
    for what, when in (*(("weights", when) for when in MOMENTS), ("buffers", "final")):
        name = f"{what}_{when}"
        if name not in arrays or f"{name}_digest" not in like:
            continue
        found.pop(name)
        flat, sizes = torch.from_numpy(arrays[name]), like[f"{what}_size"].tolist()
        if flat.numel() != sum(sizes):
            return arrays
        formats = [getattr(torch, one) for one in like[f"{what}_format"].tolist()]
        parts = zip(torch.split(flat, sizes), formats, strict=True)
        found[f"{name}_digest"] = sha256_of({str(place): part.to(form) for place, (part, form) in enumerate(parts)})
        found |= {f"{what}_{part}": like[f"{what}_{part}"] for part in ("name", "size", "format")}
    return found


def arrays_of(folder: StudyFolder, run: str) -> Arrays | None:
    """Return the arrays of a run; None where they cannot be read."""
    try:
        return folder.arrays(run)
    except DamagedFileError:
        return None
