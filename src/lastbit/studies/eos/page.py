"""The page of an edge-of-stability study: which sections, tables and figures, in which order."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.core.status import RunStatus
from lastbit.report.blocks import Card, Cards, Facts, Page, Prose, Section, Tone
from lastbit.report.formatting import capitalised, count, decades, number, percent, plural, show, step
from lastbit.stats import Estimate
from lastbit.store import StudyFolder
from lastbit.studies.eos import figures
from lastbit.studies.eos.cell_result import EosCell
from lastbit.studies.eos.result import EosResult
from lastbit.studies.eos.tables import GROWTH_SHARE, end_table, growth_table, layer_table, stable_table, sweep_table
from lastbit.studies.eos.verdict import RATIO_DIGITS
from lastbit.studies.frame.page import study_page

__all__ = ["eos_page"]

_KINDS: dict[str, tuple[Tone, str]] = {
    "at_edge": ("attention", "At the edge of stability"),
    "below_edge": ("pass", "Below the edge"),
    "beyond_edge": ("failure", "Beyond the linear limit"),
    "diverged": ("failure", "Diverged"),
    "not_measured": ("attention", "Not fully measured"),
    "not_reproducible": ("failure", "Not reproducible here"),
    "no_runs": ("failure", "Nothing finished"),
}

_HOW_TO_READ = Prose(
    (
        "Sharpness is the largest eigenvalue of the loss's Hessian, in the coordinates that the optimizer sees. "
        "Above the limit, 2/η − α for gradient descent, the sharpest direction grows from step to step.",
        "At the edge the two meet: training sharpens until it oscillates, and the oscillation keeps it from "
        "sharpening further.",
        "Twins are the same training with another rounding of the last bit: where the ratio is above 1, their "
        "difference grows along the sharpest direction.",
    ),
    bullets=True,
)


def eos_page(folder: StudyFolder, result: EosResult) -> Page:
    """Return the page of an edge-of-stability study; the figures in detail are those of its first training.

    Args:
        folder: the study, for its arrays and events.
        result: what it concluded.

    Raises:
        LastbitError: the arrays are missing or damaged.
    """
    cells = result.cells
    sections: list[Section] = []
    if cells:
        first = cells[0]
        arrays = folder.arrays(first.name)
        sections = [
            Section(
                "The numbers", [Cards(_cards(first))], f"Of the first training: {first.label}." if first.label else ""
            ),
            Section("How to read this", [_HOW_TO_READ], half=True),
            Section("Controls", [_controls(cells)], "Before any growth: does a repeat repeat?", half=True, brief=True),
            Section("The trainings" if len(cells) > 1 else "The training", [sweep_table(cells)], brief=True),
            *figures.sweep_sections(cells, result.trends),
            figures.edge_section(first, arrays),
            *figures.spectrum_section(first, arrays),
            *figures.layer_section(first, arrays),
            *_growth(first),
            *_stable_tables(first, alone=len(cells) == 1),
            Section("How it ended" if len(cells) == 1 else "How each training ended", [end_table(cells)]),
        ]
    return study_page(
        folder,
        result,
        title=f"Edge of stability of {result.task['name']}",
        subtitle=_subtitle(result),
        kinds=_KINDS,
        sections=sections,
    )


def _subtitle(result: EosResult) -> str:
    task = result.task
    how = "full batch" if task["full_batch"] else f"batches of {count(task['batch_size'])}"
    said = [plural(result.runs_planned, "training"), plural(task["steps"], "step")]
    # The live monitor sees steps, not the data that they are taken on.
    return ", ".join([*said, how, plural(task["train_size"], "example")] if task["train_size"] else said)


def _cards(cell: EosCell) -> list[Card]:
    growth = cell.growth
    above = None if growth is None else growth.share_of_steps_above_limit
    risen = None if growth is None else growth.decades
    return [
        _estimate_card("Sharpness / limit", cell.ratio_tail, f"limit {number(cell.limit)}", "mean over the last third"),
        *_batch_card(cell),
        Card(
            title="Edge entered",
            value=step(cell.entered_at_step),
            note="the first measurement at the limit or above",
            measured=cell.entered_at_step is not None,
        ),
        _estimate_card(
            capitalised(GROWTH_SHARE),
            cell.growth_share_above_limit,
            "" if above is None else f"in {percent(above)} of the steps",
            "share of a last-bit difference's growth",
            percentage=True,
        ),
        Card(
            title="Rise of the last bit",
            value=f"{decades(risen)} decades",
            measured=risen is not None,
            interval=""
            if growth is None or risen is None
            else f"{decades(growth.decades_above_limit)} of them above the limit",
            note="from one step's rounding to the largest difference between twins",
        ),
    ]


def _estimate_card(title: str, estimate: Estimate, samples: str, note: str, *, percentage: bool = False) -> Card:
    shown = show(estimate, "%", 100) if percentage else show(estimate, digits=RATIO_DIGITS)
    return Card(
        title=title, value=shown.value, interval=shown.words, samples=samples, note=note, measured=shown.measured
    )


def _batch_card(cell: EosCell) -> list[Card]:
    batch = cell.batch_sharpness
    if batch is None:
        return []
    compared = batch.ratio_tail.measured
    title, found = ("Batch sharpness / limit", batch.ratio_tail) if compared else ("Batch sharpness", batch.tail)
    note = "along the mini-batches' own gradients, mean over the last third"
    return [_estimate_card(title, found, plural(found.n, "look"), note)]


def _controls(cells: Sequence[EosCell]) -> Facts:
    rows = [("Exact repeats", "none: no twins were trained")]
    held = [cell.control for cell in cells if cell.control is not None]
    if held:
        same = sum(control.pairs_identical for control in held)
        pairs = sum(control.pairs for control in held)
        word = "passed" if all(control.bitwise_identical for control in held) else "FAILED"
        rows = [("Exact repeats", f"{word}: {count(same)} of {count(pairs)} match bit for bit at every measured step")]
        landings = [cell.landing for cell in cells if cell.landing is not None]
        twins = sum(landing.twins for landing in landings)
        landed = twins - sum(len(landing.not_landed) for landing in landings)
        rows.append(("Perturbation", f"landed in {count(landed)} of {plural(twins, 'twin')}"))
    fractions = [cell.converged_fraction for cell in cells if cell.converged_fraction is not None]
    if fractions:
        rows.append(
            ("Eigenvalues certified by their residual", f"in {percent(min(fractions))} of the measurements, at worst")
        )
    rows += [
        (f"Training {cell.label}".strip(), f"{cell.status}: {cell.message}")
        for cell in cells
        if cell.status != RunStatus.OK
    ]
    rows.append(("Hessian products", count(sum(cell.products for cell in cells))))
    return Facts(rows)


def _growth(cell: EosCell) -> list[Section]:
    growth, verdict = cell.growth, cell.last_bit
    if growth is None or verdict is None:
        return []
    above = growth.share_of_steps_above_limit
    said = "" if above is None else f" The limit is exceeded in {percent(above)} of the steps."
    lead = f"The twins' difference is {verdict.verdict}: {verdict.reason}.{said}"
    return [Section("Where the last bit grew", [growth_table(growth)], lead)]


def _stable_tables(cell: EosCell, *, alone: bool) -> list[Section]:
    tables = cell.stable_learning_rates
    if not tables:
        return []
    last = tables[max(tables)]
    layers = layer_table([*last.layers, last.whole])
    lead = f"What the linear theory allows at {step(max(tables))}."
    return [
        Section("What each layer can bear", [layers], lead, brief=alone),
        Section("What the network could bear along the training", [stable_table(tables)]),
    ]
