"""What to run where an exact repeat did not match: the doctor, on the same program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lastbit.core.words import command_text
from lastbit.studies.frame.folders import arms_of
from lastbit.studies.frame.settings import CommandSettings, command_line
from lastbit.tasks import TaskConfig

__all__ = ["doctor_command"]


def doctor_command(facts: Mapping[str, Any]) -> str:
    """Return the command, or the call, that says why the program of a study does not repeat; "" where there is none.

    Args:
        facts: what `study.json` says.
    """
    # Of several programs the first is what the others are held against.
    spec, threads = arms_of(facts["spec"])[0], facts.get("execution", {}).get("threads")
    if command := spec.get("command"):
        taken = {
            name: command.get(name) for name in ("reseed", "deterministic") if name in CommandSettings.model_fields
        }
        known = {name: True for name, value in taken.items() if value}
        ours = known | ({"threads": threads} if known.get("deterministic") else {})
        return f"{command_line('doctor', ours)} -- {command_text(command['words'])}"
    if spec.get("object"):
        return f"lb.doctor({spec['object']})"
    program = spec.get("program")
    if not program:
        return ""
    plain = TaskConfig(task=program["task"]).model_dump()
    chosen = {name: value for name, value in program.items() if name == "task" or value != plain.get(name)}
    return command_line("doctor", {**chosen, "threads": threads})
