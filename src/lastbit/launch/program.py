"""A user's command as what a study repeats: its words, the metrics it is judged by, and how it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics.spec import MetricSpec, metric_specs
from lastbit.launch.words import check_command

__all__ = ["CommandProgram", "script_of"]

SEED = "{seed}"
"""Stands for the index of the seed in the words of a command."""


@dataclass(frozen=True)
class CommandProgram:
    """A command that trains, as a user would type it.

    Attributes:
        words: the command and its arguments; `{seed}` in them stands for the index of the seed.
        metrics: what it is judged by, first the verdict's; none yet where its output is still to be looked at.
        options: `metric...`, `reseed`, `deterministic` and `timeout` as they were given.
        folder: where it is run.

    Raises:
        LastbitError: there are no words, or an option does not fit.

    Example:
        >>> program = CommandProgram.of(["python", "train.py", "--seed", "{seed}"], {"metric": ("acc",)})
        >>> program.name, program.seeded
        ('train', True)
    """

    words: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    options: Mapping[str, Any]
    folder: str

    @classmethod
    def of(cls, words: Any, options: Mapping[str, Any], folder: str | None = None) -> CommandProgram:
        """Return the program of words and options; it runs in `folder`, by default the present one."""
        if not words:
            raise LastbitError("there is no command after --: write -- python train.py")
        if not all(isinstance(word, str) for word in words):
            raise LastbitError(f"a command is a list of words, got {words!r}")
        flags = {name: value for name, value in options.items() if name.startswith("metric") or name == "better"}
        if options.get("reseed") and any(SEED in word for word in words):
            raise LastbitError("{seed} in the command and --reseed are two ways to vary the seed: give one of them")
        return cls(tuple(words), metric_specs(**flags), dict(options), folder or str(Path.cwd()))

    @property
    def name(self) -> str:
        """Name of its script, its module or its program."""
        return script_of(self.words).removesuffix(".py")

    @property
    def seeded(self) -> bool:
        """Whether its seed can be varied."""
        return bool(self.options.get("reseed")) or any(SEED in word for word in self.words)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is known of it to print and store."""
        return {"name": self.name, "command": " ".join(self.words), "folder": self.folder}

    @property
    def total_steps(self) -> int:
        """One: what it counts is not known before it has run."""
        return 1

    def check(self) -> None:
        """Check that there is such a program, and that lastbit will be reached in it.

        Raises:
            LastbitError: there is none, or not.
        """
        check_command(self.words, cwd=Path(self.folder))

    def spec(self) -> dict[str, Any]:
        """Return what `study.json` keeps."""
        kept = {name: list(value) if isinstance(value, tuple) else value for name, value in self.options.items()}
        return {"words": list(self.words), "folder": self.folder, **kept}

    def described(self) -> list[dict[str, Any]]:
        """Return name, unit and `higher_is_better` of every metric, as `study.json` keeps them."""
        kept = [asdict(metric) for metric in self.metrics]
        return [{"name": one["name"], "unit": one["unit"], "higher_is_better": one["higher_is_better"]} for one in kept]


def script_of(words: Sequence[str]) -> str:
    """Return what a command runs, as a person calls it: `train.py`, a module, or the program."""
    for place, word in enumerate(words):
        if word.endswith(".py"):
            return Path(word).name
        if word == "-m" and place + 1 < len(words):
            return words[place + 1]
    return Path(words[0]).name
