"""The line of the user's that is at work: the innermost frame that is no library's.

Only the standard library is imported: this is loaded by `sitecustomize.py` before anything of lastbit's is.
"""

from __future__ import annotations

import os
import sysconfig
from types import CodeType, FrameType
from typing import Any

__all__ = ["Place", "is_users", "packaged", "place_of"]

Place = tuple[str, int, str]
"""File, number of the line, name of the function."""

_USER, _LIBRARY, _OWN, _ENGINE, _IMPORT = range(5)

_LASTBIT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_LAUNCH = _LASTBIT + "launch" + os.sep
_STDLIB = tuple({os.path.realpath(path) + os.sep for path in map(sysconfig.get_path, ("stdlib", "platstdlib")) if path})
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_LIBRARIES = ("torch", "numpy", "functorch")
_ENGINE_NAME = "_engine_run_backward"

_kinds: dict[CodeType, int] = {}
_places: dict[tuple[CodeType, int], Place] = {}


def packaged(path: str) -> bool:
    """Tell whether a file is of an installed package."""
    return any(mark in path for mark in _PACKAGES)


def _kind(code: CodeType, module: Any) -> int:
    path = code.co_filename
    if path.startswith("<"):
        if "importlib" in path:
            return _IMPORT
        # Generated code of libraries has such names too; what was typed or given by -c is `__main__`.
        return _USER if module == "__main__" else _LIBRARY
    if path.startswith(_LASTBIT):
        return _LIBRARY if path.startswith(_LAUNCH) else _OWN
    inside = next((path.split(mark, 1)[1] for mark in _PACKAGES if mark in path), None)
    if inside is not None:
        if inside.split(os.sep, 1)[0] not in _LIBRARIES:
            return _USER
        return _ENGINE if code.co_name == _ENGINE_NAME else _LIBRARY
    if "torchinductor_" in path or os.path.realpath(path).startswith(_STDLIB):
        return _LIBRARY
    return _USER


def is_users(frame: FrameType) -> bool:
    """Tell whether a frame is the user's own, or of a package that is no part of what computes."""
    return _kind(frame.f_code, frame.f_globals.get("__name__")) == _USER


def place_of(frame: FrameType | None) -> tuple[Place | None, bool, bool]:
    """Return the user's line, outwards from `frame`, and whether a backward pass or an import lies between.

    Where there is none of the user's, the innermost of lastbit's own trainings stands for it.
    """
    own: FrameType | None = None
    backward = imported = False
    while frame is not None:
        code = frame.f_code
        kind = _kinds.get(code)
        if kind is None:
            if len(_kinds) > 100_000:
                _kinds.clear()
                _places.clear()
            kind = _kinds[code] = _kind(code, frame.f_globals.get("__name__"))
        if kind == _USER:
            break
        if kind == _OWN:
            own = own or frame
        elif kind == _ENGINE:
            backward = True
        elif kind == _IMPORT:
            imported = True
        frame = frame.f_back
    frame = frame or own
    if frame is None:
        return None, backward, imported
    key = frame.f_code, frame.f_lineno
    place = _places.get(key)
    if place is None:
        place = _places[key] = key[0].co_filename, key[1], key[0].co_name
    return place, backward, imported
