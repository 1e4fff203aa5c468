"""Where data files are searched for, and how they are fetched when they are not found."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from lastbit.core.errors import LastbitError

__all__ = ["VARIABLE", "Stamp", "cache_folder", "fetch", "find", "stamp"]

VARIABLE = "LASTBIT_DATA"
"""The environment variable that names the folder of data sets."""

Found = TypeVar("Found")
Stamp = tuple[Path, int, int]


def stamp(path: Path) -> Stamp:
    """Return what distinguishes one version of a file from another: its path, time of change and size."""
    facts = path.stat()
    return path, facts.st_mtime_ns, facts.st_size


def find(
    look: Callable[[Path], Found | None],
    *,
    name: str,
    wanted: str,
    data_root: str | None,
    subfolders: Sequence[str],
    system: Sequence[Path] = (),
    download: Callable[[], Found],
) -> Found:
    """Return what `look` finds in the first folder that holds the data set.

    The order is `data_root` (where it is given, nothing else is tried), the folder that `LASTBIT_DATA` names, the
    `system` folders, a download. Under the first two, `subfolders` are tried too.

    Args:
        look: returns what it finds in a folder, or None; raises if only part of the data set is there.
        name: the data set's name, for messages.
        wanted: the files it consists of, for messages.
        data_root: the folder the user gave.
        subfolders: where below a folder of data sets this one may lie.
        system: folders where a system's package puts it.
        download: fetches and returns it.

    Raises:
        LastbitError: it is not found; names the places searched and what to do.
    """
    variable = os.environ.get(VARIABLE)
    tried = []
    for root in (data_root,) if data_root is not None else (variable,):
        if root:
            folder = Path(root).expanduser()
            for place in (folder, *(folder / sub for sub in subfolders)):
                found = look(place) if place.is_dir() else None
                if found is not None:
                    return found
            tried.append(str(folder))
    if data_root is not None:
        below = " or ".join(subfolders)
        raise LastbitError(f"{name} is not in --data-root {tried[0]} (nor below, in {below}): it needs {wanted}")
    for place in system:
        found = look(place) if place.is_dir() else None
        if found is not None:
            return found
        tried.append(str(place))
    try:
        return download()
    except (OSError, ValueError) as error:
        looked = f"not in {', '.join(tried)}" if tried else f"{VARIABLE} is not set"
        raise LastbitError(
            f"{name} was not found ({looked}) and the download failed ({error}): "
            f"write --data-root DIR, with {wanted} in DIR"
        ) from None


def cache_folder() -> Path:
    """Return the folder of the user's cache where downloads are kept."""
    import pooch

    return Path(pooch.os_cache("lastbit"))


def fetch(url: str, folder: Path, md5: str) -> Path:
    """Return the file at `url`, from `folder` if it is complete there, else downloaded and checked.

    Raises:
        OSError: no connection, or the server refuses.
        ValueError: the checksum does not match.
    """
    import pooch

    name = url.rpartition("/")[2]
    downloader = pooch.HTTPDownloader(timeout=30)
    try:
        path = pooch.retrieve(url, known_hash=f"md5:{md5}", fname=name, path=folder, downloader=downloader)
    except ValueError:
        raise ValueError(f"what {url} sent does not have the checksum {md5}") from None
    except OSError as error:
        # The network library's own message runs over several lines of addresses and wrapped causes.
        raise OSError(f"{type(error).__name__} at {url}") from error
    return Path(path)
