"""Every seed that a program sets, shifted by a number; a generator that it never seeds begins from that number.

Loaded by its path in the user's process, from the standard library alone, before anything draws a random number. A
seed that one of these functions hands on to another is shifted once: the outermost shifts. A shift of 0 changes no
seed.
"""

from __future__ import annotations

import functools
import itertools
import operator
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_inside = threading.local()


@contextmanager
def _once() -> Iterator[bool]:
    """Tell whether this is the outermost function that seeds."""
    outer = not getattr(_inside, "now", False)
    _inside.now = True
    try:
        yield outer
    finally:
        if outer:
            _inside.now = False


def moved(seed: Any, shift: int, *, bits: int | None = None) -> Any:
    """Return a seed of any of the forms that the libraries take, shifted; None and what is no seed stay.

    Args:
        seed: a whole number, text, or a sequence of numbers, whose first is shifted.
        shift: by how much.
        bits: the width of the seed, modulo which it is counted.
    """
    if not shift or seed is None or isinstance(seed, bool):
        return seed
    if isinstance(seed, str):
        return f"{seed}+{shift}"
    if isinstance(seed, bytes | bytearray):
        return type(seed)(bytes(seed) + f"+{shift}".encode())
    if isinstance(seed, float):
        return seed + shift
    try:
        value = operator.index(seed) + shift
    except TypeError:
        if isinstance(seed, list | tuple) or type(seed).__name__ == "ndarray":
            first, *rest = list(seed) or [0]
            return [moved(first, shift, bits=bits), *rest]
        return seed
    return value % (1 << bits) if bits else value


def shifting(function: Callable[..., Any], shift: int, bits: int | None, place: int = 0) -> Callable[..., Any]:
    """Return `function` with the seed among its arguments shifted."""

    @functools.wraps(function)
    def shifted(*args: Any, **kwargs: Any) -> Any:
        with _once() as outer:
            if outer:
                values = list(args)
                if len(values) > place:
                    values[place] = moved(values[place], shift, bits=bits)
                for name in ("seed", "a"):
                    if name in kwargs:
                        kwargs = kwargs | {name: moved(kwargs[name], shift, bits=bits)}
                return function(*values, **kwargs)
            return function(*args, **kwargs)

    return shifted


def calls(shift: int) -> dict[str, Callable[[], None]]:
    """Return, by the module after whose import it is due, what makes its seeds shift."""
    return {
        "random": lambda: _python(shift),
        "numpy.random": lambda: _numpy(shift),
        "torch": lambda: _torch(shift),
    }


def _python(shift: int) -> None:
    random: Any = sys.modules["random"]
    # The module's own functions are methods of one hidden instance; other instances seed themselves by the same method.
    random.Random.seed = shifting(random.Random.seed, shift, None, place=1)
    random._inst.seed(0)
    random.seed = random._inst.seed


def _numpy(shift: int) -> None:
    random: Any = sys.modules["numpy.random"]
    plain_state, plain_rng = random.RandomState, random.default_rng
    unseeded = itertools.count()

    def unset() -> list[int]:
        return [shift % (1 << 32), next(unseeded)]

    class Kind(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, plain_state)

    class RandomState(plain_state, metaclass=Kind):  # type: ignore[misc, valid-type]
        __doc__ = plain_state.__doc__

        def __init__(self, seed: Any = None) -> None:
            super().__init__(unset() if seed is None else moved(seed, shift, bits=32))

        def seed(self, seed: Any = None) -> None:
            super().seed(moved(seed, shift, bits=32))

    @functools.wraps(plain_rng)
    def default_rng(seed: Any = None) -> Any:
        return plain_rng(unset() if seed is None else moved(seed, shift))

    # Those that are made by hand; the functions above have them from where nothing is replaced.
    for name in ("SeedSequence", "MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        if hasattr(random, name):
            setattr(random, name, _seeding(getattr(random, name), shift, unset))
    random.seed(shift % (1 << 32))
    random.seed = shifting(random.seed, shift, 32)
    random.RandomState, random.default_rng = RandomState, default_rng


def _seeding(plain: Any, shift: int, unset: Callable[[], list[int]]) -> Any:
    """Return a class that makes instances of `plain`, and of no other, from seeds that are shifted."""

    class Kind(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, plain)

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            if cls is not shifted:  # a class of the program's, derived from it
                return super().__call__(*args, **kwargs)
            named = [name for name in ("seed", "entropy", "key") if kwargs.get(name) is not None]
            kwargs |= {name: moved(kwargs[name], shift) for name in named}
            values = [moved(value, shift) if place == 0 else value for place, value in enumerate(args)]
            if named or len(values) > 1 or (values and values[0] is not None):
                return plain(*values, **kwargs)
            given = {name: value for name, value in kwargs.items() if value is not None}
            return plain(unset(), **given)

    shifted = Kind(plain.__name__, (plain,), {"__doc__": plain.__doc__})
    return shifted


def _torch(shift: int) -> None:
    torch: Any = sys.modules["torch"]
    plain = torch.Generator

    class Kind(type(plain)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, plain)

    class Generator(plain, metaclass=Kind):  # type: ignore[misc, valid-type]
        __doc__ = plain.__doc__

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()
            if shift:
                super().manual_seed(self.initial_seed() + shift)

        def manual_seed(self, seed: int) -> Any:
            super().manual_seed(_wide(seed, shift))
            return self

    def wide(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def shifted(seed: int) -> Any:
            with _once() as outer:
                return function(_wide(seed, shift) if outer else seed)

        return shifted

    torch.manual_seed(_wide(0, shift))
    torch.Generator = Generator
    torch.manual_seed = torch.random.manual_seed = wide(torch.manual_seed)
    for name in ("manual_seed", "manual_seed_all"):
        changed = wide(getattr(torch.cuda, name))
        for module in (torch.cuda, torch.cuda.random):
            setattr(module, name, changed)


def _wide(seed: Any, shift: int) -> int:
    """Return a torch seed, shifted; it must stay below 2^64."""
    value = int(seed) + shift if shift else int(seed)
    return value - (1 << 64) if value >= 1 << 64 else value
