"""What is released: the files of sdist and wheel, their metadata, the versions that they ask for, the citation."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import lastbit as lb

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("check_package", ROOT / "tools" / "check_package.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pinned(name):
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {package.lower(): Version(version) for package, version in pairs}


def floors():
    """The lowest version of each package that users need, by name, extras included."""
    optional = PROJECT["optional-dependencies"]
    needs = [Requirement(one) for one in [*PROJECT["dependencies"], *optional["export"], *optional["ray"]]]
    return {one.name: min(Version(s.version) for s in one.specifier if s.operator == ">=") for one in needs}


def test_the_lowest_versions_are_those_that_are_tried():
    tried, lowest = pinned("constraints-minimum.txt"), floors()
    assert tried.pop("torch") >= lowest.pop("torch")  # older builds for processors were not to be had
    assert {name: tried[name] for name in lowest} == lowest


def test_the_versions_of_the_project_are_versions_that_it_asks_for():
    newest = pinned("constraints.txt")
    for one in map(Requirement, PROJECT["dependencies"]):
        assert newest[one.name] in one.specifier, one


def test_the_version_stands_in_one_place():
    assert "version" not in PROJECT
    assert re.fullmatch(r"\d+\.\d+\.\d+", lb.__version__)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["version"] == lb.__version__


def test_the_citation_has_what_its_format_requires():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert cited["title"] == PROJECT["name"]
    assert len(cited["message"]) > 10
    assert cited["type"] == "software"
    assert cited["license"] in PROJECT["license"].split(" AND ")
    assert cited["authors"] == PROJECT["authors"]
    (paper,) = cited["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Sun", "Lao", "Yezzi", "Sundaramoorthi"]
    assert (paper["volume"], paper["number"], paper["year"]) == (25, 174, 2024)


def test_what_is_asked_of_the_archives_is_there(tool):
    for name in tool.IN_SDIST:
        assert (ROOT / name).is_file(), name
    assert {f"lastbit/{name}" for name in tool.AT_RUN_TIME} <= tool.source_files()


METADATA = """Metadata-Version: 2.4
Name: lastbit
Version: 0.1.0
Summary: one line
Author: The lastbit developers
License-Expression: Apache-2.0 AND MIT
Requires-Python: >=3.11
Requires-Dist: numpy>=1.26
Requires-Dist: ray; extra == 'ray'

Text.
"""
INFO = "lastbit-0.1.0.dist-info"


def test_a_good_wheel_has_no_fault(tool):
    sources = tool.source_files()
    licences = {f"{INFO}/licenses/LICENSE", f"{INFO}/licenses/src/lastbit/report/templates/plotly.LICENSE.txt"}
    assert tool.faults_of_wheel({*sources, *licences}, METADATA, sources) == []


def test_a_bad_wheel_has_them_all(tool):
    names = (tool.source_files() - {"lastbit/py.typed", "lastbit/cli/app.py"}) | {"tests/test_package.py"}
    bad = METADATA.replace("Author", "Nobody").replace("numpy>=1.26", "numpy")
    assert tool.faults_of_wheel(names, bad, tool.source_files()) == [
        "the wheel lacks lastbit/cli/app.py",
        "the wheel lacks lastbit/py.typed",
        "the wheel has tests/test_package.py, which is no file of the package",
        "the wheel lacks the licence LICENSE",
        "the wheel lacks the licence plotly.LICENSE.txt",
        "the metadata lacks Author",
        "numpy has no lowest version",
    ]


def test_a_bad_sdist_has_its_faults(tool):
    names = {*tool.IN_SDIST, "src/lastbit/__pycache__/x.py", "tests/a.pyc", ".git/config", "docs/build.md"}
    assert tool.faults_of_sdist(names - {"LICENSE"}) == [
        "the sdist lacks LICENSE",
        "the sdist has .git/config",
        "the sdist has src/lastbit/__pycache__/x.py",
        "the sdist has tests/a.pyc",
    ]


def check_package(place, *words):
    """What the tool prints, which has to find nothing wrong."""
    pytest.importorskip("hatchling", reason="hatchling builds the package: pip install 'lastbit[dev]'")
    command = [sys.executable, str(ROOT / "tools" / "check_package.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.evidence
def test_the_package_is_built_installed_and_used(tmp_path):
    check_package(tmp_path, "--out", str(tmp_path))
    assert sorted(one.suffix for one in tmp_path.iterdir()) == [".gz", ".whl"]


FOR_USERS = sorted(PROJECT["optional-dependencies"].keys() - {"test", "dev", "docs", "bench", "evidence"})


@pytest.mark.evidence
@pytest.mark.parametrize("extra", FOR_USERS)
def test_pip_installs_each_extra_into_an_empty_environment(extra, tmp_path):
    check_package(tmp_path, "--whole", "--extra", extra)


@pytest.mark.evidence
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_installed_package_passes_its_tests_under_every_python(version, tmp_path, record_property):
    python = shutil.which(f"python{version}") or ""
    told = subprocess.run([python or sys.executable, "--version"], capture_output=True, text=True)
    if not python or told.returncode:
        pytest.skip(f"Python {version} is not at hand")
    tests = ["--tests", "tests/core", "tests/stats", "tests/perturb"]
    said = check_package(tmp_path, "--whole", "--python", python, *tests)
    record_property("measured", f"{told.stdout.strip()}: {said.splitlines()[-1]}")
