"""Makes the helper modules beside the tests importable, here and in worker processes."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lastbit.store import StudyFolder

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def odd_settings():
    """A caller with settings and generators of its own, none of them at its default."""
    benchmark, matmul = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    torch.manual_seed(99)
    np.random.seed(98)  # noqa: NPY002
    random.seed(97)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    yield
    torch.backends.cudnn.benchmark = benchmark
    torch.set_float32_matmul_precision(matmul)


@pytest.fixture
def folder(tmp_path):
    """A study's folder, open."""
    with StudyFolder.create(tmp_path / "study", {}) as study:
        yield study
