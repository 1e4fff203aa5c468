"""What `lastbit gate` answers, on one candidate or on the session, and the forms in which it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.core.plain import plain
from lastbit.report.blocks import Page
from lastbit.report.junit import render_junit
from lastbit.stats.gate import Comparison
from lastbit.studies.frame.presented import Presented
from lastbit.studies.frame.result import Verdict, outcome_of
from lastbit.studies.gate.page import gate_page
from lastbit.studies.gate.result import SCHEMA, GateResult, SessionRow

__all__ = ["GateAnswer"]

_EXIT = {"discard": ExitCode.NO, "undecided": ExitCode.UNDECIDED}


@dataclass(frozen=True, kw_only=True)
class GateAnswer(Presented):
    """The decision on one candidate, or the state of a session.

    Attributes:
        said: what stands first.
        session: as it stands after the decision.
        command: that asks again.
        candidate: number of the one that was decided; None of the session alone.
        before: whether it was decided by an earlier call.
    """

    said: Verdict
    session: SessionRow
    command: str
    candidate: int | None = None
    before: bool = False

    @property
    def verdict(self) -> str:
        """The answer, one sentence."""
        return self.said.sentence

    @property
    def verdict_kind(self) -> str:
        """`keep`, `discard` or `undecided`; `session` of the session alone."""
        return self.said.kind

    @property
    def why(self) -> str:
        """The reason in one word, as `lastbit.stats.gate.Why` has them; "" of the session alone."""
        return "" if self.candidate is None else self.session.of(self.candidate).why

    @property
    def comparison(self) -> Comparison | None:
        """What the last look saw; None where nothing was compared."""
        return None if self.candidate is None else self.session.of(self.candidate).comparison

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends."""
        return _EXIT.get(self.verdict_kind, ExitCode.ANSWERED)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON: infinities as "inf" and "-inf", None for what there is not."""
        one = None if self.candidate is None else self.session.of(self.candidate)
        found: dict[str, Any] = plain(
            GateResult(
                schema=SCHEMA,
                kind="gate",
                verdict=self.verdict,
                verdict_kind=self.verdict_kind,
                advice=self.said.advice,
                why=self.why,
                decided_before=self.before,
                candidate=one,
                session=self.session,
                command=self.command,
            )
        )
        return found

    @cached_property
    def page(self) -> Page:
        """The page that text, Markdown and HTML are rendered from."""
        return gate_page(self.session, self.said, self.command, self.candidate)

    def junit(self) -> str:
        """Return the decision as JUnit XML: a test case, which fails where the candidate is discarded.

        Raises:
            LastbitError: no candidate was asked about.
        """
        if self.candidate is None:
            raise LastbitError("a session is no question that a test could ask: decide a candidate")
        one = self.session.of(self.candidate)
        return render_junit(
            self.page,
            question="lastbit gate",
            of=one.text,
            outcome=outcome_of(self.verdict_kind, self.exit_code),
            kind=self.verdict_kind,
            seconds=one.seconds,
        )

    @property
    def default_report(self) -> Path:
        """Beside the ledger."""
        return Path(self.session.folder, "report.html")
