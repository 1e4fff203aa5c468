"""Which lines that asked a clock decide something by it."""

import pytest

from lastbit.launch.pair.recorded import ProcessSteps
from lastbit.launch.pair.tapes import Line, Tap
from lastbit.studies.doctor.clocks import deciding

SOURCE = """import time
began = time.time()
def step(last):
    if time.monotonic() - last > 3:
        evaluate()
    spent = time.time() - began
    if verbose:
        print(spent)
def rest():
    left = 60 - time.time()
    while left > 0:
        left = work(left)
    rate = 0.1 if time.time() > 9 else 0.2
    print(time.time())
"""


class Met(ProcessSteps):
    """A process that met what it is given."""

    met = ()


def asked(path, *numbers, kind="time"):
    process = Met({})
    process.met = [Tap(kind, Line(str(path), number, "f", ""), "time.time: 1", "1", 1, 0, 0) for number in numbers]
    return [line.number for line in deciding([process])]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SOURCE)
    return path


def test_conditions_and_what_they_read_in_one_function_decide(path):
    assert asked(path, 2, 4, 6, 10, 13, 14) == [4, 10, 13]


def test_each_line_is_named_once_and_nothing_but_clocks(path):
    assert asked(path, 4, 4) == [4]
    assert asked(path, 4, kind="entropy") == []


def test_what_a_library_decides_is_its_own(tmp_path):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "train.py").write_text(SOURCE)
    assert asked(folder / "train.py", 4) == []
