"""The session of a gate: where its ledger lies, what all who join it agree on, and what more candidates would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.report.formatting import count, percent, plural
from lastbit.stats.gate_session import GateRules, promised_share
from lastbit.store import Ledger, LedgerStatus, Terms
from lastbit.store.ledger_tables import LEDGER
from lastbit.studies.gate.contender import Contender
from lastbit.studies.gate.settings import GateSettings

__all__ = [
    "CANDIDATES",
    "default_folder",
    "joined",
    "promised",
    "rules_of",
    "session_full",
    "stored_session",
    "the_only_session",
]

CANDIDATES = 100
"""Declared where nobody said how many."""

_PLACE = "lastbit-studies"


def default_folder(audit: Path | None, name: str) -> Path:
    """Return where the ledger lies where nobody said: beside the audit, or by the name of the program.

    Args:
        audit: that the baseline is; None of a program.
        name: of its program.
    """
    if audit is not None:
        whole = audit.resolve()
        beside = whole if audit.name in ("", "..") else audit
        return beside.with_name(f"{whole.name}-gate")
    return Path(_PLACE) / ("gate-" + "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:50])


def the_only_session() -> Path:
    """Return the one session that lies where sessions lie by default.

    Raises:
        LastbitError: there is none, or several.
    """
    found = sorted(path.parent for path in Path(_PLACE).glob(f"*/{LEDGER}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise LastbitError(f"there is no session in {_PLACE}: name its folder with --ledger")
    raise LastbitError(f"{' and '.join(map(str, found))} are sessions: name one with --ledger")


def stored_session(folder: Path) -> LedgerStatus | None:
    """Return what stands in the ledger of a folder; None where no session was begun there."""
    if not (folder / LEDGER).exists():
        return None
    try:
        return Ledger.read(folder)
    except LastbitError:
        # Another process may be making it: joining it waits for that, and says what is wrong with it.
        return None


def joined(folder: Path, baseline: Contender, settings: GateSettings, threads: int) -> Ledger:
    """Join the session of a folder, or begin one, and declare what was asked for.

    Args:
        folder: of the session.
        baseline: the first one.
        settings: of the session.
        threads: of each run.

    Raises:
        LastbitError: it is the session of another baseline or of other settings, or more candidates are asked for than
            were declared.
    """
    rules = GateRules()
    least = rules.looks[0] + rules.baseline_sizes[0]
    if settings.budget is not None and settings.budget < least:
        raise LastbitError(
            f"--budget {settings.budget}: the first look at a candidate takes {plural(least, 'run')}, "
            f"{rules.baseline_sizes[0]} of them the baseline's: give more, or leave it out"
        )
    known = stored_session(folder)
    terms = _terms(baseline, settings, threads)
    if known is not None and (known.fingerprint, known.error_rate) == (terms.fingerprint, terms.error_rate):
        _check_settings(folder, known.facts, plain(terms.facts))
    if known is not None and known.label == terms.label and known.fingerprint != terms.fingerprint:
        raise LastbitError(
            f"the baseline {terms.label!r} is not what it was when the session in {folder} began, its files differ: "
            "put them back, or begin a new session with --ledger; a candidate belongs into a file of its own"
        )
    ledger = Ledger.open(folder, terms=terms, candidates=settings.declare or settings.candidates or CANDIDATES)
    try:
        _declare(ledger, settings)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _check_settings(folder: Path, began: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse settings of the runs that are not the session's, by the words in which they are given.

    Raises:
        LastbitError: one is.
    """
    for name in sorted({*began, *given}):
        ours, theirs = (_as_given(name, facts.get(name)) for facts in (began, given))
        if ours != theirs:
            raise LastbitError(
                f"the session in {folder} began with {ours}, not {theirs}: begin a new one with --ledger"
            )


def _as_given(name: str, value: Any) -> str:
    """Return a setting as it is typed."""
    if name == "higher_is_better":
        return f"--better {'higher' if value else 'lower'}"
    flag = f"--{name.replace('_', '-')}"
    return f"no {flag}" if value in (None, "", [], ()) else f"{flag} {value}"


def _declare(ledger: Ledger, settings: GateSettings) -> None:
    status = ledger.status()
    asked = settings.declare
    if asked is not None and asked > status.declared:
        ledger.declare(asked)
    elif asked is not None and asked < status.declared:
        raise LastbitError(
            f"--declare {asked}: {count(status.declared)} are declared already: give more, or leave it out"
        )
    elif asked is None and settings.candidates is not None and settings.candidates > status.declared:
        raise LastbitError(
            f"--candidates {settings.candidates}: the session in {ledger.folder} declared {count(status.declared)}; "
            f"{cost_of(status, settings.candidates)}"
        )


def cost_of(status: LedgerStatus, declared: int) -> str:
    """Return what it costs to go on with more candidates, and how."""
    now, then = promised(status), promised(status, declared)
    return (
        f"to go on with {count(declared)}, give --declare {declared}: then {percent(then)} of keeps may be false in "
        f"expectation, in place of {percent(now)}"
    )


def promised(status: LedgerStatus, declared: int | None = None) -> float:
    """Return the largest expected share of false keeps, as declared, or with so many declared from now on."""
    claimed = [one.declared for one in status.candidates if one.counted]
    most = declared or status.declared
    return promised_share(status.error_rate, claimed, left=max(most - len(claimed), 0), declared=most)


def session_full(folder: Path, status: LedgerStatus) -> LastbitError:
    """Return what is said where all that were declared are claimed."""
    more = status.declared + max(status.declared // 2, 1)
    return LastbitError(
        f"all {plural(status.declared, 'candidate')} that the session in {folder} declared were compared: "
        f"{cost_of(status, more)}; or begin a new session with --ledger, from the baseline of today"
    )


def rules_of(status: LedgerStatus, declared: int) -> GateRules:
    """Return the rules for a candidate that was claimed when so many were declared."""
    return GateRules(error_rate=status.error_rate, candidates=declared)


def _terms(baseline: Contender, settings: GateSettings, threads: int) -> Terms:
    rules = {n: v for n, v in asdict(GateRules()).items() if n not in ("error_rate", "candidates")}
    chosen, source = baseline.plan.settings, baseline.plan.program.source
    options: dict[str, Any] = dict(getattr(source, "options", {}))
    for name in ("timeout", "better", "metric"):
        options.pop(name, None)
    facts = {
        **rules,
        **options,
        **asdict(baseline.measure),
        "vary": chosen.vary,
        "dtype": chosen.dtype,
        "device": str(baseline.plan.device),
        "threads": threads,
        "budget": settings.budget,
    }
    return Terms(fingerprint=baseline.key, label=baseline.text, error_rate=settings.error_rate, facts=facts)
