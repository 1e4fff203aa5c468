"""Where data files are searched for, and how they are fetched when they are not found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lastbit.core.errors import LastbitError

__all__ = ["VARIABLE", "Published", "Stamp", "fetch", "find"]

VARIABLE = "LASTBIT_DATA"
"""The environment variable that names the folder of data sets."""

Stamp = tuple[Path, int, int]
"""What distinguishes one version of a file from another: its path, time of change and size."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A data set as its authors publish it, and where it may lie.

    Attributes:
        name: for messages.
        wanted: the files it consists of, for messages.
        files: their names.
        packed: whether each file may be compressed, with `.gz` after its name.
        archive: one file that may stand for all of them.
        subfolders: where below a folder of data sets it may lie.
        system: folders where a system's package puts it.
        downloads: the addresses to fetch it from, each with the MD5 of what lies there.
    """

    name: str
    wanted: str
    files: tuple[str, ...]
    packed: bool = False
    archive: str = ""
    subfolders: tuple[str, ...]
    system: tuple[Path, ...] = ()
    downloads: Mapping[str, str]

    def files_in(self, folder: Path) -> list[Path]:
        """Return the data set's files in `folder`, or its archive in their place, or none.

        Raises:
            LastbitError: only a part of the files is there.
        """
        endings = (".gz", "") if self.packed else ("",)
        found = {
            name: [path for ending in endings if (path := folder / f"{name}{ending}").is_file()] for name in self.files
        }
        missing = [name for name, paths in found.items() if not paths]
        if not missing:
            return [paths[0] for paths in found.values()]
        if (folder / self.archive).is_file():
            return [folder / self.archive]
        if len(missing) < len(found):
            ending = "(.gz)" if self.packed else ""
            raise LastbitError(f"{folder} holds only a part of {self.name}: {', '.join(missing)}{ending} missing")
        return []


def find(data: Published, data_root: str | None, cache: Path | None) -> tuple[Stamp, ...]:
    """Return the files of a data set, from the first folder that holds it.

    The order is `data_root` (where it is given, nothing else is tried), the folder that `LASTBIT_DATA` names, the
    folders of a system's package, a download. Under the first two, the data set's subfolders are tried too.

    Args:
        data: what is looked for.
        data_root: the folder the user gave.
        cache: the folder for downloads, of the user's cache if None.

    Raises:
        LastbitError: it is not found; names the places searched and what to do.
    """
    root = data_root if data_root is not None else os.environ.get(VARIABLE)
    tried = [Path(root).expanduser()] if root else []
    places = [place for folder in tried for place in (folder, *(folder / below for below in data.subfolders))]
    if data_root is None:
        tried += data.system
        places += data.system
    for place in places:
        if place.is_dir() and (found := data.files_in(place)):
            return _stamped(found)
    if data_root is not None:
        below = " or ".join(data.subfolders)
        raise LastbitError(
            f"{data.name} is not in --data-root {tried[0]} (nor below, in {below}): it needs {data.wanted}"
        )
    import pooch

    folder = (cache or Path(pooch.os_cache("lastbit"))) / data.name.lower()
    try:
        return _stamped([fetch(url, folder, md5) for url, md5 in data.downloads.items()])
    except (OSError, ValueError) as error:
        looked = f"not in {', '.join(map(str, tried))}" if tried else f"{VARIABLE} is not set"
        raise LastbitError(
            f"{data.name} was not found ({looked}) and the download failed ({error}): "
            f"write --data-root DIR, with {data.wanted} in DIR"
        ) from None


def _stamped(paths: list[Path]) -> tuple[Stamp, ...]:
    return tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


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
