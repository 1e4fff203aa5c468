"""Labelled images as bytes, and the way from them to standardised tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import numpy_stream
from lastbit.tasks.split import Split

__all__ = ["Images", "check_labels", "standardised_splits", "stratified_order"]

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


# Compared by identity, so that what is derived from a data set can be cached beside it.
@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """A decoded data set.

    Attributes:
        train: `(N, C, H, W)` bytes.
        train_labels: `(N,)` integers from 0.
        test: `(M, C, H, W)` bytes.
        test_labels: `(M,)`.
    """

    train: Bytes
    train_labels: Bytes
    test: Bytes
    test_labels: Bytes


def check_labels(labels: np.ndarray[Any, Any], images: int, *, classes: int, where: str) -> None:
    """Refuse labels that are not one byte per image, below `classes`.

    Raises:
        LastbitError: says what is wrong with the labels in `where`.
    """
    if labels.dtype != np.uint8 or labels.shape != (images,):
        raise LastbitError(f"{where} holds labels {labels.dtype} {labels.shape}, but there are {images} images")
    if images == 0:
        raise LastbitError(f"{where} holds no labels: the data set is empty")
    if labels.max() >= classes:
        raise LastbitError(f"{where} holds the label {labels.max()}: there are {classes} classes, counted from 0")


def stratified_order(labels: np.ndarray[Any, Any], *, name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return an order of the examples of which every prefix holds the classes in proportion.

    Examples are shuffled within their class (stream `name` of seed 0), then ordered by their rank in it divided by its
    size, so a smaller training set is part of a larger one and each is balanced to about one example per class.
    """
    shuffled = numpy_stream(0, "stratified", name).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, first, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(first, counts)
    position = (rank + 0.5) / np.repeat(counts, counts)
    return by_class[np.argsort(position, kind="stable")].astype(np.int64)


@lru_cache(maxsize=4)
def standardised_splits(images: Images, *, name: str, train_size: int | None = None) -> tuple[Split, Split]:
    """Return training and test examples as float32 images of mean 0 and variance 1 in each channel, int64 labels.

    Mean and deviation are those of all training images, so the test inputs do not depend on `train_size`.

    Args:
        images: the decoded data set.
        name: its name, for messages and for the stream that picks the part.
        train_size: how many training images to keep, balanced over the classes (see `stratified_order`), in
            the order of the data set; None for all of them.

    Raises:
        LastbitError: there are fewer training images than `train_size`.
    """
    size = len(images.train) if train_size is None else train_size
    if size > len(images.train):
        raise LastbitError(f"train_size = {size}: {name} has {len(images.train)} training images: write at most that")
    # Mean and standard deviation of each channel, from exact integer sums.
    axes, count = (0, 2, 3), images.train[:, 0].size
    mean = images.train.sum(axis=axes, dtype=np.uint64) / count
    squares = np.square(images.train, dtype=np.uint16).sum(axis=axes, dtype=np.uint64)
    deviation = np.sqrt(squares / count - mean**2)
    kept = np.sort(stratified_order(images.train_labels, name=name)[:size])

    shift = mean.astype(np.float32)[:, None, None]

    def split(pixels: Bytes, labels: Bytes, what: str) -> Split:
        values = pixels - shift
        values /= deviation.astype(np.float32)[:, None, None]
        return Split((torch.from_numpy(values), torch.from_numpy(labels.astype(np.int64))), name=what)

    train = split(images.train[kept], images.train_labels[kept], "train")
    return train, split(images.test, images.test_labels, "test")
