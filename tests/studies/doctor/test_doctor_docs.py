"""The cases of docs/doctor.md: the answer that stands there is the one that is given, and the cure cures."""

import re
import sys
from pathlib import Path

import pytest

from lastbit.cli.app import main

PAGE = Path(__file__).parents[3] / "docs" / "doctor.md"
CASE = re.compile(
    r"### (.+?)\n.*?```python [^\n]*\n(.*?)```.*?```console[^\n]*\n(.*?)```.*?```diff\n(.*?)```", re.DOTALL
)
CASES = CASE.findall(PAGE.read_text("utf-8"))


def cured(code, diff):
    """The program with the lines of the diff taken out and put in."""
    gone = [line[2:] for line in diff.splitlines() if line.startswith("- ")]
    put = [line[2:] for line in diff.splitlines() if line.startswith("+ ")]
    lines = code.splitlines()
    place = lines.index(gone[0]) if gone else lines.index(next(line[2:] for line in diff.splitlines() if line)) + 1
    return "\n".join([*lines[:place], *put, *(line for line in lines[place:] if line not in gone)]) + "\n"


def test_there_are_five():
    assert len(CASES) == 5


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(("title", "code", "shown", "diff"), CASES, ids=[title for title, *_ in CASES])
def test_each_case_is_told_as_it_stands_there_and_its_cure_cures(
    title, code, shown, diff, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    name = re.search(r"\$ lastbit doctor -- python (\S+)", shown).group(1)
    Path(name).write_text(code)
    command = ["doctor", "--progress", "none", "--runs", "0", "--", sys.executable, name]
    assert main(command) == 3
    told = " ".join(capsys.readouterr().out.replace(f"{tmp_path}/", "").split())
    for line in shown.splitlines()[1:]:
        if line and not line.startswith("Cure confirmed"):
            assert " ".join(line.split()) in told
    for left in tmp_path.glob("*.pt"):
        left.unlink()
    Path(name).write_text(cured(code, diff))
    assert main(command) == 0
