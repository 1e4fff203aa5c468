"""The programs of `tests/launch/programs`, and how one is run by hand to compare with."""

import os
import re
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).parents[1] / "launch" / "programs"


def program(name, *arguments):
    return [sys.executable, str(PROGRAMS / name), *arguments]


def plain(words):
    """Run a command by itself, with the one setting of the environment that changes what it computes."""
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    return subprocess.run(words, capture_output=True, check=False, env=environment, timeout=300)


def shown(stderr):
    """Return the lines of a program's stderr without the time and the process in torch's own log."""
    return [re.sub(rb"^W\d+ \S+ \d+ ", b"", line) for line in stderr.splitlines()]
