"""What is wrong with a command is said before it runs, in one line with the cure."""

import sys

import pytest

from lastbit.core.errors import LastbitError
from lastbit.launch.words import check_command


@pytest.fixture
def desk(tmp_path):
    (tmp_path / "train.py").write_text("pass")
    (tmp_path / "run.sh").write_text("true")
    script = tmp_path / "isolated"
    script.write_text("#!/usr/bin/env -S python3 -sE\n")
    script.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no command after --: write the command that trains"),
        (["no-such-program"], "no-such-program: command not found$"),
        (["python train.py"], "leave out the quotes"),
        (["train.py"], "write -- python train.py"),
        (["./run.sh"], "write what runs it, such as -- sh"),
        (["python", "-E", "train.py"], "python -E ignores PYTHONPATH.*leave out -E"),
        (["python3", "-uI", "train.py"], "python -I ignores PYTHONPATH.*leave out -I"),
        (["python3.11", "-X", "utf8", "-S", "train.py"], "python -S skips the site module.*leave out -S"),
        (["./isolated"], "the first line of ./isolated: python -E"),
    ],
)
def test_a_command_that_cannot_work_is_refused(words, said, desk):
    with pytest.raises(LastbitError, match=said) as caught:
        check_command(words, cwd=desk, environment={"PATH": str(bins(desk))})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["python", "train.py", "-E"],
        ["python", "-m", "pkg", "-I"],
        ["python", "-c", "pass", "-S"],
        ["python", "-W", "Error::Ignore", "-Xdev", "-u", "train.py"],
        ["python", "-WIgnore", "train.py"],
        ["python", "-"],
        ["sh", "-E"],
    ],
)
def test_a_command_that_can_work_passes(words, desk):
    check_command(words, cwd=desk, environment={"PATH": str(bins(desk))})


def test_a_program_is_found_where_the_command_runs(desk):
    check_command(["bin/python"], cwd=bins(desk).parent)
    with pytest.raises(LastbitError, match="is no folder"):
        check_command(["python"], cwd=desk / "none")


def bins(desk):
    folder = desk / "bin"
    if not folder.exists():
        folder.mkdir()
        for name in ("python", "python3", "python3.11", "sh"):
            (folder / name).symlink_to(sys.executable)
    return folder
