"""What a worker process does; started by `ProcessExecutor` alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import cast

import torch

from lastbit.core.errors import LastbitError
from lastbit.train.jobs import Worker, WorkerFactory, one_line

__all__ = ["main"]


def _end_with_parent(parent: int) -> None:
    """A parent that was killed leaves nobody to end this process, and its study may already go on elsewhere."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _received(connection: Connection) -> WorkerFactory:
    try:
        return cast(WorkerFactory, connection.recv())
    except EOFError:
        sys.exit(0)
    except Exception as error:
        reason = one_line(error)

    def broken() -> Worker:
        raise LastbitError(
            f"a worker process cannot load what it should run ({reason}): define it in a module that can be imported, "
            "or use --workers 1"
        )

    return broken


def main(descriptor: int, threads: int, parent: int) -> None:
    """Do what arrives on the pipe until it closes.

    Args:
        descriptor: of the pipe.
        threads: intra-op threads.
        parent: number of the process that started this one, and with which it ends.
    """
    # Ctrl-C reaches the whole process group; what follows from it is the parent's to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent(parent)
    torch.set_num_threads(threads)
    connection = Connection(descriptor)
    factory = _received(connection)
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
            connection.send(("done", result))
        except LastbitError as error:
            connection.send(("stop", str(error)))
        except (Exception, SystemExit) as error:  # a task that calls sys.exit ends its run, not the process
            connection.send(("raised", one_line(error)))
