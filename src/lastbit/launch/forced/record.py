"""A reference kept as one file, so that programs can be put onto it later, on this machine or on another.

The file is a zip archive, nothing in it is compressed twice or pickled:

```
about.json               version, the reference's name, versions, steps between two that are kept, objects
layouts/KEY.json         as in the folder of an exchange
messages/PROCESS/NAME    likewise; of ever fewer steps the longer the run, so that it stays within a bound
tables/ROLE.npz          of the runs that tell what rounding alone does
```
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.forced.table import ForcedTable
from lastbit.launch.pair.facts import versions

__all__ = ["RECORD", "read_about", "save_record", "unpack"]

RECORD = "record"
"""The folder in that of an exchange in which messages are kept."""

_VERSION = 2

_INSIDE = re.compile(r"(layouts/[0-9a-f]+\.json|messages/([\w.-]+)/([\w-]+)|tables/([\w-]+)\.npz)")


def save_record(
    path: Path,
    exchange: Path,
    reference: str,
    tables: Mapping[str, ForcedTable],
    *,
    every: int,
    objects: Sequence[str],
) -> None:
    """Write what an exchange kept as one file.

    Args:
        path: of the file.
        exchange: the folder of the exchange.
        reference: the name of the reference.
        tables: by role; that of the candidate is left out.
        every: steps between two that were compared.
        objects: as of `run_forced`.
    """
    processes = [folder for folder in sorted((exchange / RECORD).iterdir()) if folder.is_dir()]
    # What one process thinned out is of no use of another.
    kept = [int((folder / "every").read_text("utf-8")) for folder in processes]
    about = {"version": _VERSION, "reference": reference, "every": max([every, *kept]), "objects": list(objects)}
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(part, "w") as file:
        file.writestr("about.json", json.dumps(about | {"versions": versions()}))
        for layout in sorted((exchange / "layouts").glob("*.json")):
            file.write(layout, f"layouts/{layout.name}")
        for folder in processes:
            for message in sorted(folder.iterdir()):
                if message.name != "every":
                    file.write(message, f"messages/{folder.name}/{message.name}")
        for role, table in tables.items():
            if role != "candidate":
                with file.open(f"tables/{role}.npz", "w") as held:
                    table.write(held)
    part.replace(path)


def read_about(path: Path) -> dict[str, Any]:
    """Return what a record says of itself.

    Raises:
        LastbitError: it is no record, or one of another version of lastbit.
    """
    try:
        with zipfile.ZipFile(path) as file:
            about: dict[str, Any] = json.loads(file.read("about.json"))
    except FileNotFoundError:
        raise LastbitError(f"there is no record {path}: make one with --record {path}") from None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise LastbitError(f"{path} is no record of a reference: {error}") from None
    if about.get("version") != _VERSION:
        raise LastbitError(f"{path} was recorded by another version of lastbit: record the reference again")
    return about


def unpack(path: Path, exchange: Path, role: str) -> dict[str, ForcedTable]:
    """Put what a record holds before a follower, and return its tables by role.

    Args:
        path: of the record.
        exchange: the folder of an exchange.
        role: of the follower.
    """
    tables = {}
    inbox = exchange / "inbox" / role
    inbox.mkdir(parents=True)
    (exchange / "layouts").mkdir()
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            found = _INSIDE.fullmatch(name)
            if found is None:
                continue
            into = exchange / name
            if found[2] is not None:
                into = inbox / found[2] / found[3]
                into.parent.mkdir(exist_ok=True)
            if found[4] is not None:
                into = exchange / f"{found[4]}.npz"
            into.write_bytes(file.read(name))
            if found[4] is not None:
                tables[found[4]] = ForcedTable.read(into)
    return tables
