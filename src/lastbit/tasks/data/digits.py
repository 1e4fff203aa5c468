"""The 8x8 handwritten digits that come with scikit-learn: real data without a download."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lastbit.tasks.data.images import Images, stratified_order
from lastbit.tasks.registry import TASKS

__all__ = ["load_digits"]


@lru_cache(maxsize=1)
def load_digits(data_root: str | None = None) -> Images:
    """Return the digits, pixels 0 to 16, split once and for all into 1,000 and 797, balanced over the classes.

    Source: the test part of Alpaydin and Kaynak's optical recognition of handwritten digits, UCI (1998), as
    distributed in scikit-learn, where no folder is needed.
    """
    from sklearn.datasets import load_digits as bundled  # imports much; only those who ask for digits pay

    data = bundled()
    pixels = data.images.astype(np.uint8)[:, None]
    labels = data.target.astype(np.uint8)
    order = stratified_order(labels, name="digits")
    count = TASKS["digits"].train_images
    train, test = order[:count], order[count:]
    return Images(train=pixels[train], train_labels=labels[train], test=pixels[test], test_labels=labels[test])
