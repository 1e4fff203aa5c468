"""What the results about a classical problem share: its words, its parameters and what is said of a step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lastbit.pde.linear.amplification import StepJudgement
from lastbit.pde.linear.analysis import Analysis, analyse
from lastbit.report.formatting import amplification, margin, number, wave
from lastbit.studies.pde.result import PdeResult
from lastbit.studies.pde.settings import LinearSettings

__all__ = ["LinearResult", "analysed"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearResult(PdeResult):
    """The answer of a command on a classical problem.

    Attributes:
        analysis: up to which step it is stable.
        judgement: what was found of the step that was asked about, where one was.
    """

    settings: LinearSettings
    analysis: Analysis
    judgement: StepJudgement | None = None

    @property
    def words(self) -> str:
        """The problem in a few words."""
        one = self.analysis
        return f"{one.problem} in {one.dim}-D by {one.scheme} on dx = {number(one.dx, 6)}"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The settings, with every parameter of the equation and the scheme, and no other."""
        own = set(LinearSettings.model_fields) - {"dx", "dim", "scheme"}
        kept = [(name, text) for name, text in super().facts if name.replace(" ", "_") not in own]
        return [*kept, *self.parameters]

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Every parameter of the equation and of the scheme."""
        return [(name, number(value, 10)) for name, value in self.analysis.parameters.items()]

    @property
    def step_words(self) -> str:
        """How a step compares with the limit, and what it does to the wave that matters."""
        one = self.judgement
        assert one is not None
        if one.max_stable_dt in (0.0, math.inf):
            compared = self.analysis.note
        else:
            relation = margin(one.dt, one.max_stable_dt)
            compared = f"the step lies {relation} the largest stable dt, {number(one.max_stable_dt, 10)}"
            if relation == "at" and not one.stable:
                compared = "at the limit itself two roots meet on the unit circle and grow linearly"
        factor = amplification(one.amplification)
        return f"{compared}, and each step multiplies waves of {wave(one.frequency, self.analysis.dx)} by {factor}"


def analysed(problem: str, settings: LinearSettings) -> Analysis:
    """Return the analysis of the problem that settings describe."""
    given = settings.model_dump(include=set(LinearSettings.model_fields), exclude_none=True)
    return analyse(problem, **given)
