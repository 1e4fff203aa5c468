"""What an audit concludes: controls first, then estimates with intervals, then one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lastbit.core.status import Role, RunStatus
from lastbit.store import StudyFolder
from lastbit.studies.audit.controls import (
    Divergence,
    compare_repeats,
    compare_twins,
    divergence_of,
    reason_for_silence,
)
from lastbit.studies.audit.metrics import Printed, metrics_of, printed_of
from lastbit.studies.audit.sketched import Recorded, recorded
from lastbit.studies.audit.spreads import Spreads, estimate_spreads, no_spreads, noting_the_step
from lastbit.studies.audit.verdict import Asked, verdict
from lastbit.studies.frame.control import Control, Landing
from lastbit.studies.frame.result import Result, RunRow, head, run_row

__all__ = ["AuditResult", "conclude"]


@dataclass(frozen=True, kw_only=True)
class AuditResult(Spreads, Result):
    """What an audit concluded.

    Attributes:
        control: whether the exact repeats matched.
        perturbation: whether the last bit was changed in the perturbed runs.
        runs: how each run ended.
        divergence: how many of them diverged; None where an earlier version concluded the study.
        optimizers: how each optimizer of a function or command was perturbed, or why not, by its class.
        recorded: what was recorded of the weights of a command's runs; None of any other.
        printed: how a command shows the metric, where that hides small changes of it; None where it hides nothing.
    """

    control: Control
    perturbation: Landing
    runs: tuple[RunRow, ...]
    divergence: Divergence | None = None
    optimizers: Mapping[str, str] = field(default_factory=dict)
    recorded: Recorded | None = None
    printed: Printed | None = None


def conclude(folder: StudyFolder) -> AuditResult:
    """Return what the runs of an audit that are in say.

    Spreads are estimated from the runs with status `ok` whose perturbation landed, and only where every repeat matched
    bit for bit: otherwise they are `not measured`, with the reason. A run without a finite metric is left out, and the
    result says so.
    """
    facts, records = folder.facts, folder.runs()
    control, landing = compare_repeats(folder, records), compare_twins(folder, records)
    trained = [r for r in records if r.role != Role.REPEAT and r.status == RunStatus.OK]
    used = [r for r in trained if r.run not in landing.not_landed]
    divergence = divergence_of(records)
    metric = metrics_of(facts)[0]
    reason = reason_for_silence(control, landing, records, metric["name"])
    spreads = no_spreads(metric, reason, len(used)) if reason else estimate_spreads(folder, used)
    printed = printed_of(facts)
    spreads = noting_the_step(spreads, printed)
    grid = facts["spec"]["settings"]
    planned = grid["seeds"] * (grid["perturbations"] + 1)
    asked = Asked(
        seeds=grid["seeds"],
        perturbations=grid["perturbations"],
        finished=len(records) >= planned,
        own=any(cell.get("epochs") is None for cell in facts.get("cells", ())),
    )
    said = verdict(control, landing, spreads, divergence, asked, printed)
    return AuditResult(
        **head(folder, said, len(records), planned),
        **vars(spreads),
        control=control,
        perturbation=landing,
        runs=tuple(run_row(record) for record in records),
        divergence=divergence,
        printed=printed,
        recorded=recorded(folder, records) if "command" in facts["spec"] else None,
        optimizers={name: how for cell in facts.get("cells", ()) for name, how in cell.get("perturbed", {}).items()},
    )
