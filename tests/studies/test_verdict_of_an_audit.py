"""Every verdict of an audit, from studies whose runs say what they are made to say."""

import json
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from lastbit import audit, open_study
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
    """A copy in which the final accuracy varies by so much over seeds, and over perturbations within each."""
    shutil.copytree(grid, folder)
    (folder / "result.json").unlink()
    draws = np.random.default_rng(0)
    seeds, bits = draws.standard_normal(SEEDS), draws.standard_normal((SEEDS, PERTURBATIONS))
    with StudyFolder.read(folder) as study:
        runs = study.runs()
    with closing(sqlite3.connect(folder / "runs.sqlite", isolation_level=None)) as database:
        for run in runs:
            value = 90 + seed_spread * seeds[run.cell] + bit_spread * bits[run.cell, run.twin]
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
