"""The page of an edge-of-stability study: which sections, tables and figures, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lastbit.core.status import RunStatus
from lastbit.report.blocks import Card, Cards, Facts, Page, Prose, Section
from lastbit.report.formatting import (
    RATIO,
    RATIO_DIGITS,
    Shown,
    capitalised,
    count,
    decades,
    number,
    percent,
    plural,
    show,
    step,
)
from lastbit.store import StudyFolder
from lastbit.studies.eos import figures
from lastbit.studies.eos.cell_result import EosCell
from lastbit.studies.eos.result import EosResult
from lastbit.studies.eos.tables import GROWTH_SHARE, end_table, growth_table, layer_table, stable_table, sweep_table
from lastbit.studies.frame.page import Kinds, of_trainings, points_of_each, study_page

__all__ = ["eos_page"]

_KINDS: Kinds = {
    "at_edge": ("attention", "At the edge of stability"),
    "below_edge": ("pass", "Below the edge"),
    "beyond_edge": ("failure", "Beyond the linear limit"),
    "mixed": ("attention", "Mixed"),
    "diverging": ("failure", "Diverging"),
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
    """Return the page of an edge-of-stability study; what holds for the whole sweep first, then each training.

    Args:
        folder: the study, for its arrays and events.
        result: what it concluded.
    """
    return study_page(
        folder,
        result,
        title=f"Edge of stability of {result.task['name']}",
        subtitle=_subtitle(result),
        kinds=_KINDS,
        sections=list(_sections(folder, result)) if result.cells else [],
    )


def _sections(folder: StudyFolder, result: EosResult) -> Iterator[Section]:
    cells, alone = result.cells, len(result.cells) == 1
    each = [(cell.label or cell.name, list(_cell_sections(folder, cell, len(cells)))) for cell in cells]
    if alone:
        yield each[0][1].pop(0)
    yield Section("How to read this", [_HOW_TO_READ], half=True)
    yield Section("Controls", [_controls(cells)], "Before any growth: does a repeat repeat?", half=True, brief=True)
    yield Section("The training" if alone else "The trainings", [sweep_table(cells)], brief=True)
    if not alone:
        yield figures.sweep_section(cells)
    if result.trends:
        yield figures.size_section(cells, result.trends)
    if not alone:
        yield Section("How each training ended", [end_table(cells)])
    yield from each[0][1] if alone else of_trainings(each)
    if alone:
        yield Section("How it ended", [end_table(cells)])


def _cell_sections(folder: StudyFolder, cell: EosCell, trainings: int) -> Iterator[Section]:
    """Return what one training shows, its numbers first."""
    arrays = {} if folder.why_unreadable(cell.name) else folder.arrays(cell.name)
    yield Section("The numbers", [Cards(list(_cards(cell)))])
    if arrays:
        yield figures.edge_section(cell, arrays, points_of_each(trainings, figures.POINTS))
    if "spectrum_step" in arrays:
        yield figures.spectrum_section(cell, arrays)
    if "layer" in arrays:
        yield figures.layer_section(arrays)
    if cell.growth is not None and cell.last_bit is not None:
        above = cell.growth.share_of_steps_above_limit
        said = "" if above is None else f" The limit is exceeded in {percent(above)} of the steps."
        lead = f"The twins' difference is {cell.last_bit.verdict}: {cell.last_bit.reason}.{said}"
        yield Section("Where the last bit grew", [growth_table(cell.growth)], lead)
    if tables := cell.stable_learning_rates:
        last = tables[max(tables)]
        lead = f"What the linear theory allows at {step(max(tables))}."
        yield Section("What each layer can bear", [layer_table([*last.layers, last.whole])], lead, brief=trainings == 1)
        yield Section("What the network could bear along the training", [stable_table(tables)])


def _subtitle(result: EosResult) -> str:
    task = result.task
    how = "full batch" if task["full_batch"] else f"batches of {count(task['batch_size'])}"
    said = [plural(result.runs_planned, "training"), plural(task["steps"], "step")]
    # The live monitor sees steps, not the data that they are taken on.
    return ", ".join([*said, how, plural(task["train_size"], "example")] if task["train_size"] else said)


def _cards(cell: EosCell) -> Iterator[Card]:
    ratio = show(cell.ratio_tail, digits=RATIO_DIGITS)
    yield _card(capitalised(RATIO), ratio, f"limit on the sharpness {number(cell.limit)}", "mean over the last third")
    if batch := cell.batch_sharpness:
        compared = batch.ratio_tail.measured
        title, found = ("Batch sharpness / limit", batch.ratio_tail) if compared else ("Batch sharpness", batch.tail)
        note = "along the mini-batches' own gradients, mean over the last third"
        yield _card(title, show(found, digits=RATIO_DIGITS), plural(found.n, "look"), note)
    yield Card(
        title="Edge entered",
        value=step(cell.entered_at_step),
        note="the first measurement at the limit or above",
        measured=cell.entered_at_step is not None,
    )
    growth = cell.growth
    above, risen = (None, None) if growth is None else (growth.share_of_steps_above_limit, growth.decades)
    steps = "" if above is None else f"in {percent(above)} of the steps"
    share = show(cell.growth_share_above_limit, "%")
    yield _card(capitalised(GROWTH_SHARE), share, steps, "share of a last-bit difference's growth")
    yield Card(
        title="Rise of the last bit",
        value=f"{decades(risen)} decades",
        measured=risen is not None,
        interval=f"{decades(growth.decades_above_limit)} of them above the limit"
        if growth and risen is not None
        else "",
        note="from one step's rounding to the largest difference between twins",
    )


def _card(title: str, shown: Shown, samples: str, note: str) -> Card:
    return Card(
        title=title, value=shown.value, interval=shown.words, samples=samples, note=note, measured=shown.measured
    )


def _controls(cells: Sequence[EosCell]) -> Facts:
    rows = [("Exact repeats", "none: no twins were trained")]
    if held := [cell.control for cell in cells if cell.control is not None]:
        same = sum(control.pairs_identical for control in held)
        pairs = sum(control.pairs for control in held)
        word = "passed" if all(control.bitwise_identical for control in held) else "FAILED"
        rows = [("Exact repeats", f"{word}: {count(same)} of {count(pairs)} match bit for bit at every measured step")]
        landings = [cell.landing for cell in cells if cell.landing is not None]
        twins = sum(landing.twins for landing in landings)
        landed = twins - sum(len(landing.not_landed) for landing in landings)
        rows.append(("Perturbation", f"landed in {count(landed)} of {plural(twins, 'twin')}"))
    if fractions := [cell.converged_fraction for cell in cells if cell.converged_fraction is not None]:
        of = "the training where fewest were" if len(fractions) > 1 else "the training"
        said = f"in {percent(min(fractions))} of the measurements of {of}"
        rows.append(("Eigenvalues certified by their residual", said))
    failed = [cell for cell in cells if cell.status != RunStatus.OK]
    rows += [(f"Training {cell.label}".strip(), f"{cell.status}: {cell.message}") for cell in failed]
    rows.append(("Hessian products", count(sum(cell.products for cell in cells))))
    return Facts(rows)
