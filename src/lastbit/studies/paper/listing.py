"""The claims there are: what each says, what it is drawn as, and the time that it takes here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lastbit.core.plain import plain
from lastbit.report.blocks import Column, Columns, Page, Section, table_of
from lastbit.report.formatting import duration, plural
from lastbit.studies.paper.expected import measured_seconds, seconds_of
from lastbit.studies.paper.register import claims
from lastbit.studies.paper.settings import SCALES
from lastbit.train.executors.choose import default_workers

__all__ = ["Listed", "ListedClaim", "listed"]


@dataclass(frozen=True, kw_only=True)
class ListedClaim:
    """One claim.

    Attributes:
        id: of it.
        title: in one line.
        printed: the figure or table of the publication.
        scales: what each scale measures, by its name.
        seconds: expected at each scale, by its name.
    """

    id: str
    title: str
    printed: str
    scales: Mapping[str, str]
    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """All of them.

    Attributes:
        claims: in order.
        workers: processes that the expected times count on.
    """

    claims: Sequence[ListedClaim]
    workers: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        found: dict[str, Any] = plain(
            {"schema": 1, "kind": "paper list", "workers": self.workers, "claims": self.claims}
        )
        return found

    @cached_property
    def page(self) -> Page:
        """The page that text is rendered from."""
        each: Columns[ListedClaim] = {
            Column("claim"): lambda one: one.id,
            Column("says"): lambda one: one.title,
            Column("drawn as"): lambda one: one.printed,
            Column("small", True): lambda one: duration(one.seconds["small"]),
            Column("medium", True): lambda one: duration(one.seconds["medium"]),
            Column("full", True): lambda one: duration(one.seconds["full"]),
        }
        totals = {scale: sum(one.seconds[scale] for one in self.claims) for scale in SCALES}
        caption = f"All of them: small {duration(totals['small'])}, medium {duration(totals['medium'])}."
        return Page(
            title="The published claims",
            subtitle="",
            tone="pass",
            badge="list",
            verdict=f"{plural(len(self.claims), 'claim')} can be measured; lastbit paper run all measures every one",
            advice="Times are expected from steps measured just now, with "
            f"{plural(self.workers, 'process', 'processes')} of one thread on this machine as it is loaded.",
            sections=[Section("The claims", [table_of(self.claims, each, caption=caption)], brief=True)],
        )

    def print_summary(self) -> None:
        """Print the list to the terminal, as wide as it is."""
        from lastbit.report.text import print_page

        print_page(self.page)


def listed() -> Listed:
    """Return the claims with the time that each takes on this machine, from steps measured now."""
    found, workers = claims(["all"]), default_workers()
    pieces = {(one.id, scale): one.pieces(scale) for one in found for scale in SCALES}
    step = measured_seconds({name for some in pieces.values() for piece in some for name in piece.steps})
    return Listed(
        workers=workers,
        claims=[
            ListedClaim(
                id=one.id,
                title=one.title,
                printed=one.printed,
                scales=one.scales,
                seconds={scale: seconds_of(pieces[one.id, scale], step, workers) for scale in SCALES},
            )
            for one in found
        ],
    )
