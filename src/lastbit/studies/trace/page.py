"""What a trace says: the verdict, its numbers and controls, where it grew, and the figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from lastbit.dynamics.episodes import Episode
from lastbit.report.blocks import (
    Block,
    Card,
    Cards,
    Column,
    Columns,
    Facts,
    Page,
    Prose,
    Raw,
    Section,
    Sheet,
    Table,
    sheet_of,
    table_of,
)
from lastbit.report.formatting import (
    MISSING,
    capitalised,
    count,
    decades,
    distance,
    factor,
    growth_rate,
    interval,
    number,
    percent,
    plural,
    seconds,
    step,
)
from lastbit.store import StudyFolder
from lastbit.studies.frame.page import Kinds, of_trainings, points_of_each, runs_sheet, study_page
from lastbit.studies.frame.result import RunRow
from lastbit.studies.trace import figures
from lastbit.studies.trace.growth import Jump
from lastbit.studies.trace.horizon_page import horizon_section
from lastbit.studies.trace.kick_page import kick_section, mechanism_section
from lastbit.studies.trace.result import TraceMember, TraceResult, members_found
from lastbit.studies.trace.tensor_page import localisation, most_amplifying, tensor_table
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["trace_page"]

_KINDS: Kinds = {
    "stable": ("pass", "Stable"),
    "restrained": ("attention", "Restrained instability"),
    "decays": ("pass", "Decays"),
    "mixed": ("attention", "Mixed"),
    "diverging": ("failure", "Diverging"),
    "diverged": ("failure", "Diverged"),
    "undecided": ("attention", "Undecided"),
    "not_reproducible": ("failure", "Not reproducible here"),
    "not_landed": ("failure", "The perturbation did not land"),
    "no_runs": ("attention", "Nothing finished"),
}

_HOW_TO_READ = Prose(
    (
        "Twins are the same training with the last bit rounded differently: the same weights at the start, the same "
        "samples in the same order. What separates them is the last bit and what training has made of it.",
        "Restrained: the difference grew exponentially, then stayed bounded while training went on. Stable: it stayed "
        "within what accumulated rounding explains. Diverged: it grew without bound.",
        "A tensor that is bright early in the map, or that took a large share of the growth, is where the last bit was "
        "amplified.",
    ),
    bullets=True,
)

_EPISODES, _JUMPS = 6, 3
"""How many the short form of the page shows."""


def trace_page(folder: StudyFolder, result: TraceResult) -> Page:
    """Return the page of a trace: what holds for the whole sweep first, then each of its trainings.

    Where the controls failed, no growth is shown: the page says why and where the repeat first differed.

    Args:
        folder: the study, for its arrays and events.
        result: what it concluded.
    """
    return study_page(
        folder,
        result,
        title=f"Trace of {result.task['name']}",
        subtitle=_subtitle(result),
        kinds=_KINDS,
        sections=_sections(folder, result),
    )


def _subtitle(result: TraceResult) -> str:
    spec = result.spec["settings"]
    twins = f"{plural(spec['twins'], 'twin')} ({spec['perturb']})"
    if not result.members:
        return f"{twins}, {plural(result.task['steps'], 'step')}" if "steps" in result.task else twins
    start = f" from {step(result.from_step)}" if result.from_step else ""
    recorded = f"{plural(result.reached, 'step')}{start}, {count(result.recorded_steps)} recorded"
    rate = [f"learning rate {number(result.lr, 6)}"] if result.lr is not None else []
    of = [] if len(result.members) > 1 else [result.optimizer]
    return ", ".join(part for part in [twins, recorded, result.dtype, *of, *rate] if part)


def _sections(folder: StudyFolder, result: TraceResult) -> list[Section]:
    spoken = [member.name for member in result.members if not member.silent]
    arrays = _arrays(folder, result, spoken)
    layer, points = result.spec["settings"].get("layer"), points_of_each(len(spoken), figures.POINTS)
    how = [Section("How to read this", [_HOW_TO_READ])] if spoken else []
    each = []
    for member in result.members:
        found: list[Section] = [_controls(member)]
        if not member.silent:
            found = _growth_sections(member, arrays.get(member.name), layer, points)
        each.append((member.name, [*found, *_cost(member)]))
    if not each:
        return []
    if len(each) == 1:
        first, *rest = each[0][1]
        return [first, *how, *rest, *_results(result)]
    return [*how, *_sweep(result), *figures.sweep_section(result, arrays), *of_trainings(each), *_results(result)]


def _results(result: TraceResult) -> list[Section]:
    """Return the metrics of separate runs, where any were asked for."""
    names = sorted({name for run in result.runs for name in run.metrics})
    if not result.separate or not names:
        return []
    columns: dict[Column, Callable[[RunRow], str]] = {
        Column("run"): lambda run: run.run,
        Column("perturbation"): lambda run: run.label,
        Column("status"): lambda run: run.status,
    }
    for name in names:
        columns[Column(name, True)] = partial(_metric, name)
    table = replace(table_of(result.runs, columns), sheet=runs_sheet(result.runs))
    return [Section("What each run measured", [table], brief=True)]


def _arrays(folder: StudyFolder, result: TraceResult, names: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of trainings, of those that can be read."""
    if result.separate:
        return {found.name: arrays for found, arrays in members_found(folder) if found.name in names}
    return {name: folder.arrays(name) for name in names if not folder.why_unreadable(name)}


