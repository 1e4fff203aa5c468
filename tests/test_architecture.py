"""A room imports only from the rooms named in its row, imports inside functions included."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "lastbit"

MAY_IMPORT = {
    "core": set(),
    "stats": {"core"},
    "store": {"core"},
    "optimizers": {"core"},
    "pde": {"core"},
    "tasks": {"core", "optimizers"},
    "perturb": {"core", "optimizers"},
    "curvature": {"core", "optimizers", "stats"},
    "dynamics": {"core", "curvature", "optimizers", "stats"},
    "train": {"core", "tasks", "perturb"},
    "report": {"core", "stats"},
    "launch": {"core", "perturb", "dynamics", "store"},
    "studies": {
        "core",
        "stats",
        "store",
        "optimizers",
        "pde",
        "tasks",
        "perturb",
        "curvature",
        "dynamics",
        "train",
        "report",
        "launch",
    },
    "cli": {"core", "studies", "integrations"},
}


def rooms_imported(source: str, package: str) -> set[str]:
    """The rooms of lastbit that a module in `package` imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join(parents[: len(parents) - node.level + 1] + ([node.module] if node.module else []))
            names = [base] + [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            names = [str(getattr(argument, "value", "")) for argument in node.args]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("lastbit.")}
    return found & set(MAY_IMPORT)


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_room_imports_only_what_its_row_allows(room):
    broken = {}
    for path in sorted((SOURCE / room).rglob("*.py")):
        package = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts[:-1])
        if extra := rooms_imported(path.read_text(), package) - MAY_IMPORT[room] - {room}:
            broken[path.name] = extra
    assert not broken


def test_every_room_is_in_the_table():
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(MAY_IMPORT)


def test_the_page_shows_this_table():
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", page, re.M)
    assert {room: set(re.findall(r"`(\w+)`", allowed)) for room, allowed in rows} == MAY_IMPORT


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("from lastbit.train import run", {"train"}),
        ("def f():\n    import lastbit.store.disk", {"store"}),
        ("from ..store import disk", {"store"}),
        ("from lastbit import stats", {"stats"}),
        ("import importlib\nimportlib.import_module('lastbit.pde')", {"pde"}),
        ("import torch", set()),
    ],
)
def test_the_check_sees_every_way_to_import(source, rooms):
    assert rooms_imported(source, "lastbit.report") == rooms
