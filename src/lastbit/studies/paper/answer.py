"""What `lastbit paper` answers, and the forms in which it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.core.plain import plain
from lastbit.report.blocks import Page
from lastbit.report.figures.printed import draw, printed
from lastbit.store.claim_folder import ClaimFolder
from lastbit.studies.frame.presented import Presented, write_page
from lastbit.studies.paper.claim import Claim
from lastbit.studies.paper.page import ClaimShown, paper_page
from lastbit.studies.paper.result import SCHEMA, ClaimRow, PaperResult, claim_row, measured_of, paper_verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PaperAnswer"]


class PaperAnswer(Presented):
    """The claims of a folder, judged.

    Args:
        folder: in which they were measured.
        claims: that are shown.
        failed: why a claim could not be measured, by its id.
    """

    def __init__(self, folder: ClaimFolder, claims: Sequence[Claim[Any]], failed: Mapping[str, str]) -> None:
        self._folder = folder
        scale = str(folder.facts["scale"])
        found = [(one, *measured_of(one, folder)) for one in claims]
        self.shown = [
            ClaimShown(
                claim_row(one, scale, measured, taken, failed.get(one.id, "")),
                () if measured is None else one.drawings(measured),
                () if measured is None else one.tables(measured),
            )
            for one, measured, taken in found
        ]
        self._said = paper_verdict(self.claims, scale)

    @property
    def claims(self) -> list[ClaimRow]:
        """A row for each claim."""
        return [one.row for one in self.shown]

    @property
    def verdict(self) -> str:
        """The answer, one sentence."""
        return self._said.sentence

    @property
    def verdict_kind(self) -> str:
        """`held` where every claim held as published, `not_held` where one did not, `undecided` where one is open."""
        return self._said.kind

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends: a claim that does not hold is an answer too."""
        return ExitCode.UNDECIDED if self.verdict_kind == "undecided" else ExitCode.ANSWERED

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON: infinities as "inf" and "-inf", None for what there is not."""
        facts = self._folder.facts
        found: dict[str, Any] = plain(
            PaperResult(
                schema=SCHEMA,
                kind="paper",
                verdict=self.verdict,
                verdict_kind=self.verdict_kind,
                advice=self._said.advice,
                scale=facts["scale"],
                threads=facts["threads"],
                environment=facts["environment"],
                claims=tuple(self.claims),
            )
        )
        return found

    @cached_property
    def page(self) -> Page:
        """The page that text and HTML are rendered from."""
        return paper_page(self.shown, self._said, self._folder.facts)

    @property
    def default_report(self) -> Path:
        """In the folder."""
        return self.path / "report.html"

    def _drawings(self) -> Mapping[str, Callable[[], Figure]]:
        return {
            f"{one.row.id}-{drawing.name}": partial(draw, drawing) for one in self.shown for drawing in one.drawings
        }

    def write_markdown(self, path: str | Path) -> Path:
        """Write the whole page as Markdown, its figures into `images/NAME` beside it, and return its path.

        Args:
            path: the file.

        Raises:
            LastbitError: a file cannot be written.
        """
        from lastbit.report.markdown import render_markdown

        target = Path(path)
        beside = f"images/{target.stem}"
        images = target.parent / beside
        try:
            images.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LastbitError(f"cannot make {images} ({error.strerror or error}): name another file") from error
        for one in self.shown:
            for drawing in one.drawings:
                write_page(images / f"{one.row.id}-{drawing.name}.png", printed(drawing, "png"))
        page = paper_page(self.shown, self._said, self._folder.facts, pictures=beside)
        return write_page(target, render_markdown(page).encode())
