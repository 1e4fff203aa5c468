"""The page of a trace: what it says, what it draws, that it opens fast and runs nothing of what a study says."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from lastbit.core.status import Role, RunStatus
from lastbit.report.figures.trace_map import MAX_COLUMNS, difference_map, spaced
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.report import render_report
from lastbit.studies.trace.analysis import analyse_trace

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def arrays_of(steps, tensors, twins, names, seed=0, rate=0.06, repeat_matches=True, classes=True):
    """Twins that grow exponentially to a level, as a recorder would have left them."""
    rng = np.random.default_rng(seed)
    count, width = len(steps), len(tensors)
    sizes = rng.integers(10, 1000, width)
    norm = np.full((count, width), 3.0)
    logs = np.minimum(-16 + rate * (steps - steps[0]), -1)[None, :, None] + 0.3 * rng.standard_normal(
        (twins + 1, count, width)
    )
    relative = np.exp(logs) * (steps > steps[0])[None, :, None]
    relative[0] = 0 if repeat_matches else 1e-7 * (steps > 4)[:, None]
    l2 = relative * norm
    whole = np.sqrt((l2**2).sum(-1))
    probe = steps[:: max(1, count // 20)]
    first = np.where(relative.any(axis=1), steps[1], -1)
    first[0] = np.where(first[0] < 0, -1, 5)
    arrays = {
        "step": steps,
        "tensor": np.array(names),
        "size": sizes,
        "l2": l2,
        "relative_l2": relative,
        "mean_relative_l1": relative,
        "max_ulp": (relative > 0).astype(np.int64),
        "cosine": np.zeros_like(l2),
        "share_differing": (relative > 0).astype(float),
        "norm": norm,
        "all_norm": np.full(count, 3 * width**0.5),
        "all_l2": whole,
        "all_relative_l2": whole / (3 * width**0.5),
        "all_mean_relative_l1": relative.mean(-1),
        "all_max_ulp": (relative > 0).any(-1).astype(np.int64),
        "all_cosine": np.zeros_like(whole),
        "all_share_differing": (relative > 0).mean(-1),
        "first_step": first,
        "loss_gap": whole * rng.standard_normal(whole.shape),
        "repeat_loss_step": np.array([] if repeat_matches else [5], dtype=np.int64),
        "probe_step": probe,
        "churn": np.full((twins + 1, len(probe)), 0.1 if classes else np.nan),
        "log_removed": np.zeros_like(whole),
        "filter_l2": relative[1, :, :1] * np.ones(6),
        "filter_norm": np.ones((count, 6)),
        "filter_tensor": np.array([names[0]] * 6),
        "filter_index": np.arange(6),
        "convolution": np.array(names[:1]),
        "element_participation": np.ones((len(probe), width)),
        "element_gini": np.zeros((len(probe), width)),
        "filter_participation": np.full((len(probe), 1), 3.0),
        "filter_gini": np.zeros((len(probe), 1)),
        "rounding_bound": 1e-6 * np.sqrt(steps - steps[0]),
        "single_rounding": np.array([1e-7]),
        "first_step_share": np.array([0.0] + [0.5] * twins),
        "label": np.array(["repeat", *(f"k = {2 * i + 3}" for i in range(twins))]),
    }
    if not classes:
        arrays["convolution"] = arrays["filter_tensor"] = np.array([], dtype=np.str_)
        arrays["filter_index"] = np.array([], dtype=np.int64)
        for name in ("filter_l2", "filter_norm", "filter_participation", "filter_gini"):
            arrays[name] = arrays[name][:, :0]
    return arrays


@pytest.fixture
def make_trace(tmp_path):
    """Write a trace's folder without training anything."""

    def make(
        *, steps=None, names=("conv.weight", "head.weight", "head.bias"), lrs=(0.3,), twins=3, name="digits", **more
    ):
        steps = np.arange(0, 401) if steps is None else steps
        path = tmp_path / f"trace-{len(list(tmp_path.iterdir()))}"
        members = [
            {
                "name": f"lr{lr:g}-float32",
                "lr": lr,
                "dtype": "float32",
                "epochs": 4,
                "from_step": 0,
                "steps": int(steps[-1]),
                "cost": {"training": 1.0, "all": 2.0},
            }
            for lr in lrs
        ]
        spec = {"twins": twins, "perturb": "rescale", "layer": None}
        facts = {
            "kind": "trace",
            "spec": {"trace": spec},
            "command": f"lastbit trace --task {name}",
            "members": members,
            "task": {"name": name, "settings": {"model": name}, "metric": {"name": "accuracy", "unit": "%"}},
            "environment": {"processor": name},
        }
        with StudyFolder.create(path, facts) as folder:
            for number, member in enumerate(members):
                rate = 0.06 * member["lr"] / lrs[0]
                folder.files(member["name"]).arrays(arrays_of(steps, names, twins, names, number, rate, **more))
                run = RunRecord(
                    run=f"{member['name']}-base",
                    cell=number,
                    role=Role.BASE,
                    label=name,
                    status=RunStatus.OK,
                )
                folder.add(run)
            folder.save_result(analyse_trace(folder))
        return path

    return make


