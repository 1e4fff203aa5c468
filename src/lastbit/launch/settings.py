"""What a program is launched with: what happens to its optimizers, seeds and threads; where and how long it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import lastbit
from lastbit.core.errors import LastbitError
from lastbit.perturb.base import Identity, Perturbation, check_integer
from lastbit.perturb.registry import PERTURBATIONS

__all__ = ["Launch", "LaunchSettings", "perturbation_of"]


@dataclass(frozen=True, kw_only=True)
class LaunchSettings:
    """How one run of a command differs from the command as it is typed.

    Raises:
        LastbitError: a number is out of its range, both ways to vary the seed are asked for, or the perturbation needs
            the model.

    Example:
        >>> LaunchSettings(seed=2).words(["python", "train.py", "--seed={seed}"])
        ['python', 'train.py', '--seed=2']
    """

    perturbation: Perturbation = field(default_factory=Identity)
    seed: int | None = None
    """What `{seed}` in the command becomes; None leaves the command as it is."""
    reseed: int | None = None
    """Added to every seed that the program sets; None touches none."""
    deterministic: bool = True
    """Whether torch's deterministic mode and fixed hashes are asked for."""
    threads: int | None = None
    """Of one operation; None leaves what the environment says."""
    every: int | None = None
    """Steps between two records, a power of two; None: as many as keep recording below 3% of the time."""

    def __post_init__(self) -> None:
        if self.perturbation.kind == "reorder":
            raise LastbitError("reorder needs the model, which a command does not show: perturb by auto or rounding")
        if self.seed is not None and self.reseed is not None:
            raise LastbitError("{seed} and --reseed both vary the seed: leave one of them out")
        for name, least in (("seed", 0), ("reseed", 0), ("threads", 1), ("every", 1)):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), least=least)
        if self.every is not None and self.every & (self.every - 1):
            raise LastbitError(f"every = {self.every}: write a power of two, so that runs are recorded at equal steps")

    def words(self, words: list[str]) -> list[str]:
        """Return the command with its seed put in."""
        return words if self.seed is None else [word.replace("{seed}", str(self.seed)) for word in words]

    @property
    def told(self) -> dict[str, Any]:
        """What the program's process is told to do, whatever the run."""
        return {
            "perturbation": [self.perturbation.kind, self.perturbation.model_dump()],
            "reseed": self.reseed,
            "deterministic": self.deterministic,
            "every": self.every,
        }

    def message(self, folder: Path, mark: str, more: Mapping[str, Any] | None = None) -> str:
        """Return what the program's process is told, as JSON on one line.

        Args:
            folder: takes its records.
            mark: by which this run's processes are told from all others.
            more: what else they are told.
        """
        told = {"folder": str(folder), "mark": mark, "source": str(Path(lastbit.__file__).parents[1]), **self.told}
        return json.dumps(told | dict(more or {}))


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a program is run: what it is launched with, where, and for how long at most."""

    settings: LaunchSettings
    folder: Path
    """Takes `stdout.txt`, `stderr.txt` and the records, or a folder for each of several runs; made where missing."""
    cwd: Path | None = None
    """Where it runs; here by default."""
    environment: Mapping[str, str] | None = None
    """All of it; this process's by default."""
    timeout: float | None = None
    """Seconds after which it is ended, by who waits for it."""

    def into(self, name: str) -> Self:
        """Return the same with a folder of its own inside this one's."""
        return replace(self, folder=self.folder / name)


def perturbation_of(told: Mapping[str, Any]) -> Perturbation:
    """Return the perturbation in a message."""
    kind, fields = told["perturbation"]
    return PERTURBATIONS[kind](**fields)
