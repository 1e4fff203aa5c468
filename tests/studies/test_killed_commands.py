"""A study of a command whose lastbit is killed, or stopped by Ctrl-C, in the middle goes on to the same bits."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lastbit.store import StudyFolder

SCRIPT = """
import os, sys, time, torch

torch.manual_seed(int(sys.argv[1]))
weight = torch.nn.Parameter(torch.randn(8))
inputs = torch.randn(32, 8)
optimizer = torch.optim.Adam([weight], lr=0.05)
for step in range(40):
    optimizer.zero_grad()
    loss = ((inputs @ weight).tanh() - inputs.sin().sum(1)).square().mean()
    loss.backward()
    optimizer.step()
    print(f"loss: {loss.item():.12f}", flush=True)
    time.sleep(float(os.environ.get("PAUSE", 0)))
"""

FEW = {
    "audit": ["--metric", "loss", "--seeds", "1", "--perturbations", "2"],
    "trace": ["--metric", "loss", "--twins", "1"],
}


def lastbit(*words, **options):
    return subprocess.Popen([sys.executable, "-m", "lastbit", *words], stderr=subprocess.PIPE, text=True, **options)


def ended(process):
    _, said = process.communicate()
    return process.returncode, said


def stored(path):
    """Return every run's metrics and arrays, but for how often it was recorded, which its speed decides."""
    with StudyFolder.read(Path(path)) as folder:
        return {one.run: (one.metrics, one.steps, folder.arrays(one.run)) for one in folder.runs()}


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "number"), [("audit", signal.SIGKILL), ("trace", signal.SIGINT)])
def test_a_study_that_was_ended_in_its_second_run_goes_on_to_the_same_bits(kind, number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(SCRIPT)
    words = [kind, *FEW[kind], "--quiet", "--out"]
    assert ended(lastbit(*words, "whole", "--", sys.executable, "train.py", "{seed}")) == (0, "")
    slowed = os.environ | {"PAUSE": "0.05"}
    begun = lastbit(*words, "s", "--", sys.executable, "train.py", "{seed}", start_new_session=True, env=slowed)
    deadline, second = time.monotonic() + 300, []
    while len(second) < 2 or second[-1].stat().st_size < 40:
        assert begun.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
        second = sorted(Path("s").glob("output/*/stdout.txt"), key=lambda path: path.stat().st_mtime)
    begun.send_signal(number)
    code, said = ended(begun)
    assert code == (-number if number == signal.SIGKILL else 130)
    assert "Traceback" not in said
    # The program of the second run ends with it.
    records = str(second[-1].parent / "records").encode()
    while any(records in environment for environment in environments()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(stored("s")) == 1
    if number == signal.SIGINT:
        assert said.strip().endswith(f"continue with lastbit {kind} --resume s")
    assert ended(lastbit(kind, "--resume", "s", "--quiet")) == (0, "")
    one, two = stored("whole"), stored("s")
    assert one.keys() == two.keys()
    for run, (metrics, steps, arrays) in one.items():
        assert two[run][:2] == (metrics, steps), run
        assert_same_records(arrays, two[run][2])
    results = [json.loads((tmp_path / path / "result.json").read_text()) for path in ("whole", "s")]
    assert results[0]["verdict"] == results[1]["verdict"]


def environments():
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            yield path.read_bytes()
        except OSError:
            continue


def assert_same_records(one, two):
    """Compare checksums of all weights and sketches at the steps that both recorded: the last is among them."""
    keys = [list(map(tuple, arrays["record_key"].tolist())) for arrays in (one, two)]
    shared = sorted(set(keys[0]) & set(keys[1]))
    assert keys[0][-1] == keys[1][-1] == (0, 0, 40)
    assert len(shared) >= 7
    at = [[key.index(one) for one in shared] for key in keys]
    for name in ("record_checksum", *(f"sketch_0_0_{part}" for part in ("values", "residuals", "fingerprints"))):
        np.testing.assert_array_equal(one[name][at[0]], two[name][at[1]], err_msg=name)
    rest = {name for name in one if "_0_0_" not in name and name not in ("record_key", "record_checksum")}
    for name in rest - {"record_program"}:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
