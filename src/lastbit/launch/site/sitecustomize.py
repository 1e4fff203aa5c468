"""What Python runs first in a program that lastbit launched: it waits for torch, and takes itself out of the way.

The folder of this file stands at the front of `PYTHONPATH`, so that every Python that the program starts is reached.
Only the standard library is imported here, and nothing is written to the program's own output. What goes wrong in
lastbit's own part is written to the folder of the records, and the program goes on as if it had not been reached.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import Any

FOLDER = os.path.dirname(__file__)
VARIABLE = "LASTBIT_LAUNCH"


def note(settings: dict[str, Any], name: str, text: str = "") -> None:
    """Append `text` to a file of the records; the file alone says that this was reached."""
    try:
        with open(os.path.join(settings["folder"], name), "a", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        pass


def quietly(settings: dict[str, Any], work: Any) -> None:
    """Call `work`; an error of lastbit's is noted and goes no further."""
    try:
        work()
    except Exception as error:
        line = f"{type(error).__name__}: {error}".replace("\n", " ")
        note(settings, f"trouble-{os.getpid()}.txt", line + "\n")


class AfterImport:
    """A finder that finds nothing: it calls back once a module has been imported, as soon as it has."""

    def __init__(self, calls: dict[str, Any]) -> None:
        self.calls = calls

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find the module with the other finders, and have its loader call back at its end."""
        call = self.calls.pop(name, None)
        if call is None:
            return None
        from importlib.util import find_spec

        spec = find_spec(name)
        execute = getattr(getattr(spec, "loader", None), "exec_module", None)
        if spec is None or spec.loader is None or execute is None:
            self.calls[name] = call
            return None

        def exec_module(module: Any) -> None:
            try:
                execute(module)
            except BaseException:
                self.calls[name] = call  # the program may try again
                raise
            call()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def begin(settings: dict[str, Any]) -> None:
    """Put lastbit to work; what the program can import itself comes first."""
    import warnings

    note(settings, "torch")
    sys.path.append(settings["source"])
    # What lastbit imports may have something to say, which is not for the program's stderr.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from importlib import import_module

        import_module("lastbit.launch.inside").begin(settings)


def loaded(name: str) -> Any:
    """Return a file beside this one as the module of lastbit that it is, without importing what lies above it."""
    from importlib.util import module_from_spec, spec_from_file_location

    full = f"lastbit.launch.site.{name}"
    spec = spec_from_file_location(full, os.path.join(FOLDER, f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(full)
    module = sys.modules[full] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def install(settings: dict[str, Any]) -> None:
    """Wait for the modules that matter, and act at once where they are there already."""
    note(settings, "python")
    works: list[dict[str, Any]] = []
    if settings.get("reseed") is not None:
        works.append(loaded("reseeding").calls(settings["reseed"]))
    if settings.get("pair") is not None:
        for name in ("lines", "addresses", "rearranged", "digests", "loaders"):  # which the others import
            loaded(name)
        works += loaded("changes").calls(settings["pair"].get("changes") or {})
        taps = loaded("taps").taps
        taps.install()
        works += [taps.calls(), loaded("handed").calls(taps)]
        # What lastbit itself reads when it begins is no evidence.
        works.append({"torch": taps.muted()(lambda: begin(settings))})
    else:
        works.append({"torch": lambda: begin(settings)})
    steps: dict[str, list[Any]] = {}
    for work in works:
        for name, call in work.items():
            steps.setdefault(name, []).append(call)

    def act(works: list[Any]) -> None:
        for work in works:
            quietly(settings, work)

    calls = {name: partial(act, works) for name, works in steps.items()}
    for name in [name for name in calls if name in sys.modules]:
        calls.pop(name)()
    sys.meta_path.insert(0, AfterImport(calls))


def hand_over() -> None:
    """Run the user's own `sitecustomize`, where there is one further on the path; its errors are its own."""
    sys.path[:] = [entry for entry in sys.path if entry != FOLDER]
    ours = sys.modules.pop("sitecustomize", None)
    sys.path_importer_cache.pop(FOLDER, None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)


# Imported otherwise than by the interpreter at its start, this does nothing.
if __name__ == "sitecustomize" and FOLDER in sys.path and os.environ.get(VARIABLE):
    _settings = json.loads(os.environ[VARIABLE])
    quietly(_settings, lambda: install(_settings))
    hand_over()
