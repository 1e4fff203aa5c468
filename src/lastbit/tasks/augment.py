"""Random crop and flip as pure functions of the images and of uniform draws, one row of draws per image.

An image's crop depends on its own draws and on nothing else, so it is the same whichever batch the image is in.

Legend: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = ["crop", "crop_flip", "flip"]


def _check(inputs: Tensor, draws: Tensor, needed: int) -> None:
    if inputs.ndim != 4:
        raise LastbitError(f"crop and flip work on images (B, C, H, W), got inputs {tuple(inputs.shape)}")
    if draws.shape != (len(inputs), needed):
        raise LastbitError(f"augmentation needs draws ({len(inputs)}, {needed}), got {tuple(draws.shape)}")


def crop(inputs: Tensor, draws: Tensor, *, pad: int) -> Tensor:
    """Shift each image by up to `pad` pixels in both directions: pad with zeros, then crop H x W at random.

    The row offset is `floor(draws[:, 0] (2 pad + 1))`, the column offset likewise from `draws[:, 1]`; an offset of
    `pad` is no shift.
    In standardised images a zero is the mean pixel.

    Args:
        inputs: `(B, C, H, W)`.
        draws: `(B, 2)`, uniform in [0, 1).
        pad: pixels added on each side.
    """
    _check(inputs, draws, 2)
    b, _, h, w = inputs.shape
    device = inputs.device
    # The product of the largest float below 1 may round up to 2 pad + 1 itself.
    offsets_B2 = (draws.to(device) * (2 * pad + 1)).long().clamp(0, 2 * pad)
    rows_BH = offsets_B2[:, :1] + torch.arange(h, device=device)
    columns_BW = offsets_B2[:, 1:] + torch.arange(w, device=device)
    padded = F.pad(inputs, (pad, pad, pad, pad)).movedim(1, -1)
    cut_BHWC = padded[torch.arange(b, device=device)[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]
    return cut_BHWC.movedim(-1, 1).contiguous()


def flip(inputs: Tensor, draws: Tensor) -> Tensor:
    """Mirror each image `(B, C, H, W)` left to right where its draw `(B, 1)` is below one half."""
    _check(inputs, draws, 1)
    mirrored = (draws.to(inputs.device) < 0.5).view(-1, 1, 1, 1)
    return torch.where(mirrored, inputs.flip(-1), inputs)


def crop_flip(inputs: Tensor, draws: Tensor, *, pad: int) -> Tensor:
    """Crop by the first two of three draws, then flip by the third."""
    _check(inputs, draws, 3)
    return flip(crop(inputs, draws[:, :2], pad=pad), draws[:, 2:])
