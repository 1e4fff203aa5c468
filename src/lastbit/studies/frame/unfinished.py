"""What a study says of itself while some of its runs are not in: being trained, stopped or killed."""

from __future__ import annotations

from typing import Any

from lastbit.store import StudyFolder

__all__ = ["with_progress"]


def with_progress(
    folder: StudyFolder, said: tuple[str, str, str], done: int, planned: int, what: str = "runs"
) -> dict[str, Any]:
    """Return `verdict`, `verdict_kind`, `advice` and `finished` of a study.

    Where runs are missing, the verdict begins with how many are in, and the advice ends with how to go on. A study that
    ended early because a repeat did not match is finished.

    Args:
        folder: the study.
        said: verdict, kind and advice of the runs that are in.
        done: the number of them.
        planned: the number of runs that were asked for.
        what: what is counted.
    """
    verdict, kind, advice = said
    if done >= planned or kind == "not_reproducible":
        return {"verdict": verdict, "verdict_kind": kind, "advice": advice, "finished": True}
    verdict = f"unfinished: {done} of {planned} {what} finished. {verdict[:1].upper()}{verdict[1:]}"
    # A live monitor's study is the user's own loop, which lastbit cannot go on with.
    monitor = folder.facts["spec"].get("monitor")
    hint = "" if monitor else f"If it was stopped, lastbit {folder.facts['kind']} --resume {folder.path} continues it."
    advice = " ".join(part for part in ("" if kind == "no_runs" else advice, hint) if part)
    return {"verdict": verdict, "verdict_kind": kind, "advice": advice, "finished": False}
