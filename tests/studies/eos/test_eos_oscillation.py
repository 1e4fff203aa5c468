"""Of more points than a line can show some are left out, and an oscillation stays one."""

import base64
import json
import re
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
import torch

from lastbit import StabilityMonitor, open_study


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    """A short study, whose arrays are then drawn out to the length that a test wants."""
    folder = tmp_path_factory.mktemp("monitored") / "s"
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(8, 2), torch.randn(8, 1)
    loss_fn = torch.nn.functional.mse_loss
    with StabilityMonitor(model, optimizer, loss_fn, (x, y), every=1, budget=None, study=folder):
        for _ in range(6):
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    return folder


@pytest.mark.parametrize("count", [900, 1500, 2002, 4100])
def test_every_oscillation_of_period_two_is_drawn_as_one(monitored, tmp_path, count):
    """Every second point alone, or every fourth, would show one half of it."""
    shutil.copytree(monitored, tmp_path / "s")
    (tmp_path / "s" / "result.json").unlink()
    (path,) = (tmp_path / "s" / "arrays").glob("*.npz")
    with np.load(path) as file:
        arrays = {name: file[name][np.arange(count) % len(file["step"])] for name in file.files}
    arrays["step"] = np.arange(1, count + 1)
    arrays["loss"] = np.where(np.arange(count) % 2, 1.0, 2.0)
    np.savez(path, **arrays)
    with closing(sqlite3.connect(tmp_path / "s" / "runs.sqlite")) as database, database:
        database.execute("DELETE FROM files")  # the checksums of what was written at first
    text = open_study(tmp_path / "s").report(tmp_path / "r.html").read_text("utf-8")
    figure = json.loads(re.search(r'data-figure="figure-edge"[^>]*>(.*?)</script>', text, re.S)[1])
    (loss,) = (y for y in map(heights, figure["data"]) if set(y.tolist()) == {1.0, 2.0})
    assert min(count, 500) <= len(loss) <= 1000
    assert 0.4 < np.mean(loss == 1.0) < 0.6


def heights(line):
    """What plotly packs into text where there are many numbers."""
    y = line["y"]
    return np.frombuffer(base64.b64decode(y["bdata"]), y["dtype"]) if isinstance(y, dict) else np.array(y, dtype=float)