def _metric(name: str, run: RunRow) -> str:
    return number(run.metrics.get(name), 6)


def _growth_sections(
    found: TwinsFound, arrays: Mapping[str, np.ndarray] | None, layer: str | None, points: int
) -> list[Section]:
    """Return what one set of twins shows, without its figures where its arrays cannot be read."""
    everything = _episode_table(found.episodes, "In the order of the steps.")
    numbers = Section("The numbers", [Cards(_cards(found)), *_origin(found)], brief=True)
    controls = _controls(found, "Before any growth: does a repeat match, and does the perturbation land?")
    episodes = Section("Growth episodes", [*_episodes(found), *_jumps(found)], brief=True)
    drawn = [] if arrays is None else [figures.difference_section(found, arrays, points)]
    maps = []
    if arrays is not None:
        maps = [
            figures.map_section(found, arrays, points),
            *figures.origin_section(found, arrays),
        ]
    if arrays is not None and not found.separate:
        maps += [*figures.filter_section(found, arrays, layer, points), figures.effect_section(found, arrays, points)]
    return [
        numbers,
        controls,
        *drawn,
        episodes,
        *most_amplifying(found),
        *maps,
        *horizon_section(found),
        *mechanism_section(found),
        *([] if arrays is None else kick_section(found, arrays, points)),
        *_tangent(found),
        *localisation(found),
        *_not_measured(found),
        Section("Tensors", [tensor_table(found)]),
        *([Section("All growth episodes", [everything])] if len(found.episodes) > _EPISODES else []),
    ]


def _cards(found: TwinsFound) -> list[Card]:
    rate, fold = found.growth_rate_per_step, found.e_folding_steps
    folding = f", an e-folding in {plural(number(fold, 3), 'step')}" if fold else ": no growth"
    level, spread, half = found.saturation_level, found.saturation_range, found.half_of_growth_in_share_of_steps
    twins = f"n = {plural(found.perturbation.twins, 'twin')}" if found.perturbation else ""

    def card(title: str, found: float | None, value: str, note: str, ends: str = "", samples: str = twins) -> Card:
        measured = found is not None
        return Card(title=title, value=value, interval=ends, samples=samples, note=note, measured=measured)

    ends = interval(*(found.growth_rate_interval or (None, None)), digits=3)
    speed = f"nats per step{folding}" if rate is not None else ""
    span = f"from {distance(spread[0])} to {distance(spread[1])}" if spread else ""
    reached = f"reached by {step(found.saturation_step)}" if found.saturation_step is not None else ""
    part = f"in {percent(half)}" if half is not None else "not measured"
    return [
        card("Growth rate", rate, number(rate, 3, missing="not measured"), speed, ends),
        card("Rise", found.decades, f"{decades(found.decades)} decades", "lowest to highest difference"),
        card("Level", level, distance(level, "none"), "of the weights (relative L2), in the last third", span, reached),
        card("Half of all growth", half, part, "of the steps, the fastest; even growth takes 50%"),
    ]


def _origin(found: TwinsFound) -> list[Block]:
    """Return where the difference began and over how much of the network it spread."""
    rows = []
    if (first := found.first_difference) is not None:
        rows.append(("First difference", figures.first_seen(found, first)))
    if found.participation and (growing := found.participation.while_growing) is not None:
        spread = growing.tensors
        effective = f"effectively {number(spread.participation, 2)} of {plural(spread.carriers, 'tensor')}"
        rows.append(("Spread while growing", f"{effective} (participation ratio, {step(growing.step)})"))
    return [Facts(rows)] if rows else []


def _controls(found: TwinsFound, lead: str = "") -> Section:
    control, landing = found.control, found.perturbation
    assert control is not None, "a member has its control"
    assert landing is not None, "a member has its landing"
    word = "passed" if control.bitwise_identical else "FAILED"
    difference = number(found.control_max_difference, 2)
    rows = [("Exact repeat", f"{word}: largest difference {difference}, in every measure")]
    if found.separate:
        seen = f"largest relative difference {difference}"
        rows = [("Exact repeat", f"{word}: {seen if control.first_difference else 'every recorded step bit for bit'}")]
    where = control.first_difference
    if where is not None:
        rows += [("First differs at", step(where.step)), ("In", where.what)]
    else:
        twins = plural(landing.twins, "twin")
        rows.append(("Perturbation", f"landed in {percent(landing.landed_fraction)} of {twins}"))
        shares = {"in the first step": landing.first_step_share, "at the end": landing.last_step_share}
        for what, share in {} if found.separate else shares.items():
            rows.append((f"Weights changed {what}", percent(share.median if share else None)))
    return Section("Controls", [Facts(rows)], lead, brief=True)


