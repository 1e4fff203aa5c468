"""One writer to a study folder at a time.

The lock is the kernel's where it has one for the folder (`flock`): it ends with its process, however that ends. Where
there is none (Windows, some network file systems), a file created exclusively stands for it and names its owner.
"""

from __future__ import annotations

import errno
import os
import platform
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError

__all__ = ["LOCKS", "NoLocksError", "is_held", "locked", "open_file", "take"]

LOCKS = ("lock", "lock.owner")
"""Names in a study folder: what the kernel locks, which names its process, and what stands in for it."""

_LOOKS, _PAUSE = 5, 0.02
"""A reader that asks `is_held` holds the file for microseconds: a writer that runs into it retries, this often."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system without locks answers."""

_fcntl: Any = None
with suppress(ImportError):  # Windows has none
    _fcntl = import_module("fcntl")


class NoLocksError(Exception):
    """The file system or the operating system knows no `flock`."""


def open_file(path: Path, flags: int) -> int:
    """Open what must be a file: a pipe, a device or a folder in its place is refused, and none of them waited for.

    Args:
        path: the file; with `O_NOFOLLOW` among the flags a link is refused too.
        flags: of `os.open`.

    Returns:
        The descriptor.

    Raises:
        OSError: it cannot be opened.
        LastbitError: it is no file.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LastbitError(f"{path} is no file but a pipe, a device or a folder, and not lastbit's: delete it")
    return descriptor


def take(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed, at once or not at all; say whether that went.

    Raises:
        NoLocksError: nothing can be locked here.
    """
    if _fcntl is None:
        raise NoLocksError
    try:
        _fcntl.flock(descriptor, (_fcntl.LOCK_SH if shared else _fcntl.LOCK_EX) | _fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise NoLocksError from error
        raise
    return True


def is_held(folder: Path) -> bool:
    """Tell whether a process is working on a study, without taking its lock or writing anything."""
    try:
        descriptor = open_file(folder / LOCKS[0], os.O_RDONLY)
    except (FileNotFoundError, LastbitError):
        return False
    try:
        if not os.fstat(descriptor).st_size and not (folder / LOCKS[1]).exists():
            return False  # whoever holds it has written its number, here or there
        return not take(descriptor, shared=True)
    except NoLocksError:
        return _owner_at_work(folder / LOCKS[1])
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `FOLDER/lock` exclusively, taken at once or not at all.

    Raises:
        LastbitError: another process holds it (its process number is named), or it is not a file of its own.
    """
    path = folder / LOCKS[0]
    descriptor = _opened_lock(path)
    try:
        try:
            if not _taken(descriptor):
                raise _refusal(folder, os.read(descriptor, 20).decode("ascii", "replace"))
        except NoLocksError:
            with _owned(folder):
                yield
            return
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _opened_lock(path: Path) -> int:
    """Open the lock, made anew where there is none; what it is truncated through must be nobody else's file."""
    try:
        return open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        pass
    other = f"{path} is a link to another file, and not lastbit's: delete it"
    if path.is_symlink():
        raise LastbitError(other)
    descriptor = open_file(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        raise LastbitError(other)
    return descriptor


def _taken(descriptor: int) -> bool:
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE)
        if take(descriptor):
            return True
    return False


def _refusal(folder: Path, process: str) -> LastbitError:
    number = process.strip() if process.strip().isdigit() else "unknown"
    return LastbitError(
        f"another lastbit (process {number}) is working on {folder}: wait for it, or choose another folder"
    )


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold the study by a file that exists as long as it is held."""
    path = folder / LOCKS[1]
    if _owner_at_work(path):
        raise _refusal(folder, _owner(path)[0])
    # A process that was killed left it.
    path.unlink(missing_ok=True)
    try:
        descriptor = open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        raise _refusal(folder, _owner(path)[0]) from None
    try:
        os.write(descriptor, f"{os.getpid()} {platform.node()}".encode())
        yield
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _owner(path: Path) -> tuple[str, str]:
    """Return the number of the process that a file names, and its host."""
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        number, _, host = file.read(300).decode("utf-8", "replace").partition(" ")
    return number, host


def _owner_at_work(path: Path) -> bool:
    """Tell whether the process that a file names may still be at work; one of another host always may."""
    try:
        number, host = _owner(path)
    except FileNotFoundError:
        return False
    if host != platform.node() or not number.isdigit():
        return bool(host)
    if os.name == "nt":
        # There an open file cannot be removed, and a process is not asked by a signal.
        try:
            path.unlink()
        except PermissionError:
            return True
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
