"""The page of an audit: which sections, tables and figures, in which order."""

from __future__ import annotations

from dataclasses import replace

from lastbit.core.status import RunStatus
from lastbit.report.blocks import (
    Block,
    Card,
    Cards,
    Facts,
    Page,
    Prose,
    Row,
    Section,
    Table,
    Tone,
    columns,
    estimate_table,
)
from lastbit.report.figures.style import seed_colours
from lastbit.report.formatting import (
    Shown,
    capitalised,
    count,
    number,
    percent,
    plural,
    reason,
    setting,
    show,
    span,
    step,
)
from lastbit.stats import Estimate
from lastbit.store import StudyFolder
from lastbit.studies.audit import figures
from lastbit.studies.audit.gaps import read_gaps
from lastbit.studies.audit.result import AuditResult
from lastbit.studies.frame.control import Spread
from lastbit.studies.frame.page import Kinds, runs_sheet, study_page

__all__ = ["audit_page"]

_KINDS: Kinds = {
    "hardly_last_bit": ("pass", "Hardly any last-bit noise"),
    "no_spread": ("pass", "No spread"),
    "partly_last_bit": ("attention", "Part of the noise is the last bit"),
    "mostly_last_bit": ("attention", "Most of the noise is the last bit"),
    "mixed": ("attention", "Not the same for every seed"),
    "not_measured": ("attention", "Not fully measured"),
    "not_reproducible": ("failure", "Not reproducible here"),
    "not_landed": ("failure", "The perturbation did not land"),
    "all_diverged": ("failure", "Every run diverged"),
    "not_finite": ("failure", "No finite result"),
    "no_runs": ("failure", "No spread to report"),
}

_OBSERVED, _TRUE = "Observed difference beyond noise", "True difference found"
"""One label for each of the two numbers that a comparison is judged by."""

_RUNS_SHOWN, _FAILURES_SHOWN = 500, 12

_OUTPUT = "output"
"""Folder of a study with a folder for each run of a command."""


def audit_page(folder: StudyFolder, result: AuditResult) -> Page:
    """Return the page of an audit.

    Where the controls failed, no spread is shown anywhere: the page says why, where the repeat first differed and what
    to do, and lists the runs.

    Args:
        folder: the study, for its runs, arrays and events.
        result: what it concluded.
    """
    sections = _spread_sections(folder, result) if result.passed else _silent_sections(folder, result)
    grid, task = result.spec["settings"], result.task
    size = f"{plural(grid['seeds'], 'seed')} × {plural(grid['perturbations'], 'perturbation')} ({grid['perturb']})"
    of_steps = "steps" in task
    sizes = (
        [f"{plural(task['steps'], 'step')} each", f"{plural(task['test_size'], 'test example')}"] if of_steps else []
    )
    return study_page(
        folder,
        result,
        title=f"Audit of {task['name']}",
        subtitle=", ".join([size, *sizes, *([grid["dtype"]] if sizes else [])]),
        kinds=_KINDS,
        sections=[*sections, Section("Runs", [_runs_table(folder, result)])],
    )


def _silent_sections(folder: StudyFolder, result: AuditResult) -> list[Section]:
    lead = (
        "A spread is the last bit's only where an exact repeat matches bit for bit, the perturbation is seen in the "
        "weights and runs end with a finite result. That is not so here, so this page reports none."
    )
    where, differs = result.control.first_difference, []
    if where is not None:
        rows = [("Seed", setting(where.cell)), ("First differs at", step(where.step)), ("In", where.what)]
        values = (("Unperturbed run", where.base), ("Its exact repeat", where.repeat))
        rows += [(title, setting(value)) for title, value in values if value is not None]
        differs = [Section("Where the repeat first differs", [Facts(rows)])]
    return [Section("Controls", [_control_facts(folder, result)], lead, brief=True), *differs, *_failed_runs(result)]


