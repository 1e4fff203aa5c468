"""`lb.paper`: measure claims piece by piece, keep each piece as it ends, and judge what is in."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from lastbit.core.config import validated
from lastbit.core.device import resolve_device
from lastbit.core.errors import LastbitError, choose
from lastbit.core.keywords import keywords, takes
from lastbit.core.plain import plain
from lastbit.core.terminal import say
from lastbit.report.formatting import duration, plural
from lastbit.store import StorageError
from lastbit.store.claim_folder import ClaimFolder
from lastbit.studies.frame.asked import Asked
from lastbit.studies.frame.cluster import on_cluster
from lastbit.studies.frame.execution import Interrupted
from lastbit.studies.frame.folders import other_arithmetic
from lastbit.studies.frame.settings import ExecutorSettings
from lastbit.studies.paper.answer import PaperAnswer
from lastbit.studies.paper.claim import Claim, Piece
from lastbit.studies.paper.expected import measured_seconds, seconds_of
from lastbit.studies.paper.lab import Lab, one_thread
from lastbit.studies.paper.register import claims as claims_named
from lastbit.studies.paper.settings import PaperSettings
from lastbit.train.environment import environment
from lastbit.train.executors.choose import default_workers
from lastbit.train.executors.on_ray import RayRoom

__all__ = ["paper", "paper_report"]


@takes(keywords(PaperSettings))
def paper(claims: str | Sequence[str] = "all", *, quiet: bool = False, **settings: Any) -> PaperAnswer:
    """Measure published claims again, and judge them by rules that were written down before.

    What is measured is kept piece by piece: the same call again goes on where it was stopped, and measures nothing
    twice. Threads and seeds are fixed, so a second folder on the same machine holds the same numbers.

    Args:
        claims: ids of claims (`"C6"`), or `"all"`.
        quiet: show no progress.
        **settings: scale, device, workers, and the folder.

    Returns:
        The answer: `claims` has a row for each, `verdict_kind` is `held`, `not_held` or `undecided`.

    Raises:
        LastbitError: an id or a setting is invalid; the folder is of another scale or another machine's arithmetic.

    Example:
        >>> from lastbit import paper
        >>> answer = paper("C5", scale="small")  # doctest: +SKIP
        >>> answer.claims[0].verdict_kind  # doctest: +SKIP
        'held'
    """
    known = PaperSettings.model_fields
    given = {choose(name, known, "setting"): value for name, value in settings.items() if value is not None}
    asked = validated(PaperSettings, given, flag="--")
    chosen = claims_named([claims] if isinstance(claims, str) else claims)
    if not chosen:
        raise LastbitError("no claim was named: name some (C6), or all")
    how = Asked(workers=asked.workers, threads=1, **{n: getattr(asked, n) for n in ExecutorSettings.model_fields})
    device = resolve_device(asked.device)
    folder = Path(asked.out) if asked.out is not None else Path("lastbit-studies") / f"paper-{asked.scale}"
    facts = {
        "kind": "paper",
        "scale": asked.scale,
        "threads": 1,
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(device),
    }

    with ClaimFolder.measuring(folder, facts) as held:
        _check_the_same(held, facts)
        failed: dict[str, str] = {}
        try:
            with on_cluster(how, device, threads=1) as room:
                workers = 1 if asked.executor == "serial" else asked.workers or default_workers()
                measuring = _Measuring(held=held, workers=workers, device=device, quiet=quiet, failed=failed, room=room)
                measuring.all_of(chosen)
        except KeyboardInterrupt:
            raise Interrupted("stopped; what is measured is safe, and the same command goes on from it") from None
        answer = PaperAnswer(held, chosen, failed)
        held.keep_result(answer.to_json())
        for shown in answer.shown:
            shown.keep_figures(held)
    return answer


def paper_report(folder: str | Path) -> PaperAnswer:
    """Judge again what a folder holds, without measuring.

    Args:
        folder: of an earlier `paper`, finished or not.

    Raises:
        LastbitError: it holds no measured claims.
    """
    held = ClaimFolder.read(Path(folder))
    there = [one for one in claims_named(["all"]) if (held.path / one.id).is_dir()]
    return PaperAnswer(held, there, {})


def _check_the_same(held: ClaimFolder, now: Mapping[str, Any]) -> None:
    """Refuse to go on at another scale, on another device, or where the bits would be others.

    Raises:
        LastbitError: names what is another.
    """
    before = held.facts
    if before["scale"] != now["scale"]:
        raise LastbitError(
            f"{held.path} was begun with --scale {before['scale']}, not {now['scale']}: name another folder with --out"
        )
    there, here = before["environment"], now["environment"]
    other = next((name for name in ("lastbit", "device") if there.get(name) != here.get(name)), None)
    other = other or other_arithmetic(there, here)
    if other is not None:
        raise LastbitError(
            f"{held.path} was begun with {other} {there.get(other)!r}, here it is {here.get(other)!r}, and numbers "
            "would differ: name another folder with --out"
        )


@dataclass(frozen=True, kw_only=True)
class _Measuring:
    """Measures claims into a folder."""

    held: ClaimFolder
    workers: int
    device: torch.device
    quiet: bool
    room: RayRoom | None
    failed: dict[str, str]
    """Filled with why a claim could not be measured, by its id."""

    def tell(self, said: str) -> None:
        if not self.quiet:
            say(said, error=True)

    def all_of(self, chosen: Sequence[Claim[Any]]) -> None:
        """Measure every piece that is not in; a claim that fails is told, and the others go on."""
        scale = str(self.held.facts["scale"])
        pieces = [(claim, piece) for claim in chosen for piece in claim.pieces(scale)]
        left = [(claim, piece) for claim, piece in pieces if self.held.piece(claim.id, piece.name) is None]
        if not left:
            return
        step = measured_seconds({name for _, piece in left for name in piece.steps})
        whole = duration(seconds_of([piece for _, piece in left], step, self.workers))
        self.tell(f"{plural(len(left), 'piece')} of {plural(len(chosen), 'claim')} to measure, about {whole} here")
        for place, (claim, piece) in enumerate(left, 1):
            if claim.id not in self.failed:
                expected = duration(seconds_of([piece], step, self.workers))
                self.tell(f"[{place}/{len(left)}] {claim.id}: {piece.says} (about {expected})")
                self._measure(claim.id, piece)

    def _measure(self, claim: str, piece: Piece) -> None:
        lab = Lab(
            scale=str(self.held.facts["scale"]),
            device=self.device,
            folder=self.held.of(claim),
            workers=self.workers,
            quiet=self.quiet,
            room=self.room,
        )
        begun = time.perf_counter()
        try:
            with one_thread():
                measured = plain(piece.measure(lab))
        except (Interrupted, StorageError):
            raise
        except Exception as error:  # a claim that cannot be measured is told as that, and costs no other
            self.failed[claim] = f"{piece.name} could not be measured: {_said(error)}"
            self.tell(f"{claim}: {self.failed[claim]}")
            return
        self.held.keep_piece(claim, piece.name, _kept(piece, measured, time.perf_counter() - begun))


def _kept(piece: Piece, measured: Any, taken: float) -> Mapping[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"piece": piece.says, "measured": measured, "seconds": taken, "finished": now}


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, LastbitError) else f"{type(error).__name__}: {error}"