def _episodes(found: TwinsFound) -> list[Block]:
    episodes = found.episodes
    if not episodes:
        return [Prose(("No growth episode: the difference never rose above its noise.",))]
    share, steps = percent(found.episodes_share), percent(found.episodes_share_of_steps)
    told = f"{plural(len(episodes), 'growth episode')}: {share} of all growth in {steps} of the steps."
    largest = sorted(sorted(episodes, key=lambda e: -e.rise)[:_EPISODES], key=lambda e: e.start)
    caption = (
        f"An episode rises by more than the noise, {number(found.episode_noise, 2)} nats, and never falls by as "
        "much on the way; pure noise produces one with probability at most 5%."
    )
    if len(episodes) > _EPISODES:
        caption = f"The {_EPISODES} that rose most, of {count(len(episodes))}. {caption}"
    return [Prose((told,)), _episode_table(largest, caption)]


def _episode_table(episodes: Sequence[Episode], caption: str) -> Table:
    columns: Columns[Episode] = {
        Column("from step", True): lambda e: count(e.start),
        Column("to step", True): lambda e: count(e.end),
        Column("grew by a factor", True): lambda e: factor(e.rise),
        Column("nats per step", True): lambda e: number(e.rate, 3),
        Column("share of all growth", True): lambda e: percent(e.share),
    }
    return table_of(episodes, columns, caption=caption)


def _jumps(found: TwinsFound) -> list[Block]:
    """Return the largest jump of each twin, and how far along the network it reached."""
    caption = (
        "A unit or pooling window that switches leaves the outputs nearly as they were but changes the gradients below "
        "it: such a jump reaches the tensors up to that layer and none beyond."
    )
    columns: Columns[Jump] = {
        Column("largest jump of"): lambda jump: jump.twin,
        Column("from step", True): lambda jump: count(jump.start),
        Column("to step", True): lambda jump: count(jump.end),
        Column("grew by a factor", True): lambda jump: count(jump.factor),
        Column("tensors", True): lambda jump: count(len(jump.tensors)),
        Column("the last of them"): lambda jump: jump.last or MISSING,
    }
    table = table_of(found.jumps, columns, caption=caption, fold=_JUMPS)
    return [table] if table.rows else []


def _tangent(found: TwinsFound) -> list[Section]:
    if (tangent := found.tangent) is None:
        return []
    rows = [
        ("Tangent growth", f"{growth_rate(tangent.rate)} over {plural(tangent.steps, 'step')}"),
        ("In the second half", growth_rate(tangent.rate_second_half)),
    ]
    if (small := tangent.while_small) is not None:
        rates = f"twins {number(small.twin_rate, 3)}, tangent {growth_rate(small.tangent_rate)}"
        rows.append((f"While twins were small (steps {count(small.start)} – {count(small.end)})", rates))
    lead = "An infinitesimal difference carried along the base run by Hessian products: growth without a second run."
    return [Section("Tangent growth", [Facts(rows)], lead, brief=True)]


def _not_measured(found: TwinsFound) -> list[Section]:
    """Return what these twins cannot show, by its reason."""
    by_reason: dict[str, list[str]] = {}
    for what, why in found.not_measured.items():
        by_reason.setdefault(why, []).append(what.replace("_", " "))
    rows = [(capitalised(", ".join(names)), f"not measured: {why}") for why, names in by_reason.items()]
    return [Section("What is not measured", [Facts(rows)])] if rows else []


def _sweep(result: TraceResult) -> list[Section]:
    if len(result.members) < 2:
        return []
    columns: Columns[TraceMember] = {
        Column("training"): lambda m: m.name,
        Column("optimizer"): lambda m: m.optimizer,
        Column("steps", True): lambda m: count(m.reached),
        Column("verdict"): lambda m: m.verdict_kind.replace("_", " "),
        Column("decades", True): lambda m: decades(m.decades),
        Column("nats per step", True): lambda m: number(m.growth_rate_per_step, 3),
        Column("relative L2 at the end", True): lambda m: number(m.final.relative_l2 if m.final else None, 3),
    }
    table = replace(table_of(result.members, columns).filled, sheet=_sheet(result.members))
    title = "Every optimizer and seed" if result.separate else "The trainings of the sweep"
    return [Section(title, [table], brief=True)]


def _sheet(members: Sequence[TraceMember]) -> Sheet:
    """Return the numbers of every training of the sweep."""
    columns: Mapping[str, Callable[[TraceMember], Raw]] = {
        "training": lambda m: m.name,
        "lr": lambda m: m.lr,
        "dtype": lambda m: m.dtype,
        "optimizer": lambda m: m.optimizer,
        "steps": lambda m: m.reached,
        "verdict_kind": lambda m: m.verdict_kind,
        "decades": lambda m: m.decades,
        "growth_rate_per_step": lambda m: m.growth_rate_per_step,
        "saturation_level": lambda m: m.saturation_level,
        "relative_l2": lambda m: m.final.relative_l2 if m.final else None,
    }
    return sheet_of("trainings", members, columns)


def _cost(found: TwinsFound) -> list[Section]:
    names = {"divergence": "measuring divergence", "probe": "churn and concentration"}
    rows = [(capitalised(names.get(name, name)), seconds(spent)) for name, spent in found.cost.items()]
    return [Section("Where the time went", [Facts(rows)])] if rows else []