def _spread_sections(folder: StudyFolder, result: AuditResult) -> list[Section]:
    records = folder.runs()
    colours = seed_colours([record.cell for record in records])
    gaps = read_gaps(folder, records, colours)
    legend = figures.legend_of(colours)
    plan = _plan_tables(result)
    planning = "Two configurations, each trained with fresh seeds, compared by a t test at 5% with 80% power."
    return [
        Section("The numbers", [Cards(_cards(result))]),
        Section("How to read this", [_how_to_read(result)], half=True),
        Section(
            "Controls",
            [_control_facts(folder, result)],
            "Before any spread: does a repeat repeat, does the noise land?",
            half=True,
            brief=True,
        ),
        *_failed_runs(result),
        figures.results_section(result, colours, legend),
        figures.variance_section(result),
        *figures.curves_sections(result, records, gaps, colours, legend),
        *figures.churn_sections(result),
        *figures.weights_sections(gaps, colours, legend, sketched=gaps.sketched),
        *_metrics_section(result),
        Section("All estimates", [_estimates_table(result)], brief=True),
        *([Section("Planning a comparison", plan, planning, brief=True)] if plan else []),
    ]


def _cards(result: AuditResult) -> list[Card]:
    """Return the numbers that matter."""
    points, plan = result.points, result.smallest_resolvable_difference
    observed, true = (plan[0].observed, plan[0].difference) if plan else (result.sigma_total, result.sigma_total)
    found = []
    for title, note, estimate, unit, what in (
        ("σ last bit", "same seed, only the last bit of each update changed", result.sigma_last_bit, points, "run"),
        ("σ seeds", "what another seed adds, last bit removed", result.sigma_seed, points, "seed"),
        ("Last-bit share", "of the variance over fresh runs", result.last_bit_variance_share, "%", "run"),
        (_OBSERVED, "between two single runs: noise alone exceeds it in 5% of cases", observed, points, "run"),
        (_TRUE, "between two single runs, with 80% power", true, points, "run"),
    ):
        shown = show(estimate, unit)
        words = shown.words if shown.measured else shown.note
        samples = f"n = {plural(estimate.n, what)}"
        found.append(Card(title, shown.value, words, samples, note, shown.measured))
    return found


def _how_to_read(result: AuditResult) -> Prose:
    """Return three sentences for who reads such a page for the first time."""
    plan = result.smallest_resolvable_difference
    sentences = [
        "Runs of one seed are the same training, rounded otherwise in the last bit: how far their "
        f"{result.metric.name} spreads is σ last bit, and no fixed seed removes it.",
        "σ seeds is what another seed adds; the share says how much of all variance the last bit alone accounts for.",
        "Take no observed difference between two single runs for real that is smaller than the fourth number. A true "
        "one is found in 4 of 5 comparisons if it is as large as the fifth; the planner below says how many seeds a "
        "smaller one needs."
        if plan and plan[0].observed.measured
        else "From which difference on two single runs really differ is not measured here: it takes two seeds or more.",
    ]
    return Prose(sentences, bullets=True)


def _control_facts(folder: StudyFolder, result: AuditResult) -> Facts:
    """Return what the controls say: the repeats, and where the perturbation landed."""
    control, landing = result.control, result.perturbation
    word = "passed" if control.bitwise_identical else "FAILED"
    matched = f"{word}: {count(control.pairs_identical)} of {count(control.pairs)} match bit for bit"
    rows = [("Exact repeats", matched if control.pairs else "none could be compared"), *_launched_facts(folder, result)]
    name = f"Perturbation ({landing.kind})"
    if landing.landed_fraction is None:
        return Facts([*rows, (name, "no perturbed run could be compared with its base")])
    rows.append((name, f"landed in {percent(landing.landed_fraction)} of {plural(landing.twins, 'run')}"))
    for when, share in (("first", landing.first_step_share), ("last", landing.last_step_share)):
        # Checksums and sketches show that a tensor changed, and not how many of its weights did.
        if share is not None or result.recorded is None:
            rows.append((f"Weights changed after the {when} step", _share_words(share)))
    if result.recorded is not None and result.recorded.changed is not None:
        tensors, weights = result.recorded.tensors, plural(result.recorded.weights, "weight")
        changed = f"{_share_words(result.recorded.changed)} of {plural(tensors, 'tensor')} ({weights})"
        rows.append(("Tensors changed after the last step", changed))
        rows.append(("Weights changed", "not measured: sketches show that a tensor changed, not in how many weights"))
    if result.optimizers:
        rows.append(("Optimizers", ", ".join(f"{name}: {how}" for name, how in result.optimizers.items())))
    if landing.not_landed:
        rows.append(("Runs it did not change", ", ".join(landing.not_landed)))
    return Facts(rows)


