"""What the names of devices mean."""

import pytest
import torch

from lastbit.core.device import resolve_device
from lastbit.core.errors import LastbitError


def test_devices_by_name(monkeypatch):
    assert resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:0", "cuda:7"):
        with pytest.raises(LastbitError, match=r"no CUDA device here; use --device cpu"):
            resolve_device(name)
    for name in ("gpu", "", "mps", "CPU", "cpu:x", "cpu:-1", "auto:0"):
        with pytest.raises(LastbitError, match=r"unknown --device .*choose one of auto, cpu, cuda, cuda:N"):
            resolve_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(LastbitError, match=r"--device cuda:2: CUDA devices are counted from 0, up to 1 here"):
        resolve_device("cuda:2")
    with pytest.raises(LastbitError, match="unknown --device 'cuda:x'"):
        resolve_device("cuda:x")
