"""What the two sides of a check are called, and the command that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lastbit.core.words import command_text
from lastbit.launch.program import CommandProgram
from lastbit.studies.compare.names import names_of_programs
from lastbit.studies.frame.kind import Plan
from lastbit.studies.frame.settings import command_words
from lastbit.studies.same.settings import SameSettings

__all__ = ["is_recorded_alone", "names_of_sides", "repeated"]

_FLAGS = ("quick",)
"""Settings that are given or not, and have no other form."""


def is_recorded_alone(settings: SameSettings, programs: int) -> bool:
    """Tell whether there is a reference to keep, and no candidate."""
    return settings.record is not None and programs == 1 and not settings.candidate_env


def names_of_sides(specs: Sequence[Mapping[str, Any]], settings: SameSettings) -> tuple[str, str]:
    """Return what the reference and the candidate are called.

    Args:
        specs: what is kept of the programs; of one where the reference stands in a file, or there is no candidate.
        settings: of the check.

    Example:
        >>> of_a_file = SameSettings(against="old.ref", candidate_env=("OMP_NUM_THREADS=2",))
        >>> names_of_sides([{"command": {"words": ["python", "train.py"]}}], of_a_file)
        ('old.ref', 'python train.py with OMP_NUM_THREADS=2')
    """
    names = names_of_programs(specs)
    besides = f" with {' '.join(settings.candidate_env)}" if settings.candidate_env else ""
    reference = names[0] if settings.against is None else settings.against
    return reference, "" if is_recorded_alone(settings, len(specs)) else f"{names[-1]}{besides}"


def repeated(plan: Plan[SameSettings]) -> str:
    """Return the command, or the call, that repeats a check exactly."""
    settings, programs = plan.settings, plan.programs
    sides = ("candidate",) if settings.against is not None else ("reference", "candidate")[: len(programs)]
    texts = [program.text for program in programs]
    if None in texts:
        options = ", ".join(f"{name}={value!r}" for name, value in settings.model_dump(mode="json").items())
        return f"lb.same({', '.join(f'<{program.name!r}>' for program in programs)}, {options})"
    commands = [one.source.options for one in programs if isinstance(one.source, CommandProgram)]
    told = {**(commands[0] if commands else {}), **settings.model_dump()}
    own = {*SameSettings.of_tasks} if any(program.is_opaque for program in programs) else set()
    several = ("candidate_env", "objects")
    words = command_words({n: v for n, v in told.items() if n not in (*own, *several, *_FLAGS)})
    words += [f"--{name}" for name in _FLAGS if told[name]]
    words += [word for name in several for one in told[name] for word in (f"--{name.replace('_', '-')}", one)]
    each = [command_text(shlex.split(text or "")) for text in texts]
    first = [word for side, text in zip(sides, each, strict=True) for word in (f"--{side}", text)]
    return command_text(["lastbit", "same", *first, *words])
