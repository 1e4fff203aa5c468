"""Jobs on a machine that has neither the study's folder nor, perhaps, the user's files: what travels, and how it acts.

Nothing here imports PyTorch: what holds a slot on another machine passes on what its process of training says, and that
process alone computes.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from lastbit.core.errors import LastbitError
from lastbit.train.executors.channel import unpacked
from lastbit.train.jobs import Worker, WorkerFactory, one_line

__all__ = ["GREETING", "AwayFactory", "Home", "Luggage", "Movable", "own_digest", "unpack"]

GREETING = b""
"""The job of saying what a process computes with."""


class Movable(Protocol):
    """What makes a worker of jobs that read and write files."""

    def moved(self, folder: Path, root: Path | None) -> WorkerFactory:
        """Return the same for another folder.

        Args:
            folder: takes the files.
            root: folder under which the user's files lie by their full paths; None where they lie where they did.
        """


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where the files of jobs belong, by names within the folder of the study.

    Attributes:
        folder: of the study; what a process elsewhere says of its own folder is said of this one.
        brings: returns the files that a job goes on from.
        replaced: returns the names of those that a job replaces, whole, while it is under way.
        keep: takes a file, replacing what there was.
        drop: removes one that a job removed.
    """

    folder: Path
    brings: Callable[[Any], Mapping[str, bytes]]
    replaced: Callable[[Any], tuple[str, ...]]
    keep: Callable[[str, bytes], None]
    drop: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Luggage:
    """What a machine is given once.

    Attributes:
        factory: what makes the worker, pickled.
        threads: of each operation.
        device: where is trained.
        cwd: folder in which the study was begun.
        modules: folders of the user's modules.
        texts: the user's files by their full path, with what is in them.
        needed: files by their full path that a machine must have itself, with their digests.
        folders: that a machine must have itself.
        home: the study's folder, as errors name it; empty where jobs have no files.
        environment: variables.
    """

    factory: bytes
    threads: int
    device: str = "cpu"
    cwd: str = "."
    modules: tuple[str, ...] = ()
    texts: Mapping[str, bytes] = field(default_factory=dict)
    needed: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    home: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def missing(self) -> str:
        """Return what this machine should have and has not, or has with another text; "" for nothing."""
        for name in self.folders:
            if not Path(name).is_dir():
                return f"has no folder {name}"
        for name, digest in self.needed.items():
            try:
                found = hashlib.blake2b(Path(name).read_bytes(), digest_size=16).hexdigest()
            except OSError:
                return f"has no {name}"
            if found != digest:
                return f"has another {name}"
        return ""


def unpack(luggage: Luggage, room: Path) -> tuple[Path | None, Path, tuple[str, ...]]:
    """Lay the user's files out, where this machine does not see the same ones.

    Args:
        luggage: what was given.
        room: folder of the slot.

    Returns:
        The folder under which they lie by their full paths (None where they lie where they did), the working folder,
        and the folders of modules.
    """
    if all(_has(Path(name), text) for name, text in luggage.texts.items()):
        here = Path(luggage.cwd)
        return None, here if here.is_dir() else room, luggage.modules
    root = room / "sources"
    for name, text in luggage.texts.items():
        path = _under(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    cwd = _under(root, luggage.cwd)
    cwd.mkdir(parents=True, exist_ok=True)
    return root, cwd, tuple(str(_under(root, name)) for name in luggage.modules)


def _has(path: Path, text: bytes) -> bool:
    try:
        return path.read_bytes() == text
    except OSError:
        return False


def _under(root: Path, name: str) -> Path:
    path = Path(name)
    return root.joinpath(*path.parts[1:]) if path.is_absolute() else root / path


@dataclass(frozen=True)
class AwayFactory:
    """Makes the worker of a process on another machine, which takes jobs pickled and returns their results so.

    Attributes:
        packed: what makes the worker of the jobs, pickled.
        device: where is trained.
        threads: of each operation.
        folder: takes the files of jobs; None where they have none.
        root: as for `Movable.moved`.
    """

    packed: bytes
    device: str
    threads: int
    folder: Path | None
    root: Path | None

    def __call__(self) -> AwayWorker:
        """Make the worker."""
        from lastbit.core.threads import PROCESSES, own_cores

        # What reads examples ahead takes this run's share of the cores, and no more.
        os.environ[PROCESSES] = str(max(1, own_cores() // self.threads))
        return AwayWorker(self)

    def worker(self) -> Worker:
        """Make the worker of the jobs.

        Raises:
            LastbitError: what makes it cannot be loaded here.
        """
        try:
            # From the driver of this study alone, over Ray, which runs its code anyway.
            factory = unpacked(self.packed)
        except Exception as error:
            raise LastbitError(
                f"a node cannot load what it should run ({one_line(error)}): name the task FILE.py:FUNCTION, whose "
                "text travels with the study, or define it in a module that every node can import"
            ) from None
        if self.folder is not None:
            factory = cast(Movable, factory).moved(self.folder, self.root)
        return cast(WorkerFactory, factory)()


class AwayWorker:
    """Does jobs that arrive pickled; `GREETING` is the one of saying what is computed with."""

    def __init__(self, order: AwayFactory) -> None:
        self._order = order
        self._worker: Worker | None = None

    def run(self, payload: bytes, progress: Callable[[Any], None]) -> bytes:
        """Do one job."""
        if payload == GREETING:
            return pickle.dumps(computes_with(self._order.device))
        self._worker = self._worker or self._order.worker()
        return pickle.dumps(self._worker.run(unpacked(payload), progress))

    def step_seconds(self) -> float:
        """Measure nothing: machines differ, and other work comes and goes on them."""
        raise NotImplementedError


def computes_with(device: str) -> dict[str, Any]:
    """Return what the bits of this process depend on: versions, hardware, threads, and a few steps as a digest."""
    import torch

    from lastbit.train.environment import environment
    from lastbit.train.probe_step import step_digest

    place = torch.device(device)
    own = {"threads": torch.get_num_threads(), "lastbit's text": own_digest(), "training step": step_digest(place)}
    return environment(place) | own


def own_digest() -> str:
    """Return a digest of the text of this lastbit: two of one version may still differ."""
    digest, package = hashlib.blake2b(digest_size=16), Path(__file__).parents[2]
    for path in sorted(package.rglob("*.py")):
        digest.update(f"\0{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def told_environment() -> dict[str, str]:
    """Return the variables that say where data lie; a machine has its own of all others."""
    return {name: value for name, value in os.environ.items() if name == "LASTBIT_DATA"}
