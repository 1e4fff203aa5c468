"""Whole checks with real processes: the program of the docs, threads, a record, and what is refused within a run."""

import re
import sys
from pathlib import Path

import pytest

import lastbit as lb
from lastbit.cli.app import main
from lastbit.core.errors import LastbitError

PAGE = (Path(__file__).parents[3] / "docs" / "same.md").read_text("utf-8")
PROGRAM = re.search(r"```python excerpt: a test of its own runs it\n(.*?)```", PAGE, re.DOTALL)[1]
SHOWN = re.findall(r"\$ (lastbit same .*--own.*)\n((?:[A-Z].*\n(?:[a-z].*\n)*))", PAGE)

pytestmark = pytest.mark.slow


@pytest.fixture
def train(tmp_path, monkeypatch):
    """The program of the docs."""
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(PROGRAM)
    return f"{sys.executable} train.py"


def without_numbers(text):
    return re.sub(r"[\d.,]*\d", "#", " ".join(text.split()))


@pytest.mark.parametrize(("command", "said"), SHOWN, ids=["right", "wrong"])
def test_the_page_shows_what_is_answered(train, capsys, command, said):
    words = [word.replace("python train.py", train) for word in re.findall(r"'[^']*'|\S+", command)[2:]]
    code = main(["same", *(word.strip("'") for word in words)])
    assert code == (5 if "--forget" in command else 0)
    assert without_numbers(capsys.readouterr().out).startswith(without_numbers(said))


def test_the_digits_under_one_and_two_threads_are_the_same_up_to_rounding(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = lb.same("digits", candidate_env={"OMP_NUM_THREADS": "2"}, epochs=1, threads=1, quick=True, quiet=True)
    assert study.result.verdict_kind == "same_up_to_rounding"


def test_a_record_stands_for_its_reference(train):
    assert lb.same(train, record="old.ref", quiet=True).result.verdict_kind == "recorded"
    assert lb.same(None, f"{train} --own", against="old.ref", quiet=True).result.verdict_kind == "same_up_to_rounding"
    found = lb.same(None, f"{train} --own --forget", against="old.ref", quiet=True).result
    assert (found.verdict_kind, found.first_step, found.tensor) == ("different", 1, "1.weight")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("optimizer.step()", "pass"), "made no optimizer step"),
        (
            ("nn.Linear(16, 64), Norm(64)", "nn.Linear(16, 64, bias=False), Norm(64)"),
            "only the reference trains 0.bias",
        ),
    ],
)
def test_what_cannot_be_held_against_the_reference_is_refused(train, change, said):
    Path("other.py").write_text(PROGRAM.replace(*change))
    with pytest.raises(LastbitError, match=said):
        lb.same(train, f"{sys.executable} other.py", quick=True, quiet=True)


def test_objects_are_refused_that_are_none_or_hold_nothing(train):
    for name in ("emma", "targets.shape"):
        with pytest.raises(LastbitError, match=f"{name} (is no variable of|holds no tensors in)"):
            lb.same(train, f"{train} --own", objects=f"train.py:{name}", quick=True, quiet=True)


STEP = """
import torch

def build(seed, factor=1.0):
    model = torch.nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    def step():
        optimizer.zero_grad()
        (factor * model(torch.randn(16, 8)).square().mean()).backward()
        optimizer.step()
    return step

def longer(seed):
    return build(seed, 1.001)
"""


def test_functions_may_build_a_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("steps.py").write_text(STEP)
    found = lb.same("steps.py:build", "steps.py:longer", steps=9, quick=True, quiet=True).result
    assert (found.verdict_kind, found.what, found.steps) == ("different", "gradient_scale", 9)
