"""What the claims are judged to be: a row for each, in typed and frozen form, and the sentence that comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.report.formatting import plural
from lastbit.store.claim_folder import ClaimFolder
from lastbit.studies.frame.result import Verdict
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, undecided

__all__ = ["JUDGED", "SCHEMA", "ClaimRow", "FormRow", "PaperResult", "claim_row", "measured_of", "paper_verdict"]

SCHEMA = 1
"""Version of the form of `PaperResult`."""

JUDGED = {"held": "held", "not_held": "not held", "undecided": "undecided", "not_measured": "not measured"}
"""The kinds of verdict on a claim, in words."""

_NOTHING = "nothing of it was measured here"


@dataclass(frozen=True, kw_only=True)
class FormRow:
    """A form of a claim, judged.

    Attributes:
        says: the claim in this form.
        rule: that decides, in words.
        verdict_kind: `held`, `not_held`, `undecided` or `not_measured`.
        why: the reason.
        numbers: that decide.
    """

    says: str
    rule: str
    verdict_kind: str
    why: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """A claim, judged as it was published and, where it was found narrower, in that form too.

    Attributes:
        id: "C1" to "C12".
        title: in one line.
        printed: the figure or table of the publication.
        verdict_kind: as published.
        rule: as published, in words.
        why: the reason of the verdict.
        numbers: that decide.
        published: the form itself.
        found: the narrower form; None where there is none.
        measures: what was measured at this scale.
        remarks: what a reader should know.
        seconds: that its pieces took.
        command: that measures it again.
    """

    id: str
    title: str
    printed: str
    verdict_kind: str
    rule: str
    why: str
    numbers: tuple[Number, ...]
    published: FormRow
    found: FormRow | None
    measures: str
    remarks: tuple[str, ...]
    seconds: float
    command: str


@dataclass(frozen=True, kw_only=True)
class PaperResult:
    """What `--json` and the folder's `result.json` hold.

    Attributes:
        schema: version of this form.
        kind: "paper".
        verdict: the answer, one sentence.
        verdict_kind: `held`, `not_held` or `undecided`.
        advice: what to do about it.
        scale: at which was measured.
        threads: of each process.
        environment: versions and machine.
        claims: a row for each.
    """

    schema: int
    kind: str
    verdict: str
    verdict_kind: str
    advice: str
    scale: str
    threads: int
    environment: Mapping[str, Any]
    claims: tuple[ClaimRow, ...]


def measured_of(claim: Claim[Any], folder: ClaimFolder) -> tuple[Any | None, float]:
    """Return what was measured of a claim, None where a piece is missing, and the seconds that its pieces took.

    Raises:
        LastbitError: a piece is not what this version measures.
    """
    asked = [one.name for one in claim.pieces(str(folder.facts["scale"]))]
    pieces = {name: piece for name in asked if (piece := folder.piece(claim.id, name)) is not None}
    try:
        taken = sum(float(one["seconds"]) for one in pieces.values())
        if len(pieces) < len(asked):
            return None, taken
        return claim.gather({name: one["measured"] for name, one in pieces.items()}), taken
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise LastbitError(
            f"{folder.path / claim.id} is not what this lastbit measures ({type(error).__name__}: {error}): delete "
            f"that folder and run lastbit paper run {claim.id} --out {folder.path} again"
        ) from error


def claim_row(claim: Claim[Any], scale: str, measured: Any | None, taken: float, failed: str = "") -> ClaimRow:
    """Judge a claim.

    Args:
        claim: to judge.
        scale: at which it was measured.
        measured: what was; None where a piece is missing.
        taken: seconds that its pieces took.
        failed: why it could not be measured, "" where nothing stood in the way.
    """
    published = _judged(claim.published, measured, failed)
    found = None if claim.found is None else _judged(claim.found, measured, failed)
    return ClaimRow(
        id=claim.id,
        title=claim.title,
        printed=claim.printed,
        verdict_kind=published.verdict_kind,
        rule=published.rule,
        why=published.why,
        numbers=published.numbers,
        published=published,
        found=found,
        measures=claim.scales[scale],
        remarks=() if measured is None else tuple(claim.remarks(measured)),
        seconds=taken,
        command=f"lastbit paper run {claim.id} --scale {scale}",
    )


def _judged(form: Form[Any], measured: Any | None, failed: str) -> FormRow:
    if measured is not None:
        judged: Judged = form.judge(measured)
    else:
        judged = undecided(failed or _NOTHING)
    kind = "not_measured" if measured is None and not failed else judged.kind
    return FormRow(says=form.says, rule=form.rule, verdict_kind=kind, why=judged.why, numbers=judged.numbers)


def paper_verdict(rows: Sequence[ClaimRow], scale: str) -> Verdict:
    """Return what stands first: how many claims held as published, which did not, which did in their narrower form."""
    by_kind: Mapping[str, list[ClaimRow]] = {kind: [one for one in rows if one.verdict_kind == kind] for kind in JUDGED}
    held, against = by_kind["held"], by_kind["not_held"]
    parts = [f"{len(held)} of {plural(len(rows), 'claim')} held as published at scale {scale}"]
    others = ("not_held", "undecided", "not_measured")
    parts += [f"{JUDGED[kind]}: {', '.join(one.id for one in by_kind[kind])}" for kind in others if by_kind[kind]]
    narrower = [one.id for one in against if one.found is not None and one.found.verdict_kind == "held"]
    if narrower:
        parts.append(f"in the narrower form that was found here, held too: {', '.join(narrower)}")
    if by_kind["not_measured"]:
        kind, advice = "undecided", "Run the same command again: it goes on where it was stopped."
    elif by_kind["undecided"]:
        kind, advice = "undecided", "What is missing to decide stands beside each claim."
    else:
        kind, advice = ("not_held" if against else "held"), ""
    return Verdict("; ".join(parts), kind, advice)
