"""Images to put through the one-layer CNN: checkerboard, white noise, or a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import numpy_stream

__all__ = ["BUILTIN_IMAGES", "checkerboard", "load_image", "make_image", "white_noise"]

BUILTIN_IMAGES = ("checkerboard", "noise")


def checkerboard(size: int) -> Tensor:
    """Return `[1, size, size]` of `(-1)^(row + column)` in float64: one single spatial frequency, the highest."""
    parity = torch.arange(size)
    return (1.0 - 2.0 * ((parity[:, None] + parity[None, :]) % 2)).double()[None]


def white_noise(size: int, *, channels: int = 1, seed: int = 0) -> Tensor:
    """Return `[channels, size, size]` of independent standard normals in float64: all frequencies alike."""
    return torch.as_tensor(numpy_stream(seed, "pde", "image").standard_normal((channels, size, size)))


def load_image(path: str | Path, *, size: int | None = None, grey: bool = True) -> Tensor:
    """Read an image file, scaled to [-1, 1], as `[C, H, W]` in float64.

    Args:
        path: any format Pillow reads.
        size: resample to this many rows and columns (the file's own size when None).
        grey: one channel of luma; else red, green, blue.

    Raises:
        LastbitError: there is no such file, or it is not an image.
    """
    from PIL import Image, UnidentifiedImageError

    file = Path(path)
    if not file.is_file():
        names = ", ".join(BUILTIN_IMAGES)
        raise LastbitError(f"image {str(path)!r} is neither a file nor built in: give a file, or one of {names}")
    try:
        with Image.open(file) as opened:
            picture = opened.convert("L" if grey else "RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise LastbitError(f"{str(path)!r} cannot be read as an image: give a PNG, JPEG or similar file") from None
    if size is not None:
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, dtype=np.float64) / 127.5 - 1.0
    return torch.as_tensor(pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def make_image(source: str, *, size: int = 256, channels: int = 1, seed: int = 0) -> Tensor:
    """Return the image named by `source`: `"checkerboard"`, `"noise"`, or a file, as `[C, size, size]` float64.

    A checkerboard of several channels repeats itself; a file gives 1 channel (luma) or 3.

    Raises:
        LastbitError: the size or number of channels is invalid, or the file cannot be read.
    """
    if size < 1:
        raise LastbitError(f"image size = {size}: use 1 or more")
    if channels < 1:
        raise LastbitError(f"channels = {channels}: use 1 or more")
    if source == "checkerboard":
        return checkerboard(size).expand(channels, size, size).contiguous()
    if source == "noise":
        return white_noise(size, channels=channels, seed=seed)
    if channels not in (1, 3):
        raise LastbitError(f"channels = {channels} of an image file: use 1 (luma) or 3 (red, green, blue)")
    return load_image(source, size=size, grey=channels == 1)
