"""A worker process: `python -m lastbit.train.child FD THREADS`, started by `ProcessExecutor` and by nobody else."""

from __future__ import annotations

import os
import sys
import threading
import time
from multiprocessing.connection import Connection

import torch

from lastbit.core.errors import LastbitError
from lastbit.train.executors import one_line

__all__ = ["main"]


def _end_with_parent() -> None:
    """A parent that was killed leaves nobody to end this process, and its study may already go on elsewhere."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(descriptor: int, threads: int) -> None:
    """Do what arrives on the pipe until it closes."""
    _end_with_parent()
    torch.set_num_threads(threads)
    connection = Connection(descriptor)
    factory = connection.recv()
    worker = None
    while True:
        try:
            kind, payload = connection.recv()
        except EOFError:
            return
        try:
            worker = worker or factory()
            if kind == "run":
                result = worker.run(payload, lambda state: connection.send(("progress", state)))
            else:
                result = worker.step_seconds() if kind == "measure" else None
        except LastbitError as error:
            connection.send(("stop", str(error)))
        except Exception as error:
            connection.send(("raised", one_line(error)))
        else:
            connection.send(("done", result))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
