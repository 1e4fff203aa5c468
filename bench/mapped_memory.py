"""Resident memory of an audit on an array in a file: does it grow with the file?

`python bench/mapped_memory.py` audits a small network on sparse files of 1 and 10 GB of rows of 64 KiB, of which every
run reads every row, and prints the peaks of resident and of private memory, those of loader processes added, for the
array itself, for a `Dataset` that keeps it, and for that with two loader processes. The files need no room on a disk;
not in /tmp where that is memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import lastbit as lb

ROW = 1 << 16
SIZES = (10**9, 10**10)
WAYS = ("array", "dataset", "dataset, 2 loaders")


class Rows(Dataset[tuple[np.ndarray[Any, Any], int]]):
    """Keeps the array itself."""

    def __init__(self, rows: np.ndarray[Any, Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray[Any, Any], int]:
        return self.rows[index], index % 2


class Network(nn.Module):
    """Looks at a few bytes of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 2)

    def forward(self, rows: Tensor) -> Tensor:
        return self.layer(rows[:, :64].to(self.layer.weight.dtype) / 255)


def made(path: Path, size: int) -> int:
    """Make a sparse file, one row in 64 of which holds something; return its rows."""
    with path.open("wb") as file:
        file.truncate(size // ROW * ROW)
    rows = np.memmap(path, np.uint8, "r+", shape=(size // ROW, ROW))
    rows[::64, :64] = np.random.default_rng(0).integers(256, size=(len(rows[::64]), 64))
    rows.flush()
    return len(rows)


def family() -> list[int]:
    """Return this process and those below it."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        below.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [os.getpid()]
    for process in found:
        found += below.get(process, [])
    return found


def memory() -> dict[str, int]:
    """Return resident and private bytes of this process and those below it."""
    total = {"VmRSS": 0, "RssAnon": 0}
    for process in family():
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in total:
                total[name] += int(value.split()[0]) << 10
    return total


def audit(path: str, size: int, way: str) -> dict[str, Any]:
    """Audit in this process, and return the peaks in it."""
    rows = np.memmap(path, np.uint8, "r", shape=(size, ROW))
    labels = np.arange(size) % 2
    train = (rows, labels) if way == "array" else Rows(rows)
    test = (rows[:2048], labels[:2048]) if way == "array" else Rows(rows[:2048])
    task = lb.Task(
        name="mapped",
        model=Network,
        train=train,
        test=test,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.01),
        epochs=1,
        batch_size=256,
        loader_workers=2 if "loaders" in way else 0,
    )
    peaks, ended = memory(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            now = memory()
            peaks.update({name: max(peaks[name], now[name]) for name in peaks})

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        study = lb.audit(task, seeds=2, perturbations=2, workers=1, threads=1, quiet=True, out=f"{folder}/study")
        identical = study.result.control.bitwise_identical
    ended.set()
    watcher.join()
    return {**peaks, "seconds": time.perf_counter() - begun, "identical": identical}


def main() -> int:
    """Measure each way in a process of its own, and return 1 where what should be flat grows by more than 100 MB."""
    if len(sys.argv) > 1:
        print(json.dumps(audit(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
        return 0
    grown = []
    print(f"{'':<22}{'file':>8}{'peak resident':>16}{'peak private':>16}{'seconds':>10}")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        for way in WAYS:
            peaks = []
            for size in SIZES:
                path = Path(folder, "rows")
                command = [sys.executable, __file__, str(path), str(made(path, size)), way]
                ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found = json.loads(ended.stdout.splitlines()[-1])
                assert found["identical"], "the control run differs"
                peaks.append(found["VmRSS"])
                resident, private = found["VmRSS"] / 1e6, found["RssAnon"] / 1e6
                seconds = found["seconds"]
                print(
                    f"{way:<22}{size / 1e9:>5.0f} GB{resident:>13,.0f} MB{private:>13,.0f} MB{seconds:>10.0f}",
                    flush=True,
                )
                path.unlink()
            grown.append(peaks[1] - peaks[0])
    return int(max(grown) > 100e6)


if __name__ == "__main__":
    sys.exit(main())
