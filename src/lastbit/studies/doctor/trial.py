"""The program in hand: what is launched for it, with which settings, in which folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lastbit.launch.pair.call import Call
from lastbit.launch.pair.outcome import Pair
from lastbit.launch.pair.run import Recorded, run_pair, run_recorded, run_sequential
from lastbit.launch.program import CommandProgram, script_of
from lastbit.launch.settings import Launch
from lastbit.studies.doctor.diagnosis import Intervention
from lastbit.studies.doctor.settings import DoctorSettings
from lastbit.studies.frame.kind import Work
from lastbit.studies.frame.own_process import launch_of, launchable

__all__ = ["LAUNCHED", "Trial"]

LAUNCHED = ("threads", "deterministic")
"""Changes of an intervention that are settings of how the program is launched; others are made inside it."""


@dataclass(frozen=True)
class Trial:
    """A program that is run twice, as often as is asked for."""

    program: Sequence[str] | Call
    name: str
    launch: Launch
    """How it is run; the folder takes one for each pair."""

    @classmethod
    def of(cls, work: Work[DoctorSettings]) -> Trial:
        """Return the trial that a job is about."""
        source = work.program.source
        name = script_of(source.words) if isinstance(source, CommandProgram) else work.task.name
        return cls(launchable(work.program, dict(work.job.cell.program), name, work), name, launch_of(work))

    def pair(self, name: str, under: Intervention | None = None, until: int | None = None) -> Pair:
        """Run it twice at once, as it is or under an intervention, to the end or to so many equal steps."""
        launch = self.launch.into(name)
        if under is None:
            return run_pair(self.program, launch, until=until)
        outside = {name: value for name, value in under.changes.items() if name in LAUNCHED}
        inside = {name: value for name, value in under.changes.items() if name not in LAUNCHED}
        environment = {**os.environ, **under.environment}
        changed = replace(launch, settings=replace(launch.settings, **outside), environment=environment)
        return run_pair(self.program, changed, changes=inside, until=until)

    def sequential(self, name: str) -> Pair:
        """Run it twice, one run after the other."""
        return run_sequential(self.program, self.launch.into(name))

    def recorded(self, name: str) -> Recorded:
        """Run it once and record every step."""
        return run_recorded(self.program, self.launch.into(name))
