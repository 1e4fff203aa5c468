"""The program that a `Call` runs as: it calls the function that its standard input holds.

Only the standard library is imported before the path of who started it is taken over.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from multiprocessing import spawn
from multiprocessing.reduction import ForkingPickler
from pathlib import Path


def main() -> None:
    """Call it, and write what it returns beside the records."""
    folder = Path(json.loads(os.environ["LASTBIT_LAUNCH"])["folder"])
    preparation, pickled = ForkingPickler.loads(sys.stdin.buffer.read())
    sys.path = preparation["sys_path"]
    # It is what lastbit's part waits for, which must not begin amid an import of lastbit's that the function asks for.
    import_module("torch")
    spawn.prepare(preparation)
    returned = ForkingPickler.loads(pickled)()
    (folder / "returned.txt").write_text(repr(returned), encoding="utf-8")


if __name__ == "__main__":
    main()
