"""The page on deep networks: its code runs, its tests exist, its figures are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "theory-depth.md").read_text()


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE, flags=re.S))
def test_code_of_the_page_runs(block, capsys):
    exec(compile(block, "theory-depth.md", "exec"), {})
    assert "the edge is at lr" in capsys.readouterr().out


def test_every_test_the_page_names_exists():
    defined = {
        name
        for path in (ROOT / "tests" / "pde" / "deep").glob("*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 8
    assert named <= defined


def test_every_figure_of_the_page_has_its_command_and_its_file():
    shown = set(re.findall(r"\]\((images/[\w.-]+)\)", PAGE))
    assert shown == set(re.findall(r"--plot docs/(\S+)", PAGE))
    assert all((ROOT / "docs" / figure).stat().st_size < 100_000 for figure in shown)
