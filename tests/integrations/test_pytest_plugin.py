"""The fixture `lastbit` in a pytest of its own: what it hands out, what pytest shows, and what it costs others."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lastbit.integrations.pytest_plugin import LastbitFixture

pytest_plugins = "pytester"

ROOT = Path(__file__).parents[2]
PLUGIN = "lastbit.integrations.pytest_plugin"
# Whether or not the package that is installed here names it as an entry point.
LOADED = ("-p", "no:lastbit", "-p", PLUGIN, "-p", "no:cacheprovider")

TESTS = """
import torch

def train(seed, unseeded=False):
    weight, generator = torch.nn.Parameter(torch.ones(8)), torch.Generator()
    if unseeded:
        generator.seed()
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        ((weight - torch.randn(8, generator=generator)) ** 2).sum().backward()
        optimizer.step()

def draws(seed):
    train(seed, unseeded=True)

def test_passes(lastbit):
    assert lastbit.assert_reproducible(train, in_process=True).steps == 3
    assert lastbit.assert_last_bit_stable(train, 1e3, twins=1).last_step == 3
    assert [path.name for path in lastbit.folder.iterdir()] == ["study-2"]

def test_fails(lastbit):
    lastbit.assert_reproducible(draws, in_process=True)

def test_is_not_reproducible(lastbit):
    lastbit.assert_last_bit_stable(draws)
"""


@pytest.mark.slow
def test_the_fixture_and_what_junit_xml_shows_of_it(pytester):
    pytester.makepyfile(test_training=TESTS)
    ran = pytester.runpytest_subprocess(*LOADED, "--junitxml=found.xml", "-q")
    ran.assert_outcomes(passed=1, failed=2)
    shown = ran.stdout.str()
    # The traceback ends at the line of the test, and the rest is the message.
    assert "lastbit.assert_reproducible(draws, in_process=True)" in shown
    assert "examined_here" not in shown
    assert "lastbit/testing.py" not in shown
    failures = {
        case.get("name"): case.find("failure")
        for case in ElementTree.parse(pytester.path / "found.xml").iter("testcase")
    }
    assert failures["test_passes"] is None
    message = failures["test_fails"].get("message")
    assert message.startswith("AssertionError: draws is not reproducible: two runs with the same seed differ")
    for what in ("\nStep: step 1", "\nTensor: ", "\nWhere it arose: ", "test_training.py:10, in train", "\nCure: "):
        assert what in message
    assert "not reproducible" in failures["test_is_not_reproducible"].get("message")


@pytest.mark.slow
@pytest.mark.thorough
def test_what_a_test_module_defines_travels_to_other_processes(pytester):
    pytester.makepyfile(
        test_training=TESTS.partition("def test_passes")[0]
        + """
def test_two_processes(lastbit):
    assert not lastbit.assert_reproducible(train).in_this_process

def test_two_processes_differ(lastbit):
    lastbit.assert_reproducible(draws)
"""
    )
    ran = pytester.runpytest_subprocess(*LOADED, "-q", "-W", "error")
    ran.assert_outcomes(passed=1, failed=1)
    shown = ran.stdout.str()
    for what in ("draws is not reproducible", "test_training.py:10, in train", "Cure: "):
        assert what in shown


def test_pytest_starts_without_torch(tmp_path):
    """What the plugin imports when pytest starts, and when tests run that do not use it."""
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_nothing_heavy_is_there():\n"
        "    assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "    print(sorted(name for name in sys.modules if name.partition('.')[0] == 'lastbit'))\n"
    )
    words = [sys.executable, "-m", "pytest", *LOADED, "-q", "-s", "-W", "error", str(tmp_path)]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(["lastbit", "lastbit.integrations", PLUGIN]) in ran.stdout


def test_the_package_names_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (named,) = project["entry-points"]["pytest11"].values()
    assert named == PLUGIN
    assert import_module(named).LastbitFixture is LastbitFixture


def test_each_study_has_a_folder_of_its_own(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("lastbit.testing.assert_reproducible", lambda fn, **given: asked.append((fn, given)))
    monkeypatch.setattr("lastbit.testing.assert_last_bit_stable", lambda fn, most, **given: asked.append((most, given)))
    one = LastbitFixture(tmp_path)
    one.assert_reproducible("digits", seed=3)
    one.assert_last_bit_stable("digits", 7.0)
    one.assert_reproducible("digits", out="mine")
    assert asked == [
        ("digits", {"out": tmp_path / "study-1", "seed": 3}),
        (7.0, {"out": tmp_path / "study-2"}),
        ("digits", {"out": "mine"}),
    ]
