"""Try on a GPU all that needs one: marked tests, the bench of replicas, an audit, a trace and an eos by command.

    python tools/gpu_check.py

Each part has a share of six minutes, and is ended where it takes longer. Without a GPU the tests skip themselves with
their reason, and the rest runs on the processor, cut down. The exit status is that of the first part that failed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
GPU = torch.cuda.is_available()
LASTBIT = [sys.executable, "-m", "lastbit"]


def parts(place: Path) -> list[tuple[str, list[str], int]]:
    """Return the name, the command and the most seconds of every part; studies go into `place`."""
    device = ["--device", "cuda" if GPU else "cpu"]
    marks = "gpu" if GPU else "not slow and not evidence"
    tests = ["tests"] if GPU else ["tests/train/replicas"]
    grid = ["--epochs", "3" if GPU else "1", "--seeds", "2", "--perturbations", "2"]
    audit = [*LASTBIT, "audit", *grid, *device]
    return [
        ("tests", [sys.executable, "-m", "pytest", "-q", "-m", marks, *tests], 120),
        ("bench", [sys.executable, "bench/gpu.py", *([] if GPU else ["--short"])], 100),
        ("audit, processes", [*audit, "--workers", "1", "--out", str(place / "alone")], 40),
        ("audit, replicas", [*audit, "--executor", "replicas", "--out", str(place / "together")], 40),
        ("trace", [*LASTBIT, "trace", "--epochs", "1", *device, "--out", str(place / "trace")], 40),
        ("eos", [*LASTBIT, "eos", "--steps", "200", *device, "--out", str(place / "eos")], 40),
    ]


def main() -> int:
    """Run every part, whatever became of those before it, and say how each ended."""
    print(torch.cuda.get_device_name() if GPU else "no GPU: the CPU part only", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        for name, command, seconds in parts(Path(place)):
            print(f"\n== {name}: {' '.join(command[1:])}", flush=True)
            begun = time.monotonic()
            try:
                status = subprocess.run(command, cwd=ROOT, timeout=seconds if GPU else None, check=False).returncode
            except subprocess.TimeoutExpired:
                status = 124
            said = "ended" if status == 0 else "took too long" if status == 124 else f"failed with status {status}"
            print(f"== {name}: {said} after {time.monotonic() - begun:.0f} s", flush=True)
            failed = failed or status
    return failed


if __name__ == "__main__":
    sys.exit(main())
