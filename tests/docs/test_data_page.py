"""The files of docs/data.md, copied alone: their parts fit, they are audited, and loaders change no bit."""

import re
from pathlib import Path

import pytest

import lastbit
from lastbit.tasks.file_task import load_file_task

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
FILES = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M))


@pytest.fixture(params=FILES)
def reference(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.py").write_text(FILES[request.param])
    return f"{tmp_path}/recipe.py:task"


def test_there_are_three_files():
    assert list(FILES) == ["An array in a file", "Sequences of different lengths", "Dictionaries"]


def test_the_parts_of_each_file_fit(reference):
    load_file_task(reference).check()


@pytest.mark.slow
def test_each_file_is_audited_with_the_same_bits_by_any_number_of_loaders(reference):
    losses, text = [], Path("recipe.py").read_text()
    for loaders in (0, 2) if "loader_workers" in text else (0,):
        Path("recipe.py").write_text(text.replace("loader_workers=2", f"loader_workers={loaders}"))
        out = f"study{loaders}"
        made = lastbit.audit(reference, seeds=2, perturbations=2, epochs=2, workers=1, threads=1, quiet=True, out=out)
        assert made.result.control.bitwise_identical
        assert made.result.perturbation.landed_fraction == 1
        assert made.result.passed
        losses.append(made.to_xarray()["loss"].values.tolist())
    assert all(one == losses[0] for one in losses)
