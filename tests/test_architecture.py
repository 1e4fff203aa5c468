"""A room imports only from the rooms named in its row, files form no circle, and no part hides a public name."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
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
MAY_IMPORT["integrations"] = {*MAY_IMPORT["studies"], "studies"}


def base_of(node: ast.ImportFrom, package: str) -> str:
    """The module that `from ... import` names, in a module of `package`."""
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    return ".".join(parents[: len(parents) - node.level + 1] + ([node.module] if node.module else []))


def rooms_imported(source: str, package: str) -> set[str]:
    """The rooms of lastbit that a module in `package` imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            base = base_of(node, package)
            names = [base] + [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            names = [str(getattr(argument, "value", "")) for argument in node.args]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("lastbit.")}
    return found & set(MAY_IMPORT)


def run_at_import(node: ast.AST):
    """Every node below `node` that runs when its module is imported: not in functions, not for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from run_at_import(child)


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which modules each module asks for at its own import; that packages come before their parts is no asking."""
    graph: dict[str, set[str]] = {module: set() for module in sources}
    for module, source in sources.items():
        for node in run_at_import(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                base = base_of(node, module.rpartition(".")[0])
                names = {f"{base}.{alias.name}" for alias in node.names}
                # A name that is no module is looked up in the module that it comes from.
                graph[module] |= {name if name in sources else base for name in names} & set(sources)
            elif isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names} & set(sources)
    return graph


def hidden_names(init: Path) -> set[str]:
    """The public names of a package that are names of its parts too: importing the part would put it in their place."""
    public = [
        name
        for node in ast.parse(init.read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for name in ast.literal_eval(node.value)
    ]
    return set(public) & {path.stem for path in init.parent.iterdir() if path != init}


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


def test_no_public_name_is_a_part_of_its_package():
    hidden = {str(init.parent.relative_to(SOURCE)): hidden_names(init) for init in SOURCE.rglob("__init__.py")}
    assert not {package: names for package, names in hidden.items() if names}


def test_a_public_name_that_a_part_hides_is_seen(tmp_path):
    (tmp_path / "trace.py").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "__init__.py").write_text('__all__ = ["folder", "trace", "other"]')
    assert hidden_names(tmp_path / "__init__.py") == {"folder", "trace"}


def test_no_circle_of_files():
    modules = {}
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        modules[name.removesuffix(".__init__")] = path.read_text("utf-8")
    graph = import_graph(modules)
    assert sum(map(len, graph.values())) > len(modules)
    TopologicalSorter(graph).prepare()  # names the circle


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("import lastbit.b", {"lastbit.b"}),
        ("from lastbit import b", {"lastbit.b"}),
        ("from lastbit import b, name", {"lastbit.b", "lastbit"}),
        ("from lastbit.b import name", {"lastbit.b"}),
        ("from .b import name", {"lastbit.b"}),
        ("try:\n    import lastbit.b\nexcept ImportError:\n    import lastbit.c", {"lastbit.b", "lastbit.c"}),
        ("class A:\n    from lastbit.b import name", {"lastbit.b"}),
        ("def f():\n    import lastbit.b", set()),
        ("if TYPE_CHECKING:\n    import lastbit.b", set()),
    ],
)
def test_the_graph_holds_what_an_import_runs(source, asked):
    others = {"lastbit": "", "lastbit.b": "from lastbit import a", "lastbit.c": ""}
    graph = import_graph({"lastbit.a": source, **others})
    assert graph["lastbit.a"] == asked
    if "lastbit.b" in asked:
        with pytest.raises(CycleError):
            TopologicalSorter(graph).prepare()


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
