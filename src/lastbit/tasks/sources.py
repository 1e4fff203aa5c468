"""The text that a user's program is made of: its files, and the local modules that they import."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["is_installed", "local_sources"]


def local_sources(files: Sequence[Path], *, base: Path, folders: Sequence[Path] | None = None) -> dict[str, str]:
    """Return a digest of the text of files and of every local module that they import, themselves or through others.

    Local is what belongs neither to Python nor to an installed package. Modules that are named only while the program
    runs (`importlib.import_module(name)`) are not seen.

    Args:
        files: what is run; of those that are no Python, the text alone counts.
        base: folder that the paths are relative to where they lie in it.
        folders: where modules are looked for, in this order, by a process of its own; None: the files were imported
            in this process, which knows where their modules are.

    Returns:
        Digests by path.
    """
    found: dict[Path, str] = {}
    left = [file.resolve() for file in files]
    while left:
        file = left.pop()
        if file not in found and file.is_file():
            text = file.read_bytes()
            found[file] = hashlib.blake2b(text, digest_size=16).hexdigest()
            left += _imports(text, file, folders, base) if file.suffix == ".py" else []
    root = base.resolve()
    return {
        str(file.relative_to(root) if file.is_relative_to(root) else file): digest
        for file, digest in sorted(found.items())
    }


def _imports(text: bytes, file: Path, folders: Sequence[Path] | None, base: Path) -> list[Path]:
    """Return the files of the local modules that a Python file imports."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # running it will say so
        return []
    names: list[str] = []
    files: list[Path] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [part for alias in node.names for part in _with_parents(alias.name)]
        elif isinstance(node, ast.ImportFrom) and node.level:
            place = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            files += [path for one in (place, *(place / alias.name for alias in node.names)) for path in _files(one)]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [*_with_parents(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    for name in names:
        files += _imported(name, base.resolve()) if folders is None else _beside(name, folders)
    return [path for path in files if path.suffix == ".py" and not is_installed(path)]


def _imported(name: str, base: Path) -> list[Path]:
    origin = getattr(sys.modules.get(name), "__file__", None)
    return [Path(origin).resolve()] if origin else _files(base.joinpath(*name.split(".")))


def _beside(name: str, folders: Sequence[Path]) -> list[Path]:
    return next((files for folder in folders if (files := _files(folder.joinpath(*name.split("."))))), [])


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _files(place: Path) -> list[Path]:
    found = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return [path.resolve() for path in found if place.name and path.is_file()]


def is_installed(path: Path) -> bool:
    """Tell whether a file is Python's, lastbit's or a package's."""
    python = (Path(sysconfig.get_path("stdlib")), Path(__file__).parents[1])
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(map(path.is_relative_to, python))