def test_the_page_says_the_verdict_first_and_every_part_in_order(make_trace, parse):
    study = make_trace()
    result = json.loads((study / "result.json").read_text("utf-8"))
    assert result["verdict"] == "restrained"
    page = parse(render_report(study))
    assert page.headings == [
        "The numbers",
        "How to read this",
        "Controls",
        "How the last bit grew",
        "Growth episodes",
        "Which tensors, and when",
        "Where along the network it started",
        "Filters of conv.weight",
        "What the network shows of it",
        "Over how much of the network it is spread",
        "Tensors",
        "Where the time went",
        "The exact command to repeat it",
        "Task",
        "Environment",
    ]
    verdict = result["sentence"][:1].upper() + result["sentence"][1:]
    assert page.text.index(verdict) < page.text.index("The numbers")
    assert set(page.figures) == {"difference", "map", "origin", "filters", "effect"}
    assert "passed: largest difference 0" in page.text
    assert f"{result['growth_rate_per_step']:.3g}" in page.text
    assert ("section", "class", "verdict attention") in page.attributes


def test_a_sweep_shows_its_members_side_by_side(make_trace, parse):
    page = parse(render_report(make_trace(lrs=(0.3, 0.1))))
    assert "The sweep" in page.headings
    assert "sweep" in page.figures
    assert "lr0.1-float32" in page.text


def test_failed_controls_show_no_growth(make_trace, parse):
    target = render_report(make_trace(repeat_matches=False))
    page = parse(target)
    assert "Not reproducible here" in page.text
    assert "FAILED" in page.text
    assert "step 5" in page.text
    assert not page.figures
    for forbidden in ("decades", "Growth rate", "nats"):
        assert forbidden not in page.text


def test_a_network_without_convolutions_or_classes_has_no_filters_and_no_churn(make_trace, parse):
    page = parse(render_report(make_trace(classes=False)))
    assert "filters" not in page.figures
    assert not any(heading.startswith("Filters") for heading in page.headings)
    assert '"y2"' not in json.dumps(page.figures["effect"])


def test_spacing_keeps_the_ends_and_no_two_closer_than_a_column():
    steps = np.unique(np.concatenate([np.arange(64), np.geomspace(64, 10_000, 400).astype(int)]))
    kept = spaced(steps, 100)
    assert len(kept) <= 101
    assert (kept[0], kept[-1]) == (0, len(steps) - 1)
    assert np.diff(steps[kept])[:-1].min() >= 100
    assert spaced(steps, 10_000).tolist() == list(range(len(steps)))


def test_the_map_shows_the_logarithm_of_what_was_measured():
    steps, relative = np.array([0, 1, 2]), np.array([[0, 1e-8], [1e-6, 1e-4], [1e-3, np.nan]])
    figure = difference_map(steps, relative, ["first", "second"], edges=[1])
    np.testing.assert_allclose(figure.data[0].z, [[np.nan, -6, -3], [-8, -4, np.nan]])
    assert list(figure.layout.yaxis.ticktext) == ["first", "second"]
    assert figure.layout.yaxis.autorange == "reversed"


def test_a_map_of_many_steps_is_thinned(make_trace):
    figure = difference_map(np.arange(10_001), np.full((10_001, 60), 1e-3), [f"t{i}" for i in range(60)])
    assert figure.data[0].z.shape[1] <= MAX_COLUMNS + 1


def browse(target: Path, profile: Path) -> tuple[str, str]:
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--v=0",
            "--window-size=1200,2000",
            "--virtual-time-budget=8000",
            f"--user-data-dir={profile}",
            "--dump-dom",
            target.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if ":CONSOLE" in line)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the report with")
def test_a_browser_draws_a_hostile_trace_and_runs_none_of_its_text(make_trace, hostile, tmp_path):
    study = make_trace(names=(f"conv{hostile}", f"head{hostile}", "bias"), name=hostile, lrs=(0.3, 0.1))
    document, console = browse(render_report(study), tmp_path / "profile")
    assert console == ""
    facts = dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<html[^>]*>", document).group()))
    assert facts["drawn"] == "6"
    assert "pwned" not in facts


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the report with")
def test_ten_thousand_steps_of_sixty_tensors_open_about_as_fast_as_a_small_report(make_trace, tmp_path):
    # Every step recorded, twenty times more than a study keeps. Nearly all of a small report's opening is the browser's
    # start and the plotting library; the bound is held as a ratio to it, for cores are shared.
    large = render_report(make_trace(steps=np.arange(0, 10_001), names=tuple(f"layer.{i}.weight" for i in range(60))))
    small = render_report(make_trace())
    assert large.stat().st_size < 6e6
    seconds = {small: [], large: []}
    for attempt in range(3):
        for page, times in seconds.items():
            began = time.perf_counter()
            document, _ = browse(page, tmp_path / f"profile-{page.parent.name}-{attempt}")
            times.append(time.perf_counter() - began)
            assert 'data-drawn="5"' in document
    assert min(seconds[large]) < 1.5 * min(seconds[small])
