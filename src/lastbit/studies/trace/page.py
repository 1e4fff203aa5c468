"""The report of a trace: which sections, tables and figures, in which order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lastbit.report.blocks import Block, Card, Cards, Column, Facts, Page, Prose, Row, Section, Table, Tone
from lastbit.report.formatting import capitalised, interval, number, percent
from lastbit.store import StudyFolder
from lastbit.studies.frame.page import study_page
from lastbit.studies.trace import figures

__all__ = ["trace_page"]

Array = np.ndarray[Any, Any]

_KINDS: dict[str, tuple[Tone, str]] = {
    "stable": ("pass", "Stable"),
    "restrained": ("attention", "Restrained instability"),
    "diverged": ("failure", "Diverged"),
    "undecided": ("attention", "Undecided"),
    "not_reproducible": ("failure", "Not reproducible here"),
    "not_landed": ("failure", "The perturbation did not land"),
    "no_runs": ("attention", "Nothing finished"),
}


def trace_page(folder: StudyFolder, result: Mapping[str, Any]) -> Page:
    """Return the page of a trace; figures are those of the first member of a sweep, beside one of the whole sweep.

    Where the controls failed, no growth is shown: the page says why and where the repeat first differed.

    Args:
        folder: the study, for its arrays and events.
        result: what it concluded.

    Raises:
        KeyError: the result lacks something that every trace's result holds.
        LastbitError: the arrays are missing or damaged.
    """
    kind = str(result["verdict_kind"])
    if not result["members"]:
        sections = []
    elif kind in ("not_reproducible", "not_landed"):
        sections = [Section("Controls", [_controls(result)])]
    else:
        sections = _growth_sections(folder, result)
    return study_page(
        folder,
        result,
        title=f"Trace of {result['task']['name']}",
        subtitle=_subtitle(result),
        verdict=str(result["sentence"]),
        kinds=_KINDS,
        sections=[*sections, *_cost_section(result)],
    )


def _subtitle(result: Mapping[str, Any]) -> str:
    spec = result["spec"]["trace"]
    twins = f"{spec['twins']} twin{'s' if spec['twins'] != 1 else ''} ({spec['perturb']})"
    if not result["members"]:
        return f"{twins}, {result['task']['steps']:,} steps"
    start = f" from step {result['from_step']:,}" if result["from_step"] else ""
    parts = [twins, f"{result['reached']:,} steps{start}, {result['recorded_steps']:,} recorded", result["dtype"]]
    if result["lr"] is not None:
        parts.append(f"learning rate {result['lr']:g}")
    return ", ".join(parts)


def _growth_sections(folder: StudyFolder, result: Mapping[str, Any]) -> list[Section]:
    good = [m for m in result["members"] if m["verdict_kind"] not in ("not_reproducible", "not_landed")]
    arrays = {member["name"]: folder.arrays(member["name"]) for member in good}
    first = arrays[result["name"]]
    layer = result["spec"]["trace"].get("layer")
    several = len(result["members"]) > 1
    return [
        Section("The numbers", [Cards(_cards(result))]),
        Section("How to read this", [_how_to_read()]),
        Section("Controls", [_controls(result)], "Before any growth: does a repeat repeat, does the noise land?"),
        *([Section("The trainings of the sweep", [_sweep_table(result)])] if several else []),
        *figures.sweep_section(result, arrays),
        figures.difference_section(result, first),
        Section("Growth episodes", _episodes(result)),
        figures.map_section(result, first),
        *figures.origin_section(result, first),
        *figures.filter_section(result, first, layer),
        figures.effect_section(result, first),
        *_tangent(result),
        *_localisation(result),
        Section("Tensors", [_tensor_table(result)]),
    ]


def _cards(result: Mapping[str, Any]) -> list[Card]:
    low, high = result["growth_rate_interval"]
    rate = result["growth_rate_per_step"]
    fold = result["e_folding_steps"]
    count = result["perturbation"]["twins"]
    twins = f"n = {count} twin{'s' if count != 1 else ''}"
    level = result["saturation_level"]
    spread = result["saturation_range"]
    half = result["half_of_growth_in_share_of_steps"]
    return [
        Card(
            title="Growth rate",
            value=number(rate, 3) if rate is not None else "not measured",
            interval=interval(low, high, 2),
            samples=twins,
            measured=rate is not None,
            note="nats per step" + (f", an e-folding in {number(fold, 3)} steps" if fold else ": no growth"),
        ),
        Card(
            title="Rise",
            value=f"{number(result['decades'], 2)} decades",
            samples=twins,
            note="from the lowest to the highest difference",
            measured=result["decades"] is not None,
        ),
        Card(
            title="Level",
            value=percent(level) if level is not None else "none",
            interval=f"from {percent(spread[0])} to {percent(spread[1])}" if spread else "",
            samples=f"reached by step {result['saturation_step']:,}" if result["saturation_step"] is not None else "",
            note="of the weights, relative L2, median of the last third",
            measured=level is not None,
        ),
        Card(
            title="Half of all growth",
            value=f"in {percent(half)}" if half is not None else "not measured",
            interval="of the steps, the fastest",
            samples=twins,
            measured=half is not None,
            note="how localised in time: 50% would be even growth",
        ),
    ]


def _how_to_read() -> Prose:
    return Prose(
        (
            "Twins are the same training with another rounding of the last bit: the same weights at the start, the "
            "same samples in the same order. What lies between them is the last bit and what training made of it.",
            "Restrained: the difference grew exponentially, then stayed bounded while training went on. Stable: it "
            "stayed within what rounding adds up to. Diverged: it grew without bound.",
            "A tensor that is bright early in the map, or that took a large share of the growth, is where the last bit "
            "was amplified.",
        ),
        bullets=True,
    )


def _controls(result: Mapping[str, Any]) -> Facts:
    control, landing = result["control"], result["perturbation"]
    word = "passed" if control["bitwise_identical"] else "FAILED"
    rows = [("Exact repeat", f"{word}: largest difference {number(control['max_difference'], 2)}, in every measure")]
    where = control["first_difference"]
    if where is not None:
        return Facts([*rows, ("First differs at", f"step {where['step']:,}"), ("In", str(where["what"]))])
    rows.append(("Perturbation", f"landed in {percent(landing['landed_fraction'])} of the {landing['twins']} twin(s)"))
    rows.append(("Weights changed in the first step", percent(landing["first_step_share"])))
    rows.append(("Weights changed at the end", percent(landing["last_step_share"])))
    return Facts(rows)


def _episodes(result: Mapping[str, Any]) -> list[Block]:
    if not result["episodes"]:
        return [Prose(("The difference never rose above its noise.",))]
    columns = (
        Column("from step", True),
        Column("to step", True),
        Column("grew by a factor", True),
        Column("nats per step", True),
        Column("share of all growth", True),
    )
    rows = [
        Row(
            (
                f"{e['start']:,}",
                f"{e['end']:,}",
                _factor(e["rise"]),
                number(e["rate"], 3),
                percent(e["share"]),
            )
        )
        for e in result["episodes"]
    ]
    caption = (
        f"An episode rises by more than the noise, {number(result['episode_noise'], 2)} nats, and never falls by as "
        "much on the way; pure noise makes one with probability 5% at most."
    )
    blocks: list[Block] = [Table(columns, rows, caption=caption)]
    if result["jumps"]:
        blocks.append(_jumps(result))
    return blocks


def _jumps(result: Mapping[str, Any]) -> Table:
    """Return the largest jump of each twin, and how far along the network it reached."""
    columns = (
        Column("largest jump of"),
        Column("from step", True),
        Column("to step", True),
        Column("grew by a factor", True),
        Column("tensors", True),
        Column("the last of them"),
    )
    rows = [
        Row(
            (
                j["twin"],
                f"{j['start']:,}",
                f"{j['end']:,}",
                f"{j['factor']:,.0f}",
                str(len(j["tensors"])),
                j["last"] or "–",
            )
        )
        for j in result["jumps"]
    ]
    caption = (
        "A unit or pooling window that switches leaves the outputs nearly as they were but changes the gradients below "
        "it: such a jump reaches the tensors up to that layer and none beyond."
    )
    return Table(columns, rows, caption=caption)


def _factor(rise: float) -> str:
    """Return `exp(rise)`; the rise of a run that diverged may have no float."""
    decades = rise / math.log(10)
    return f"{10**decades:.3g}" if decades < 4 else f"10^{decades:.1f}"


def _tangent(result: Mapping[str, Any]) -> list[Section]:
    tangent = result["tangent"]
    if tangent is None:
        return []
    rows = [
        ("Finite-time growth rate", f"{number(tangent['rate'], 3)} nats per step over {tangent['steps']:,} steps"),
        ("In the second half", f"{number(tangent['rate_second_half'], 3)} nats per step"),
    ]
    small = tangent["while_small"]
    if small is not None:
        rows.append(
            (
                f"While twins were small (steps {small['start']:,} – {small['end']:,})",
                f"twins {number(small['twin_rate'], 3)}, tangent {number(small['tangent_rate'], 3)} nats per step",
            )
        )
    lead = "An infinitesimal difference carried along the base run by Hessian products: growth without a second run."
    return [Section("Tangent growth", [Facts(rows)], lead)]


def _localisation(result: Mapping[str, Any]) -> list[Section]:
    columns = (
        Column("over"),
        Column("carriers", True),
        Column("while growing", True),
        Column("at the end", True),
        Column("Gini while growing", True),
        Column("Gini at the end", True),
    )
    found = result["participation"]
    growing, end = found.get("while_growing", found["at_the_end"]), found["at_the_end"]
    names: list[tuple[str, tuple[str, ...]]] = [("all tensors", ("tensors",))]
    names += [(f"filters of {name}", ("filters", name)) for name in end["filters"]]
    names += [(f"elements of {name}", ("elements", name)) for name in end["elements"]]
    rows = []
    for label, path in names:
        one, two = growing, end
        for key in path:
            one, two = one[key], two[key]
        cells = [number(part[key], 3) for key in ("participation", "gini") for part in (one, two)]
        rows.append(Row((label, f"{one['carriers']:,}", *cells)))
    lead = (
        "The participation ratio says how many carriers effectively hold the difference; a Gini coefficient of 0 is an "
        f"even spread. While growing: step {growing['step']:,}; filters and elements at step {growing['probe_step']:,}."
    )
    return [Section("Over how much of the network it is spread", [Table(columns, rows, fold=14)], lead)]


def _tensor_table(result: Mapping[str, Any]) -> Table:
    columns = (
        Column("tensor"),
        Column("weights", True),
        Column("share of growth", True),
        Column("first differs", True),
        Column("relative L2", True),
        Column("mean relative L1", True),
        Column("largest ulp distance", True),
        Column("differing", True),
        Column("cosine", True),
    )
    rows = [
        Row(
            (
                row["tensor"],
                f"{row['size']:,}",
                f"{100 * row['growth_share']:.1f}%" if row["growth_share"] is not None else "–",
                f"{row['first_step']:,}" if row["first_step"] is not None else "never",
                number(row["relative_l2"], 3),
                number(row["mean_relative_l1"], 3),
                f"{row['max_ulp']:,}",
                percent(row["share_differing"]) if row["share_differing"] is not None else "–",
                number(row["cosine"], 2),
            )
        )
        for row in result["tensors"]
    ]
    return Table(
        columns, rows, caption="At the last step; means over the twins, the largest for ulp distances.", fold=30
    )


def _sweep_table(result: Mapping[str, Any]) -> Table:
    columns = (
        Column("training"),
        Column("steps", True),
        Column("verdict"),
        Column("decades", True),
        Column("growth per step", True),
        Column("relative L2 at the end", True),
    )
    rows = [
        Row(
            (
                m["name"],
                f"{m['reached']:,}",
                m["verdict"].replace("_", " "),
                number(m["decades"], 2),
                number(m["growth_rate_per_step"], 3),
                number((m["final"] or {}).get("relative_l2"), 3),
            )
        )
        for m in result["members"]
    ]
    return Table(columns, rows, caption="The figures below, but for the next, are those of the first.")


def _cost_section(result: Mapping[str, Any]) -> list[Section]:
    names = {
        "training": "training",
        "divergence": "measuring divergence",
        "sketches": "sketches",
        "probe": "churn and concentration",
        "tangent": "tangent",
        "all": "all",
    }
    cost = result.get("cost", {})
    rows = [(capitalised(names.get(name, name)), f"{seconds:.1f} s") for name, seconds in cost.items()]
    return [Section("Where the time went", [Facts(rows)])] if rows else []
