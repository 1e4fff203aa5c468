"""The page on step limits: its tests exist, its figures are there and come from the commands shown."""

import re
from pathlib import Path

from lastbit.pde import SCHEMES
from lastbit.pde.linear.problems import PROBLEMS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "theory-schemes.md").read_text()


def test_every_test_named_exists():
    folders = [ROOT / "tests" / "pde" / "linear", ROOT / "tests" / "contracts"]
    defined = {
        name
        for folder in folders
        for path in folder.glob("*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 10
    assert named <= defined


def test_every_figure_has_its_command_and_its_file():
    shown = set(re.findall(r"\]\((images/[\w.-]+)\)", PAGE))
    commands = re.findall(r"lastbit pde stability (\S+) --dx 1 --scheme (\S+) .*?--plot docs/(\S+)", PAGE)
    assert shown == {figure for _, _, figure in commands}
    for problem, scheme, figure in commands:
        assert problem in PROBLEMS
        assert scheme in SCHEMES
        assert (ROOT / "docs" / figure).stat().st_size < 100_000
