"""What a worker process does; started by `ProcessExecutor` alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from queue import SimpleQueue
from typing import IO, cast

import torch

from lastbit.core.errors import LastbitError
from lastbit.train.executors.channel import own_streams, receive, send, unpacked
from lastbit.train.jobs import Worker, WorkerFactory, one_line

__all__ = ["main"]


def _listen(stream: IO[bytes], parent: int) -> SimpleQueue[bytes]:
    """Return a queue of the parent's messages, and end with the parent, which may be killed while this one is busy.

    Its study may already go on elsewhere. The pipe tells at once, unless a process that the parent forked holds it too.
    """
    said: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        while (message := receive(stream)) is not None:
            said.put(message)
        os._exit(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    for each in (listen, watch):
        threading.Thread(target=each, daemon=True).start()
    return said


def _loaded(message: bytes) -> WorkerFactory:
    try:
        return cast(WorkerFactory, unpacked(message))
    except Exception as error:
        reason = one_line(error)

    def broken() -> Worker:
        raise LastbitError(
            f"a worker process cannot load what it should run ({reason}): define it in a module that can be imported, "
            "or use --workers 1"
        )

    return broken


def main(threads: int, parent: int) -> None:
    """Do what arrives on standard input until it closes, and answer on standard output.

    Args:
        threads: intra-op threads.
        parent: number of the process that started this one, and with which it ends.
    """
    # Ctrl-C reaches the whole process group; what follows from it is the parent's to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    incoming, outgoing = own_streams()
    said = _listen(incoming, parent)
    torch.set_num_threads(threads)
    # Here and not where they arrive: modules of the user's may only be imported in the main thread.
    factory = _loaded(said.get())
    worker = None
    while True:
        kind, payload = unpacked(said.get())
        try:
            worker = worker or factory()
            if kind == "run":
                # The task of the run before may have set another number.
                torch.set_num_threads(threads)
                result = worker.run(payload, lambda state: send(outgoing, ("progress", state)))
            else:
                result = worker.step_seconds() if kind == "measure" else None
            send(outgoing, ("done", result))
        except LastbitError as error:
            send(outgoing, ("stop", str(error)))
        except (Exception, SystemExit) as error:  # a task that calls sys.exit ends its run, not the process
            send(outgoing, ("raised", one_line(error)))
