"""Commands as candidates: what they print is read, a wrong metric is put right, and no step is no candidate."""

import pytest

import lastbit as lb
from lastbit.core.errors import LastbitError

pytestmark = pytest.mark.slow

TRAIN = """
import sys, torch
torch.manual_seed(int(sys.argv[1]))
weight = torch.nn.Parameter(torch.randn(3) + {start})
optimizer = torch.optim.SGD([weight], lr=0.1)
weight.sum().backward()
optimizer.step()
print("acc:", weight.sum().item())
"""


def test_commands_are_compared_by_what_they_print(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN.format(start=0))
    (tmp_path / "worse.py").write_text(TRAIN.format(start=-9))
    (tmp_path / "stepless.py").write_text("import torch\nprint('acc:', 1.0)\n")
    told = {"better": "higher", "quiet": True}
    with pytest.raises(LastbitError, match="accuracy"):
        lb.gate("python train.py {seed}", "python worse.py {seed}", metric="accuracy", **told)
    printed = tmp_path / "lastbit-studies" / "gate-train" / "output" / "run00001" / "stdout.txt"
    first = printed.stat().st_mtime_ns
    answer = lb.gate("python train.py {seed}", "python worse.py {seed}", metric="acc", **told)
    assert (answer.verdict_kind, answer.session.metric) == ("discard", "acc")
    assert printed.stat().st_mtime_ns == first, "the run that had no such metric was kept"
    assert answer.verdict.startswith("discard: candidate 1 (worse.py) is worse by ")

    with pytest.raises(LastbitError, match=r"python stepless.py .* made no optimizer step"):
        lb.gate("python train.py {seed}", "python stepless.py {seed}", metric="acc", **told)
    (tmp_path / "train.py").write_text(TRAIN.format(start=1))
    with pytest.raises(LastbitError, match="its files differ: put them back"):
        lb.gate("python train.py {seed}", "python worse.py {seed}", metric="acc", **told)
