"""One table of exit codes: the enum's. The page and the help say the same, and errors carry its members."""

import re
import subprocess
import sys
from pathlib import Path

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode, exit_codes_help
from lastbit.studies.frame.execution import Interrupted

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"


def test_the_codes_are_those_that_scripts_rely_on():
    assert {code.name: int(code) for code in ExitCode} == {
        "ANSWERED": 0,
        "DEFECT": 1,
        "BAD_INPUT": 2,
        "NOT_REPRODUCIBLE": 3,
        "UNDECIDED": 4,
        "NO": 5,
        "ALL_DIVERGED": 6,
        "FAIL_IF": 7,
        "INTERRUPTED": 130,
    }


def test_the_page_holds_the_table():
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", PAGE.read_text("utf-8"), re.M)
    assert rows == [(str(int(code)), code.name, code.meaning) for code in ExitCode]


def test_the_help_names_every_code_and_its_meaning():
    said = exit_codes_help()
    assert said.startswith("Exit codes: 0 answered; 1 a defect of lastbit; ")
    assert said.endswith("; 130 interrupted.")
    assert all(f"{int(code)} {code.meaning}" in said for code in ExitCode)


def test_errors_carry_their_code():
    assert LastbitError.exit_code is ExitCode.BAD_INPUT
    assert Interrupted.exit_code is ExitCode.INTERRUPTED


def test_the_table_is_read_without_torch():
    code = "import sys, lastbit.core.exit_codes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