def _launched_facts(folder: StudyFolder, result: AuditResult) -> list[tuple[str, str]]:
    """Return what is known of the runs of a command beside what they measured."""
    told = result.recorded
    if told is None:
        return []
    ended = sum(run.status != RunStatus.CRASHED for run in result.runs)
    rows = [("Exit codes", f"0 in {count(ended)} of {plural(len(result.runs), 'run')}")]
    if told.checksums:
        equal = f"{count(told.checksums_equal)} of {plural(told.checksums, 'checksum')} equal"
        rows.append(("Weights of the repeats", f"{equal}, at the steps that both recorded"))
    return [*rows, ("What each run printed", f"{folder.path / _OUTPUT / 'RUN'}/stdout.txt and stderr.txt")]


def _share_words(share: Spread | None) -> str:
    if share is None:
        return "not measured: the runs keep no weights"
    low, median, high = (percent(value) for value in (share.min, share.median, share.max))
    return median if low == high else f"{median} (median; {low} to {high})"


def _failed_runs(result: AuditResult) -> list[Section]:
    """Return one line for each run that did not end well."""
    failed = [run for run in result.runs if run.status != RunStatus.OK]
    if not failed:
        return []
    lines = [f"{run.run} ({run.label}) {run.status}: {run.message or 'no message'}" for run in failed]
    if len(lines) > _FAILURES_SHOWN:
        more = f"and {plural(len(lines) - _FAILURES_SHOWN, 'more run')} that did not end well"
        lines = [*lines[:_FAILURES_SHOWN], more]
    return [Section("Runs that did not end well", [Prose(lines, bullets=True)], brief=True)]


def _metrics_section(result: AuditResult) -> list[Section]:
    """Return the spreads of every metric, where there are several."""
    if not result.metrics:
        return []
    rows, left_out = [], []
    for one in result.metrics:
        last_bit, seeds = show(one.sigma_last_bit, one.points), show(one.sigma_seed, one.points)
        error = "not measured" if one.sampling_error is None else number(one.sampling_error, 2, one.points)
        mean, share = number(one.mean.estimate, 4, one.unit), show(one.last_bit_variance_share, "%").value
        rows.append(Row((one.name, mean, last_bit.value, last_bit.interval, seeds.value, share, error)))
        left_out += [one.left_out] if one.left_out else []
    numbers = ("mean", "σ last bit", "95% interval", "σ seeds", "last-bit share", "± test set")
    caption = "± test set: the standard error of one run's value from the sampling of the test examples."
    table = Table(columns(["metric"], numbers), rows, "; ".join([caption, *left_out]))
    return [Section("Every metric", [table], brief=True)]


def _estimates_table(result: AuditResult) -> Table:
    """Return every estimate with its interval, n and notes."""
    metric, points, loss, spread = result.metric, result.points, result.loss, result.distribution
    mean = metric.mean
    estimates: list[tuple[str, Estimate, str]] = [
        ("σ last bit (same seed)", result.sigma_last_bit, points),
        ("σ seeds (last bit removed)", result.sigma_seed, points),
        ("σ of a fresh run (both)", result.sigma_total, points),
        ("last-bit share of the variance", result.last_bit_variance_share, "%"),
        ("churn, last bit", result.churn_last_bit, "%"),
        ("churn, seeds", result.churn_seed, "%"),
    ]
    if loss is not None:
        estimates += [
            ("test loss: σ last bit", loss.sigma_last_bit, ""),
            ("test loss: σ seeds", loss.sigma_seed, ""),
            ("test loss: last-bit share", loss.last_bit_variance_share, "%"),
        ]
    estimates += [
        ("weight distance, last bit", result.weight_distance_last_bit, ""),
        ("weight distance, seeds", result.weight_distance_seed, ""),
    ]
    parts = {} if spread is None else {"fresh run": spread.total, "last bit": spread.last_bit}
    for who, part in parts.items():
        estimates.append((f"σ on another test set, {who}", part.distribution, points))
        estimates.append((f"σ of test-set sampling, {who}", part.test_set, points))
    value, ends = number(mean.estimate, unit=metric.unit), span(mean.low, mean.high, unit=metric.unit)
    rows = [(f"{metric.name}, mean", Shown(value, ends, count(mean.n), mean.note, mean.measured))]
    rows += [(title, show(estimate, unit)) for title, estimate, unit in estimates]
    named = {"metric": metric.name, "loss": "test loss: σ last bit", "distribution": "σ on another test set"}
    rows += [(named[what], Shown("not measured", "", "", why, False)) for what, why in result.not_measured.items()]
    return replace(estimate_table(rows), caption=capitalised(result.method), fold=100)


