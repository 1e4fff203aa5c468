"""What make installs can be imported: a torchvision that does not load beside this PyTorch is taken off again."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PYTHON = """#!/bin/sh
echo "$*" >> calls
case "$*" in *"import torchvision"*) exit {status};; esac
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize("loads", [True, False])
@pytest.mark.parametrize("target", ["bench", ".venv/.installed"])
def test_a_torchvision_that_cannot_load_is_removed(tmp_path, target, loads):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.format(status=int(not loads)))
    python.chmod(0o755)
    if target == "bench":
        (tmp_path / ".venv" / ".installed").touch()
    subprocess.run(["make", "PYTHON=.venv/bin/python", target], cwd=tmp_path, check=True, capture_output=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    installed = next(i for i, call in enumerate(calls) if "install" in call and "[" in call)
    removed = [call for call in calls[installed:] if "uninstall" in call and "torchvision" in call]
    assert bool(removed) is not loads


def test_torchvision_is_not_pinned():
    """The build that fits is that of the torch that is installed, which a version alone does not name."""
    assert not re.search(r"^torchvision\b", (ROOT / "constraints.txt").read_text(), re.M)
