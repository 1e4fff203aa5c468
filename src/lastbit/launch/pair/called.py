"""The program that a `Call` runs as: it calls the function that its standard input holds.

Only the standard library is imported before the path of who started it is taken over.
"""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import import_module
from multiprocessing import spawn
from multiprocessing.reduction import ForkingPickler
from pathlib import Path


def in_words(returned: object) -> str:
    """Return what a function returned as text that a second call can be compared by: without addresses in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(returned))


def main() -> None:
    """Call it, and write what it returns beside the records."""
    folder = Path(json.loads(os.environ["LASTBIT_LAUNCH"])["folder"])
    preparation, pickled = ForkingPickler.loads(sys.stdin.buffer.read())
    sys.path = preparation["sys_path"]
    # It is what lastbit's part waits for, which must not begin amid an import of lastbit's that the function asks for.
    import_module("torch")
    spawn.prepare(preparation)
    returned = ForkingPickler.loads(pickled)()
    (folder / "returned.txt").write_text(in_words(returned), encoding="utf-8")


if __name__ == "__main__":
    main()