def _plan_tables(result: AuditResult) -> list[Block]:
    """Return what n seeds of each of two configurations can tell apart, and what a difference needs."""
    seen, needed = [], []
    for row in result.smallest_resolvable_difference:
        if row.observed.measured or row.difference.measured:
            both = [show(one, result.points) for one in (row.observed, row.difference)]
            cells = [part for shown in both for part in (shown.value, shown.interval)]
            seen.append(Row((f"{plural(row.n_seeds, 'seed')} each", *cells)))
    for need in result.seeds_needed:
        seeds = need.n_seeds
        if seeds.measured:
            unit = "point" if result.points == "points" and need.difference == 1 else result.points
            upper = f"from {count(seeds.low)} up" if seeds.high is None else f"{count(seeds.low)} – {count(seeds.high)}"
            ends = "" if seeds.low is None else upper
            needed.append(Row((number(need.difference, 6, unit), f"{count(seeds.estimate)} each", ends)))
    differences = columns(
        ["comparing two configurations"],
        [f"{_OBSERVED.lower()} (5%)", "95% interval", f"{_TRUE.lower()} (80% power)", "95% interval"],
    )
    counts = columns(["a true difference of"], ["seeds needed, 80% power", "95% interval"])
    tables: list[Block] = [Table(titles, rows) for titles, rows in ((differences, seen), (counts, needed)) if rows]
    if tables or not result.sigma_total.estimate:
        return tables
    return [Prose((f"Not measured: {reason(result.smallest_resolvable_difference[0].difference)}.",))]


def _runs_table(folder: StudyFolder, result: AuditResult) -> Table:
    """Return the runs: how each ended, what it took, its final metrics. Those that failed come first."""
    runs = sorted(result.runs, key=lambda run: run.status == RunStatus.OK)
    names = sorted({name for run in runs for name in run.metrics}, key=lambda n: (n != result.metric.name, n))
    numbers = ("attempts", "seconds", *(name.replace("_", " ") for name in names))
    streams = ("stdout", "stderr") if result.recorded is not None else ()
    rows = []
    for run in runs[:_RUNS_SHOWN]:
        status = f"{run.status}: {run.message}" if run.message else run.status
        values = [number(run.metrics.get(name), 5) for name in names]
        links = [_link(folder, run.run, stream) for stream in streams]
        there = [stream if link else "" for stream, link in zip(streams, links, strict=True)]
        cells = (run.run, run.label, status, count(run.attempts), number(run.seconds, 3), *values, *there)
        behind = (None, None, None, run.attempts, run.seconds, *map(run.metrics.get, names), *(None for _ in streams))
        tone: dict[str, Tone | None] = {"ok": None, "diverging": "attention", "diverged": "attention"}
        to = ("",) * (len(cells) - len(links))
        rows.append(Row(cells, tone.get(run.status, "failure"), behind, (*to, *links)))
    more = len(runs) > _RUNS_SHOWN
    caption = f"The first {_RUNS_SHOWN} of {count(len(runs))} runs; all are in runs.sqlite." if more else ""
    titles = [*columns(("run", "perturbation", "status"), numbers), *columns(streams)]
    return Table(titles, rows, caption, sheet=runs_sheet(result.runs))


def _link(folder: StudyFolder, run: str, stream: str) -> str:
    """Return where in the study what a run printed is kept, "" where it is not."""
    path = f"{_OUTPUT}/{run}/{stream}.txt"
    return path if (folder.path / path).is_file() else ""
