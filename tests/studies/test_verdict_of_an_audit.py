"""Every verdict of an audit, from studies whose runs say what they are made to say."""

import json
import math
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from scipy import stats

from lastbit import audit, open_study
from lastbit.report.formatting import show
from lastbit.stats import Estimate
from lastbit.store import StudyFolder

SEEDS, PERTURBATIONS = 12, 4


@pytest.fixture(scope="module")
def grid(task_file, tmp_path_factory):
    """A trained grid, whose metrics the tests replace."""
    out = tmp_path_factory.mktemp("grid") / "study"
    return audit(
        f"{task_file}:calm", epochs=1, seeds=SEEDS, perturbations=PERTURBATIONS, workers=1, out=out, quiet=True
    ).path


def saying(grid, folder, seed_spread, bit_spread):
    """A copy in which the final accuracy varies by so much over seeds, and over perturbations within each.

    The latter is one number for all seeds, or one for each.
    """
    bit_spread = np.broadcast_to(bit_spread, SEEDS)
    shutil.copytree(grid, folder)
    (folder / "result.json").unlink()
    draws = np.random.default_rng(0)
    seeds, bits = draws.standard_normal(SEEDS), draws.standard_normal((SEEDS, PERTURBATIONS))
    with StudyFolder.read(folder) as study:
        runs = study.runs()
    with closing(sqlite3.connect(folder / "runs.sqlite", isolation_level=None)) as database:
        for run in runs:
            value = 90 + seed_spread * seeds[run.cell] + bit_spread[run.cell] * bits[run.cell, run.twin]
            database.execute("UPDATE metrics SET value = ? WHERE run = ? AND name = 'accuracy'", (value, run.run))
    return open_study(folder)


def result_of(study):
    return study.result if isinstance(study.result, dict) else study.result.to_json()


@pytest.mark.parametrize(
    ("spreads", "kind", "said", "advice"),
    [
        (
            (0.0, 1.0),
            "mostly_last_bit",
            "most of that noise is the last floating-point bit",
            "Fixing the seed would",
        ),
        ((1.0, 0.02), "hardly_last_bit", "hardly any of it is the last bit", "The seed decides"),
        ((1.0, 1.0), "partly_last_bit", "the last floating-point bit alone", "Fixing the seed removes only the rest"),
        ((1.0, 0.0), "hardly_last_bit", "none of it seen here is the last bit", "Look at the test loss and the weight"),
        ((0.0, 0.0), "no_spread", "reached the same accuracy", "Look at the loss and the churn"),
    ],
)
def test_the_verdict_follows_the_shares(grid, tmp_path, spreads, kind, said, advice):
    study = saying(grid, tmp_path / "study", *spreads)
    result = result_of(study)
    share = result["last_bit_variance_share"]
    assert result["verdict_kind"] == kind
    assert said in study.verdict
    assert result["advice"].startswith(advice)
    assert study.passed
    if kind == "mostly_last_bit":
        assert share["low"] > 0.5
    if kind == "partly_last_bit":
        assert share["low"] < 0.5
        assert share["high"] > 0.1
    if spreads == (1.0, 0.02):
        assert share["high"] < 0.1


def test_no_interval_of_a_percentage_leaves_what_is_possible(task_file, tmp_path):
    """Two seeds: Student's interval of the mean and the chi-square one of sigma reach far beyond 0 to 100."""
    settings = {"seeds": 2, "perturbations": 2, "workers": 1, "quiet": True}
    study = audit(f"{task_file}:lively", epochs=1, out=tmp_path / "study", **settings)
    with closing(sqlite3.connect(study.path / "runs.sqlite", isolation_level=None)) as database:
        for run, value in (("seed000", 99.5), ("seed001", 70.0)):
            for twin in (0, 1):
                name = f"{run}-p{twin:03d}"
                said = (value - 3 * twin, name)
                database.execute("UPDATE metrics SET value = ? WHERE run = ? AND name = 'accuracy'", said)
                base = (value, f"{run}-repeat")
                database.execute("UPDATE metrics SET value = ? WHERE run = ? AND name = 'accuracy'", base)
    (study.path / "result.json").unlink()
    result = open_study(study.path).result
    mean = result.metric.mean
    assert (mean.low, mean.high) == (0.0, 100.0)
    assert "ends at what is possible" in mean.note
    assert result.sigma_total.high == 50.0
    assert result.sigma_seed.high == 50.0


def test_few_seeds_are_said_to_be_few(grid, lively_study, tmp_path):
    assert "Few seeds (3)" in result_of(lively_study)["advice"]
    assert "Few seeds" not in result_of(saying(grid, tmp_path / "study", 1.0, 1.0))["advice"]


