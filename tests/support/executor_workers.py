"""Workers for the executor tests, in a module that worker processes can import."""

import importlib
import inspect
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from lastbit.core.errors import LastbitError


def note(folder, text):
    """Leave a line that the test reads, whichever process wrote it."""
    (Path(folder) / f"{time.monotonic_ns()}-{os.getpid()}").write_text(text)


def notes(folder):
    return [path.read_text() for path in sorted(Path(folder).iterdir())]


class Worker:
    """Does what a job's payload, `(action, value)`, names."""

    def __init__(self, plan):
        self.plan = plan
        note(plan.folder, f"made {os.getpid()}")

    def run(self, payload, progress):
        action, value = payload
        note(self.plan.folder, f"ran {action} {value}")
        return getattr(self, action)(value, progress)

    def alike(self, payload):
        return payload[0] == "imports"

    def run_together(self, payloads, progress, how):
        assert len(payloads) <= how.size
        if any(action == "spoils" for action, _ in payloads):
            raise RuntimeError("a step of all")
        results = []
        for payload, told in zip(payloads, progress, strict=True):
            try:
                results.append(self.run(payload, told))
            except LastbitError:
                raise
            except (Exception, SystemExit) as error:
                results.append(error)
        return results

    def stopped(self, value, progress):
        """Lose a Ctrl-C, as an import does that catches everything, and fail of it or not."""
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        if value == "fails":
            raise AttributeError("half a module")
        if value == "refuses":
            raise LastbitError("half a module")

    def square(self, value, progress):
        progress(value)
        return value * value, os.getpid()

    def raises(self, value, progress):
        raise ValueError(f"no {value}\nand more")

    def raises_once(self, value, progress):
        marker = Path(self.plan.folder).parent / f"once-{value}"
        if not marker.exists():
            marker.touch()
            raise RuntimeError("the first time")
        return value

    def leaves(self, value, progress):
        sys.exit(value)

    def imports(self, value, progress):
        return importlib.import_module(value).__file__

    def stops(self, value, progress):
        raise LastbitError("the disk is full: free some space")

    def exits(self, value, progress):
        os._exit(value)

    def kills_itself(self, value, progress):
        os.kill(os.getpid(), signal.SIGKILL)

    def dies_speaking(self, value, progress):
        # The head of a message of 4096 bytes, and three of them: killed in the middle of sending a result.
        inspect.getclosurevars(progress).nonlocals["outgoing"].write((4096).to_bytes(8, "big") + b"abc")
        os._exit(1)

    def unsendable(self, value, progress):
        return threading.Lock()

    def threads(self, value, progress):
        return torch.get_num_threads()

    def sleeps(self, value, progress):
        progress(os.getpid())
        time.sleep(value)

    def step_seconds(self):
        note(self.plan.folder, "measured")
        return 0.25


@dataclass(frozen=True)
class Factory:
    """Makes a `Worker`; `fails` names what it does instead."""

    folder: str
    fails: str = ""

    def __call__(self):
        if self.fails == "lastbit":
            raise LastbitError("the task has no examples")
        if self.fails == "exit":
            os._exit(3)
        return Worker(self)


class Unloadable:
    """Travels, and cannot be unpacked where it arrives."""

    def __reduce__(self):
        return _refuse, (os.getpid(),)


def _refuse(pid):
    if os.getpid() != pid:
        raise ImportError("no module named 'mine'")
    return Unloadable()


class Counter:
    """Counts to the value of a job from where its checkpoint stands, ten a second, and returns where it began."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, payload, progress):
        name, value = payload
        path = self.folder / "checkpoints" / name
        begun = count = int(path.read_text()) if path.exists() else 0
        while count < value:
            time.sleep(0.1)
            count += 1
            new = path.with_suffix(".new")
            new.write_text(str(count))
            new.replace(path)
            progress(count)
        (self.folder / "arrays" / name).write_text(f"counted to {count}")
        path.unlink(missing_ok=True)
        return begun, os.getpid()


@dataclass(frozen=True)
class CounterFactory:
    """Makes a `Counter` once it is moved."""

    folder: Path | None = None

    def moved(self, folder, root):
        return CounterFactory(folder)

    def __call__(self):
        return Counter(self.folder)
