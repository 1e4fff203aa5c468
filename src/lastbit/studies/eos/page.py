"""The report of an edge-of-stability study: which sections, tables and figures, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lastbit.report.blocks import Card, Cards, Column, Facts, Page, Prose, Row, Section, Table, Tone
from lastbit.report.formatting import bound, decay_words, number, percent, show
from lastbit.store import StudyFolder
from lastbit.studies.eos import figures
from lastbit.studies.eos.tables import layer_table, span, sweep_table
from lastbit.studies.frame.page import study_page

__all__ = ["eos_page", "sharpness_page"]

_KINDS: dict[str, tuple[Tone, str]] = {
    "at_edge": ("attention", "At the edge of stability"),
    "below_edge": ("pass", "Below the edge"),
    "beyond_edge": ("failure", "Beyond the linear limit"),
    "diverged": ("failure", "Diverged"),
    "not_measured": ("attention", "Not fully measured"),
    "not_reproducible": ("failure", "Not reproducible here"),
    "no_runs": ("failure", "Nothing finished"),
    "stable": ("pass", "Within the stable step"),
    "past_limit": ("attention", "Past the stable step"),
}


def eos_page(folder: StudyFolder, result: Mapping[str, Any]) -> Page:
    """Return the page of an edge-of-stability study; the figures in detail are those of its first training.

    Args:
        folder: the study, for its arrays and events.
        result: what it concluded.

    Raises:
        KeyError: the result lacks something that every such result holds.
        LastbitError: the arrays are missing or damaged.
    """
    cells = result["cells"]
    sections: list[Section] = []
    if cells:
        arrays = {cell["name"]: folder.arrays(cell["name"]) for cell in cells}
        first = cells[0]
        sections = [
            Section(
                "The numbers",
                [Cards(_cards(first))],
                f"Of the first training: {first['label']}." * bool(first["label"]),
            ),
            Section("How to read this", [_how_to_read()], half=True),
            Section("Controls", [_controls(cells)], "Before any growth: does a repeat repeat?", half=True),
            *figures.sweep_sections(cells, result["trends"]),
            *([Section("The trainings of the sweep", [sweep_table(cells)])] if len(cells) > 1 else []),
            figures.edge_section(first, arrays[first["name"]]),
            *figures.spectrum_section(first, arrays[first["name"]]),
            *figures.layer_section(first, arrays[first["name"]]),
            *_growth(first),
            *_stable_tables(first),
        ]
    return study_page(
        folder,
        result,
        title=f"Edge of stability of {result['task']['name']}",
        subtitle=_subtitle(result),
        verdict=str(result["verdict"]),
        kinds=_KINDS,
        sections=sections,
    )


def sharpness_page(folder: StudyFolder, result: Mapping[str, Any]) -> Page:
    """Return the page of one measurement: what each layer can bear, and the spectrum.

    Raises:
        KeyError: the result lacks something that every such result holds.
        LastbitError: the arrays are missing or damaged.
    """
    whole = result["whole"]
    cards = [
        Card(title="Sharpness", value=number(whole["sharpness"]), note="largest eigenvalue, as the optimizer sees it"),
        Card(title="Limit", value=number(whole["limit"]), note=f"of {result['optimizer']} now"),
        Card(title="Ratio", value=number(whole["ratio"], 3), note="above 1 the sharpest direction grows"),
        Card(
            title="Stable learning rate",
            value=bound(whole["max_lr"], missing="differs by group"),
            note=f"in use: {number(whole['lr'])}",
        ),
    ]
    sections = [
        Section("The numbers", [Cards(cards)]),
        Section("What each layer can bear", [layer_table([*result["per_layer"], whole])]),
        *figures.single_spectrum(result, folder.arrays("measurement")),
    ]
    return study_page(
        folder,
        result,
        title=f"Sharpness of {result['task']['name']}",
        subtitle=f"measured on {result['examples']:,} examples after {result['after']:,} steps, {result['dtype']}",
        verdict=str(result["verdict"]),
        kinds=_KINDS,
        sections=sections,
    )


def _subtitle(result: Mapping[str, Any]) -> str:
    task, count = result["task"], result["cells_planned"]
    how = "full batch" if task["full_batch"] else f"batches of {task['batch_size']:,}"
    said = [f"{count} training{'s' if count != 1 else ''}", f"{task['steps']:,} steps"]
    # The live monitor sees steps, not the data that they are taken on.
    return ", ".join([*said, f"{how}, {task['train_size']:,} examples"] if task["train_size"] else said)


def _cards(cell: Mapping[str, Any]) -> list[Card]:
    ratio, share = show(cell["ratio_tail"]), show(cell["growth_share_above_limit"], "%", 100)
    entered, growth = cell["entered_at_step"], cell["growth"]
    above = (
        ""
        if growth is None or growth["share_of_steps_above_limit"] is None
        else (f"in {percent(growth['share_of_steps_above_limit'])} of the steps")
    )
    decades = None if growth is None else growth["decades"]
    return [
        Card(
            title="Sharpness / limit",
            value=number(cell["ratio_tail"]["estimate"], 4) if ratio.measured else ratio.value,
            interval=f"95% interval {span(cell['ratio_tail'])}" if ratio.interval else "interval not measured",
            samples=f"limit {number(cell['limit'])}",
            note="mean over the last third",
            measured=ratio.measured,
        ),
        *_batch_card(cell),
        Card(
            title="Edge entered",
            value=f"step {entered:,}" if entered is not None else "never",
            note="the first measurement at the limit or above",
            measured=entered is not None,
        ),
        Card(
            title="Growth above the limit",
            value=share.value,
            samples=above,
            measured=share.measured,
            interval=f"95% interval {share.interval}" if share.interval else "interval not measured",
            note="share of a last-bit difference's growth",
        ),
        Card(
            title="Rise of the last bit",
            value=f"{number(decades, 2)} decades",
            measured=decades is not None,
            interval="" if decades is None else f"{number(growth['decades_above_limit'], 2)} of them above the limit",
            note="from one step's rounding to the largest difference between twins",
        ),
    ]


def _batch_card(cell: Mapping[str, Any]) -> list[Card]:
    batch = cell["batch_sharpness"]
    if batch is None:
        return []
    compared = batch["ratio_tail"]["estimate"] is not None
    found = batch["ratio_tail" if compared else "tail"]
    return [
        Card(
            title="Batch sharpness / limit" if compared else "Batch sharpness",
            value=number(found["estimate"], 4),
            interval=f"95% interval {span(found)}" if found["low"] is not None else "interval not measured",
            samples=f"{found['n']} looks",
            note="along the mini-batches' own gradients, mean over the last third",
        )
    ]


def _how_to_read() -> Prose:
    return Prose(
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


def _controls(cells: Sequence[Mapping[str, Any]]) -> Facts:
    rows = []
    held = [cell["control"] for cell in cells if cell["control"] is not None]
    if held:
        same = sum(control["bitwise_identical"] for control in held)
        word = "passed" if same == len(held) else "FAILED"
        rows.append(("Exact repeats", f"{word}: {same} of {len(held)} match bit for bit at every measurement"))
        landed, twins = (sum(control[name] for control in held) for name in ("twins_landed", "twins"))
        rows.append(("Perturbation", f"landed in {landed} of {twins} twins"))
    else:
        rows.append(("Exact repeats", "none: no twins were trained"))
    fractions = [cell["converged_fraction"] for cell in cells if cell["converged_fraction"] is not None]
    if fractions:
        rows.append(("Eigenvalues certified", f"in {percent(min(fractions))} of the measurements, at worst"))
    rows.append(("Hessian products", f"{sum(cell['products'] for cell in cells):,}"))
    return Facts(rows)


def _growth(cell: Mapping[str, Any]) -> list[Section]:
    growth = cell["growth"]
    if growth is None:
        return []
    rows = []
    for title, name, unit, scale in (
        ("share of all growth where the limit is exceeded", "share_above_limit", "%", 100.0),
        ("mean growth per step there", "rate_above_limit", "nats", 1.0),
        ("mean growth per step elsewhere", "rate_below_limit", "nats", 1.0),
    ):
        shown = show(growth[name], "%" if unit == "%" else unit, scale)
        rows.append(Row((title, shown.value, shown.interval, shown.n, shown.note)))
    columns = (
        Column("quantity"),
        Column("estimate", True),
        Column("95% interval", True),
        Column("n", True),
        Column("note", quiet=True),
    )
    steps = growth["share_of_steps_above_limit"]
    said = "" if steps is None else f" The limit is exceeded in {percent(steps)} of the steps."
    verdict = cell["last_bit"]
    lead = f"The twins' difference is {verdict['verdict']}: {verdict['reason']}.{said}"
    return [Section("Where the last bit grew", [Table(columns, rows)], lead)]


def _stable_tables(cell: Mapping[str, Any]) -> list[Section]:
    stable = sorted(cell["stable_learning_rates"].items(), key=lambda item: int(item[0]))
    if not stable:
        return []
    columns = (
        Column("step", True),
        Column("sharpness", True),
        Column("limit", True),
        Column("stable learning rate", True),
        Column("stable weight decay"),
    )
    rows = [
        Row(
            (
                f"{int(step):,}",
                number(found["whole"]["sharpness"]),
                number(found["whole"]["limit"]),
                bound(found["whole"]["max_lr"], missing="differs by group"),
                decay_words(found["whole"]["decay_interval"]),
            )
        )
        for step, found in stable
    ]
    layers = layer_table([*stable[-1][1]["layers"], stable[-1][1]["whole"]])
    lead = "What the linear theory allows, first for the whole network along the training, then by layer at its end."
    return [Section("Stable learning rates", [Table(columns, rows), layers], lead)]