@pytest.mark.parametrize(
    ("size", "said", "advice"),
    [
        ((1, 1), "neither the last bit nor the seed was varied", "Ask for at least 2 seeds and 2 perturbations"),
        ((1, 3), "the spread over seeds is not measured", "Ask for at least 2 seeds to set the last bit beside"),
        ((3, 1), "how much of it is the last bit is not measured", "Ask for at least 2 seeds and 2 perturbations"),
    ],
)
def test_a_grid_too_small_says_what_to_ask_for(task_file, tmp_path, size, said, advice):
    seeds, perturbations = size
    settings = {"seeds": seeds, "perturbations": perturbations, "workers": 1, "quiet": True}
    study = audit(f"{task_file}:lively", epochs=2, out=tmp_path / "study", **settings)
    result = json.loads((study.path / "result.json").read_text("utf-8"))
    assert result["verdict_kind"] == "not_measured"
    assert said in study.verdict
    assert result["advice"].startswith(advice)


def test_the_first_sentence_states_the_observed_and_the_true_difference_with_their_intervals(grid, tmp_path):
    study = saying(grid, tmp_path / "study", 1.0, 1.0)
    total = study.result.sigma_total
    single = study.result.smallest_resolvable_difference[0]
    # The line for what is seen: Student's quantile; for what is true: the noncentrality found 4 times of 5.
    line = stats.t.ppf(0.975, total.df) * math.sqrt(2)
    assert single.observed.estimate == pytest.approx(line * total.estimate, rel=1e-12)
    assert single.observed.high == pytest.approx(line * total.high, rel=1e-12)
    edge = stats.t.ppf(0.975, total.df)
    reach = single.difference.estimate / total.estimate / math.sqrt(2)
    assert stats.nct.sf(edge, total.df, reach) == pytest.approx(0.8, abs=1e-3)
    observed, true = (show(one, "points") for one in (single.observed, single.difference))
    assert study.verdict.startswith(
        f"between two single runs, noise alone exceeds an observed difference in accuracy of {observed} in 5% of "
        f"cases, a true difference is found with 80% power from {true} on, and "
    )
    assert "95% interval" in str(observed)


@pytest.mark.parametrize(
    ("between", "bits", "than", "others"),
    [
        # Over all seeds hardly any last bit; of one seed it is as large as what the seeds make.
        (3.0, [0.02, 2.25] + [0.02] * 10, "for more than a tenth in 1 of 12 seeds", 1),
        # Over all seeds mostly the last bit; in two seeds it moves next to nothing.
        (0.3, [0.004] * 2 + [1.0] * 10, "for less than half in 2 of 12 seeds", 2),
    ],
)
def test_a_share_over_all_seeds_that_does_not_hold_for_each_is_mixed(grid, tmp_path, between, bits, than, others):
    study = saying(grid, tmp_path / "study", between, bits)
    assert study.result.verdict_kind == "mixed"
    assert than in study.verdict
    chance = stats.binomtest(others, SEEDS).proportion_ci(method="exact")
    assert show(Estimate(others / SEEDS, chance.low, chance.high, SEEDS), "%").words in study.verdict
    assert study.result.exit_code == 0


def test_one_seed_whose_twin_diverged_is_in_the_first_sentence(grid, tmp_path):
    study = saying(grid, tmp_path / "study", 1.0, 0.02)
    with closing(sqlite3.connect(study.path / "runs.sqlite", isolation_level=None)) as database:
        database.execute("UPDATE runs SET status = 'diverged' WHERE run = 'seed003-p002'")
    study = open_study(study.path)
    assert study.result.verdict_kind == "mixed"
    assert study.verdict.startswith("1 of 48 runs diverged, and the last bit decided which (in 1 of 12 seeds; ")
    assert "hardly any of it is the last bit" in study.verdict
    assert study.result.divergence.parted == 1


def test_a_number_of_seeds_with_no_upper_end_shows_its_lower_one(grid, tmp_path):
    study = saying(grid, tmp_path / "study", 30.0, 0.5)
    open_ended = [need.n_seeds for need in study.result.seeds_needed if need.n_seeds.high is None]
    known = [need for need in open_ended if need.measured]
    assert known
    for need in known:
        assert f"from {need.low:,.0f} up" in study.summary()


@pytest.mark.parametrize("own", [False, True])
def test_what_differs_in_its_repeat_is_told_a_flag_that_it_takes(grid, tmp_path, own):
    """A command or function refuses --device: it decides that itself."""
    study = saying(grid, tmp_path / "study", 1.0, 1.0).path
    with closing(sqlite3.connect(study / "runs.sqlite", isolation_level=None)) as database:
        database.execute("UPDATE metrics SET value = 1 WHERE run LIKE '%repeat' AND name = 'accuracy'")
    facts = json.loads((study / "study.json").read_text())
    for cell in facts["cells"] if own else ():
        del cell["epochs"]
    (study / "study.json").write_text(json.dumps(facts))
    result = result_of(open_study(study))
    assert result["verdict_kind"] == "not_reproducible"
    assert ("--device" in result["advice"], "--reseed" in result["advice"]) == (not own, own)
