"""Build the package as it is released, and try it as whoever installs it would, outside the repository.

    python tools/check_package.py                              # in an environment that borrows the packages of this one
    python tools/check_package.py --whole                      # in an empty environment, which pip fills
    python tools/check_package.py --whole --extra export ray --constraint constraints-minimum.txt
    python tools/check_package.py --whole --tests tests/core   # and these tests, against what was installed

The sdist is built from this folder and the wheel from the sdist, so that what the sdist lacks is missed. It needs
hatchling (the extra `dev`). The exit status is 1 where something is wrong, and each fault is a line.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from email import message_from_string
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lastbit"

AT_RUN_TIME = ("py.typed", *(f"report/templates/{name}" for name in ("page.html.j2", "page.js", "plotly.min.js.gz")))
"""What no import would miss, and a report or a type checker would."""

LICENCES = ("LICENSE", "plotly.LICENSE.txt")

IN_SDIST = (
    *("pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "LICENSE"),
    *("Makefile", "constraints.txt", "constraints-minimum.txt", "tests/conftest.py", "tools/check_package.py"),
    *("docs/audit.md", "examples/my_task.py", *(f"src/lastbit/{name}" for name in AT_RUN_TIME)),
)

AUDIT = ["--seeds", "2", "--perturbations", "2", "--epochs", "1", "--train-size", "100", "--workers", "1"]


def build(place: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it, into `place`; return both."""
    run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(place)], cwd=ROOT)
    (sdist,) = place.glob("*.tar.gz")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place)]
    run([sys.executable, "-m", "pip", "wheel", *options, str(sdist)], cwd=place)
    (wheel,) = place.glob("*.whl")
    return sdist, wheel


def source_files() -> set[str]:
    """Return the files of the package, as paths in the wheel."""
    found = (path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(PACKAGE.parent).as_posix() for path in found}


def faults_of_wheel(names: Iterable[str], metadata: str, sources: Iterable[str]) -> list[str]:
    """Return what is wrong with a wheel.

    Args:
        names: of its files.
        metadata: its METADATA.
        sources: the files that its package has in the repository.
    """
    about = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    inside, expected = set(names) - about, {*sources, *(f"lastbit/{name}" for name in AT_RUN_TIME)}
    faults = [f"the wheel lacks {name}" for name in sorted(expected - inside)]
    faults += [f"the wheel has {name}, which is no file of the package" for name in sorted(inside - expected)]
    licences = {Path(name).name for name in about if "/licenses/" in name}
    faults += [f"the wheel lacks the licence {name}" for name in LICENCES if name not in licences]
    said = message_from_string(metadata)
    for field in ("Name", "Version", "Summary", "Requires-Python", "License-Expression", "Author", "Description"):
        if not (said.get(field) or (field == "Description" and said.get_payload())):
            faults.append(f"the metadata lacks {field}")
    wanted = [one for one in said.get_all("Requires-Dist", []) if "extra ==" not in one]
    faults += [f"{one} has no lowest version" for one in wanted if ">=" not in one]
    return faults


def faults_of_sdist(names: Iterable[str]) -> list[str]:
    """Return what is wrong with the files of an sdist, named without its folder."""
    names = set(names)
    stray = re.compile(r"(^|/)(\.git|\.venv|\.hypothesis|__pycache__|dist|build)(/|$)|\.pyc$")
    return [f"the sdist lacks {name}" for name in IN_SDIST if name not in names] + [
        f"the sdist has {name}" for name in sorted(names) if stray.search(name)
    ]


def faults_of(sdist: Path, wheel: Path) -> list[str]:
    """Return what is wrong with the two files."""
    with zipfile.ZipFile(wheel) as file:
        names = [one.filename for one in file.infolist() if not one.is_dir()]
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        faults = faults_of_wheel(names, file.read(metadata).decode("utf-8"), source_files())
    with tarfile.open(sdist) as tar:
        faults += faults_of_sdist(one.name.partition("/")[2] for one in tar.getmembers() if one.isfile())
    return faults


