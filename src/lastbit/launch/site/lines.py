"""The line of the user's that is at work: the innermost frame that is no library's.

Only the standard library is imported: this is loaded by `sitecustomize.py` before anything of lastbit's is.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

__all__ = ["Place", "asked_by_program", "for_users", "is_library", "is_own", "is_users", "packaged", "place_of"]

Place = tuple[str, int, str]
"""File, number of the line, name of the function."""

_USER, _LIBRARY, _OWN, _ENGINE, _ASIDE = range(5)

_LASTBIT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_LAUNCH = _LASTBIT + "launch" + os.sep
_SITE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STDLIB = tuple({os.path.realpath(path) + os.sep for path in map(sysconfig.get_path, ("stdlib", "platstdlib")) if path})
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_LIBRARIES = ("torch", "numpy", "functorch")
_COMPILERS = (os.path.join("torch", "_dynamo", "convert_frame"), os.path.join("torch", "_inductor") + os.sep)
"""What runs compiled code lies in other files, through which functions of PyTorch's own are called too."""

_address = id
"""As it is before a change answers in its place, which asks here whose line it was."""

_ENGINE_NAME = "_engine_run_backward"

_kinds: dict[int, tuple[int, CodeType]] = {}
"""By the address of the code, which is held so that it is not used anew: hashing a code reads all of it."""

_places: dict[tuple[int, int], Place] = {}


def packaged(path: str) -> bool:
    """Tell whether a file is of an installed package."""
    return any(mark in path for mark in _PACKAGES)


def is_library(path: str) -> bool:
    """Tell whether a file is lastbit's, the interpreter's or of an installed package."""
    return path.startswith(("<", _LASTBIT)) or packaged(path) or os.path.realpath(path).startswith(_STDLIB)


def _kind(code: CodeType, module: Any) -> int:
    path = code.co_filename
    if path.startswith("<"):
        if "importlib" in path:
            return _ASIDE
        # Generated code of libraries has such names too; what was typed or given by -c is `__main__`.
        return _USER if module == "__main__" else _LIBRARY
    if path.startswith(_LASTBIT):
        return _LIBRARY if path.startswith(_LAUNCH) else _OWN
    inside = next((path.split(mark, 1)[1] for mark in _PACKAGES if mark in path), None)
    if inside is not None:
        if inside.split(os.sep, 1)[0] not in _LIBRARIES:
            return _USER
        if inside.startswith(_COMPILERS):
            return _ASIDE
        return _ENGINE if code.co_name == _ENGINE_NAME else _LIBRARY
    if "torchinductor_" in path or os.path.realpath(path).startswith(_STDLIB):
        return _LIBRARY
    return _USER


def _kind_of(frame: FrameType) -> int:
    code = frame.f_code
    found = _kinds.get(_address(code))
    if found is None:
        if len(_kinds) > 100_000:
            _kinds.clear()
            _places.clear()
        found = _kinds[_address(code)] = _kind(code, frame.f_globals.get("__name__")), code
    return found[0]


def is_users(frame: FrameType) -> bool:
    """Tell whether a frame is the user's own, or of a package that is no part of what computes."""
    return _kind_of(frame) == _USER


def is_own(frame: FrameType | None) -> bool:
    """Tell whether a frame is the program's own: of no library at all."""
    return frame is not None and is_users(frame) and not packaged(frame.f_code.co_filename)


def for_users(plain: Callable[..., Any], changed: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that answers the program's own lines with something else than everybody.

    A library keeps its time-outs and its files by what it asks.
    """

    def answer(*args: Any, **kwargs: Any) -> Any:
        return (changed if asked_by_program(sys._getframe(1)) else plain)(*args, **kwargs)

    return answer


def asked_by_program(frame: FrameType | None) -> bool:
    """Tell whether a line of the program's own asks."""
    while frame is not None and frame.f_code.co_filename.startswith(_SITE):
        frame = frame.f_back  # what is noted is asked through these files
    return is_own(frame)


def place_of(frame: FrameType | None) -> tuple[Place | None, bool, bool]:
    """Return the user's line, outwards from `frame`, and what lies between.

    That is whether a backward pass does, and whether an import or a compilation does, which meet things that the
    program does not. Where there is no line of the user's, the innermost of lastbit's own trainings stands for it.
    """
    own: FrameType | None = None
    backward = aside = False
    while frame is not None:
        kind = _kind_of(frame)
        if kind == _USER:
            break
        if kind == _OWN:
            own = own or frame
        elif kind == _ENGINE:
            backward = True
        elif kind == _ASIDE:
            aside = True
        frame = frame.f_back
    frame = frame or own
    if frame is None:
        return None, backward, aside
    code, number = frame.f_code, frame.f_lineno
    place = _places.get((_address(code), number))
    if place is None:
        place = _places[_address(code), number] = code.co_filename, number, code.co_name
    return place, backward, aside
