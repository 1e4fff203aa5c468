"""A user's task file as a module, under a name made from its path, so that every process finds the same one."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from lastbit.core.errors import LastbitError

__all__ = ["last_line", "task_module", "task_modules"]

_PREFIX = "lastbit_task_"
"""Begins the names of these modules."""


@lru_cache(maxsize=8)
def task_module(path: Path, shown: str, changed: int, size: int) -> ModuleType:
    """Import a file by its path, once; `changed` and `size` serve to notice another version of it.

    Args:
        path: of the file.
        shown: what to call it.
        changed: when, in nanoseconds.
        size: in bytes.

    Raises:
        LastbitError: it cannot be imported, or raises.
    """
    name = f"{_PREFIX}{hashlib.blake2b(str(path).encode(), digest_size=8).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LastbitError(f"{shown} cannot be imported as a Python file")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    # Registered by name while it runs, because dataclasses and pickling look their module up.
    sys.modules[name] = module
    try:
        # Not by the loader: it takes the bytecode of a file that was edited within a second to the same size.
        exec(compile(path.read_bytes(), path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise LastbitError(f"{shown} raised on import: {last_line(error, path)}") from error
    return module


def task_modules() -> dict[str, Path]:
    """Return the files that are imported here, by the name of their module."""
    found = {name: module.__file__ for name, module in list(sys.modules.items()) if name.startswith(_PREFIX)}
    return {name: Path(file) for name, file in found.items() if file}


def last_line(error: BaseException, path: Path) -> str:
    """Return the last line of the traceback, and the last line of the user's file that led there."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    text = traceback.format_exception_only(error)[-1].strip().removeprefix("lastbit.core.errors.")
    return f"{text} (line {line})" if line else text