def install(place: Path, wheel: Path, *, whole: bool, python: str, extras: Sequence[str], constraint: Path) -> Path:
    """Install the wheel into an environment of its own, and return the folder of its commands.

    Args:
        place: where to make the environment.
        wheel: the wheel.
        whole: whether pip installs what it needs too, in place of borrowing what this environment has.
        python: the interpreter.
        extras: what else to install.
        constraint: the versions to install.
    """
    run([python, "-m", "venv", str(place)])
    commands = place / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(commands / "python"), "-m", "pip", "install"]
    if whole:
        wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
        run([*pip, "--constraint", str(constraint), wanted], cwd=place)
    else:
        (site,) = (path for path in place.rglob("site-packages") if path.is_dir())
        # Of a path in a .pth only the folder counts: the lastbit that may lie there in editable form is not seen.
        borrowed = [one for one in sys.path if Path(one).name in ("site-packages", "dist-packages")]
        (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n", "utf-8")
        run([*pip, "--no-deps", "--no-index", str(wheel)], cwd=place)
    return commands


def try_it(commands: Path, desk: Path, version: str, has: Sequence[str]) -> list[str]:
    """Use what was installed in an empty folder, and return what went wrong.

    Args:
        commands: the folder of the environment's commands.
        desk: the folder.
        version: of the wheel.
        has: the extras that are installed.
    """
    lastbit, python = str(commands / "lastbit"), str(commands / "python")
    where = run([python, "-c", "import lastbit; print(lastbit.__file__)"], cwd=desk)
    faults = [] if Path(where.strip()).is_relative_to(commands.parent) else [f"imported from {where.strip()}"]
    told = run([lastbit, "--version"], cwd=desk)
    faults += [] if told.startswith(f"lastbit {version}") else [f"--version says {told.strip()}"]
    told = run([lastbit, "--help"], cwd=desk)
    faults += [] if "audit" in told else ["--help does not list audit"]
    run([lastbit, "audit", *AUDIT, "--out", "study", "--json", "result.json", "--quiet"], cwd=desk)
    result = json.loads((desk / "result.json").read_text("utf-8"))
    if not (result["finished"] and result["control"]["bitwise_identical"]):
        faults.append(f"the audit says: {result['verdict']}")
    if "<html" not in (desk / "study" / "report.html").read_text("utf-8"):
        faults.append("the audit drew no report")
    run([lastbit, "pde", "stability", "heat", "--plot", "heat.png", "--quiet"], cwd=desk)
    done = subprocess.run(
        [lastbit, "report", "study", "--export", "runs.parquet", "--quiet"],
        cwd=desk,
        env=_alone(),
        capture_output=True,
        text=True,
        check=False,
    )
    if "export" in has and done.returncode:
        faults.append(f"a table was not written: {done.stderr}")
    if not has and (done.returncode, "lastbit[export]" in done.stderr, "Traceback" in done.stderr) != (2, True, False):
        faults.append(f"without the extra a table should name it in one line, exit code 2, not: {done.stderr}")
    return faults


def run_tests(commands: Path, desk: Path, chosen: Sequence[str]) -> None:
    """Run tests of the repository against what was installed, with the newest pytest and Hypothesis."""
    python = str(commands / "python")
    for name in ("tests", "docs", "examples"):
        shutil.copytree(ROOT / name, desk / name)
    for name in ("pyproject.toml", "constraints.txt", "constraints-minimum.txt", "CHANGELOG.md"):
        shutil.copy(ROOT / name, desk)
    run([python, "-m", "pip", "install", "--quiet", "pytest", "hypothesis"], cwd=desk)
    marks = "not slow and not evidence and not gpu"
    # What an old package warns of in a newer one is no fault of lastbit's.
    options = ["-q", "-p", "no:cacheprovider", "-o", "filterwarnings=default", "-m", marks]
    run([python, "-m", "pytest", *options, *chosen], cwd=desk, shown=True)


def run(command: Sequence[str], *, cwd: Path | None = None, shown: bool = False) -> str:
    """Run a command that has to succeed, and return what it printed, or let it be seen where `shown`."""
    done = subprocess.run(command, cwd=cwd, env=_alone(), capture_output=not shown, text=True, check=False)
    if done.returncode:
        tail = "" if shown else f":\n{done.stdout}{done.stderr}"
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}{tail}")
    return done.stdout or ""


def _alone() -> dict[str, str]:
    """Return the environment without what would make the repository's sources visible."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def main() -> int:
    """Build, look, install, try; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="let pip fill an empty environment")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of that environment (this one)")
    parser.add_argument("--extra", nargs="+", default=[], help="extras to install too")
    parser.add_argument("--constraint", type=Path, default=ROOT / "constraints.txt", help="the versions to install")
    parser.add_argument("--tests", nargs="+", default=[], help="tests to run against what was installed")
    parser.add_argument("--out", type=Path, help="a folder to leave the sdist and the wheel in")
    asked = parser.parse_args()
    if not asked.whole and (asked.extra or asked.tests or asked.python != sys.executable):
        parser.error("--extra, --tests and --python go with --whole")
    with tempfile.TemporaryDirectory() as folder:
        place, desk = Path(folder), Path(folder, "desk")
        desk.mkdir()
        sdist, wheel = build(place)
        faults = faults_of(sdist, wheel)
        print(
            f"{sdist.name}: {sdist.stat().st_size >> 10} KiB, {wheel.name}: {wheel.stat().st_size >> 10} KiB",
            flush=True,
        )
        how = {"whole": asked.whole, "python": asked.python, "extras": asked.extra}
        commands = install(place / "environment", wheel, constraint=asked.constraint.absolute(), **how)
        faults += try_it(commands, desk, wheel.name.split("-")[1], asked.extra if asked.whole else ["borrowed"])
        for fault in faults:
            print(fault, flush=True)
        if asked.tests:
            run_tests(commands, desk, asked.tests)
        if asked.out and not faults:
            asked.out.mkdir(parents=True, exist_ok=True)
            for one in (sdist, wheel):
                shutil.copy(one, asked.out)
    print("wrong" if faults else "the package can be installed and used")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
