"""Where a new study goes."""

from __future__ import annotations

from pathlib import Path

__all__ = ["new_folder"]


def new_folder(kind: str, name: str, out: str | Path | None) -> Path:
    """Return `out`, or by default the next free `lastbit-studies/KIND-NAME-NNN`.

    Args:
        kind: what sort of study it is.
        name: name of its task; characters other than letters, digits, `-` and `_` become hyphens.
        out: the folder that was asked for, or None.
    """
    if out is not None:
        return Path(out)
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
    number = 1
    while (folder := Path("lastbit-studies") / f"{kind}-{stem}-{number:03d}").exists():
        number += 1
    return folder
