"""What a study's jobs take to another machine, and what of theirs comes back into its folder."""

from __future__ import annotations

import pickle
import pickletools
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.kept import KEPT
from lastbit.launch.program import CommandProgram
from lastbit.store.layout import disk_errors, write_atomically
from lastbit.studies.frame.kind import Job, Plan
from lastbit.studies.frame.sources import folder_of, sources_of
from lastbit.tasks.sources import is_installed, local_sources
from lastbit.train.executors.away import Home, Luggage, told_environment
from lastbit.train.jobs import WorkerFactory

__all__ = ["home_in", "home_of", "luggage_of"]


def luggage_of(factory: WorkerFactory, plan: Plan[Any], folder: Path, threads: int) -> Luggage:
    """Return what every machine is given once.

    The text of a task's file, and of what is pickled by name, travels with the local modules that they import. The
    scripts of a command do not: it runs in its folder, which a machine must have.

    Args:
        factory: makes the worker.
        plan: what is trained.
        folder: of the study.
        threads: of each operation.

    Raises:
        LastbitError: a file that is needed cannot be read.
    """
    packed = pickle.dumps(factory)
    texts: dict[str, bytes] = {}
    needed: dict[str, str] = {}
    folders: list[str] = []
    for program in plan.programs:
        sources = {str(folder_of(program) / name): digest for name, digest in sources_of(program).items()}
        if isinstance(program.source, CommandProgram):
            needed |= sources
            folders.append(program.source.folder)
        else:
            texts |= {name: _text(Path(name)) for name in sources}
    here = Path.cwd()
    texts |= {str(here / name): _text(here / name) for name in local_sources(list(_modules_in(packed)), base=here)}
    if checkpoint := getattr(plan.settings, "checkpoint", None):
        path = Path(checkpoint).expanduser().absolute()
        texts[str(path)] = _text(path)
    own = [str(Path(entry or ".").absolute()) for entry in sys.path]
    return Luggage(
        factory=packed,
        threads=threads,
        device=str(plan.device),
        cwd=str(here),
        modules=tuple(dict.fromkeys(entry for entry in own if _is_of_user(Path(entry)))),
        texts=texts,
        needed=needed,
        folders=tuple(folders),
        home=str(folder),
        environment=told_environment(),
    )


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LastbitError(f"{path} cannot be read, and must travel with the study ({error.strerror})") from None


def _is_of_user(folder: Path) -> bool:
    return folder.is_dir() and not is_installed(folder / "any.py") and folder != Path(__file__).parents[3]


def _modules_in(packed: bytes) -> Iterator[Path]:
    """Yield the files of the user's modules that something pickled names."""
    names: set[str] = set()
    for operation, argument, _ in pickletools.genops(packed):
        if operation.name == "GLOBAL":
            names.add(str(argument).partition(" ")[0])
        elif isinstance(argument, str):
            # The words before STACK_GLOBAL stand on the stack, or were memorised: every one that is a module counts.
            names.add(argument)
    for name in names & sys.modules.keys():
        file = getattr(sys.modules[name], "__file__", None)
        if file and (path := Path(file)).suffix == ".py" and not is_installed(path):
            yield path


def home_of(folder: Path) -> Home:
    """Return how the files of jobs on other machines belong into a study's folder."""

    def brings(job: Job) -> dict[str, bytes]:
        names = [name for name in replaced(job) if (folder / name).is_file()]
        kept = folder / "output" / job.run
        if (kept / KEPT).is_file():
            names += [str(path.relative_to(folder)) for path in kept.rglob("*") if path.is_file()]
        with disk_errors(folder):
            return {name: (folder / name).read_bytes() for name in names}

    def replaced(job: Job) -> tuple[str, ...]:
        return (f"checkpoints/{job.run}.safetensors",)

    return Home(
        folder=folder, brings=brings, replaced=replaced, keep=partial(_keep, folder), drop=partial(_drop, folder)
    )


def home_in(folder: Path, name_of: Callable[[Any], str]) -> Home:
    """Return how whole studies that jobs make elsewhere belong into a folder.

    Args:
        folder: takes the studies.
        name_of: returns the name of a job's study; "" where it makes none.
    """

    def brings(payload: Any) -> dict[str, bytes]:
        study = folder / (name_of(payload) or ".no-study")
        with disk_errors(folder):
            files = [path for path in study.rglob("*") if path.is_file()]
            return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    keep, drop = partial(_keep, folder), partial(_drop, folder)
    return Home(folder=folder, brings=brings, replaced=lambda payload: (), keep=keep, drop=drop)


def _keep(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    with disk_errors(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda unfinished: unfinished.write_bytes(content))


def _drop(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
