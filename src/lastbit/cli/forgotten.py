"""A command of the user's own whose `--` was forgotten: it is told what to write, with the words that were typed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Sequence
from typing import Any

from lastbit.cli.fields import SeveralValues
from lastbit.core.errors import LastbitError
from lastbit.core.words import command_text
from lastbit.studies.frame.settings import StudySettings, study_keywords

__all__ = ["NUMBER", "TASKS", "TakesCommands", "own_command"]

TASKS = next(one.words for one in study_keywords(StudySettings) if one.name == "task")

NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)


class TakesCommands(SeveralValues):
    """A command of lastbit's that takes one of the user's behind `--`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse words that are a command, and stand where a task would."""
        words = self.joined(args)
        takes = {flag for one in self.params if not getattr(one, "is_flag", True) for flag in one.opts}
        place = None if "--" in words else own_command(words, takes)
        if place is not None:
            runs = ["python"] if words[place].endswith(".py") else []
            whole = command_text([*ctx.command_path.split(), *words[:place], "--", *runs, *words[place:]])
            raise LastbitError(f"{words[place]} is no task; a command of your own stands behind --: write {whole}")
        return super().parse_args(ctx, args)


def own_command(words: Sequence[str], takes: Collection[str]) -> int | None:
    """Return where a command without `--` begins; None where there is none.

    Args:
        words: what follows the name of lastbit's command.
        takes: flags that the next word belongs to.

    Example:
        >>> own_command(["--timeout", "5", "python", "train.py"], {"--timeout"})
        2
        >>> own_command(["digits", "--timeout", "5"], {"--timeout"})
    """
    place = 0
    while place < len(words) and (words[place].startswith("-") or words[place].endswith(".toml")):
        place += 2 if words[place] in takes else 1
    word, *others = words[place:] or [""]
    if not word or word in TASKS or ":" in word or NUMBER.fullmatch(word):
        return None
    return place if shutil.which(word) or (others and not others[0].startswith("-")) else None
