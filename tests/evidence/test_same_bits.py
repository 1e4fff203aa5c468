"""Old and new code give equal runs, and equal results under the list of renamed fields.

`LASTBIT_BEFORE=PATH` names a checkout of the code to compare with.
"""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from renamed_fields import RENAMED, differences, same_numbers
from same_bits import MAY_DIFFER, ROOT, SETTINGS, different_bits, failure, result_of, train_with

BEFORE = os.environ.get("LASTBIT_BEFORE")
STORED = ROOT / "tests" / "data" / "studies-format-1"


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """The studies of all settings, by the code of before and by that of today."""
    if BEFORE is None:
        pytest.skip("LASTBIT_BEFORE names no checkout to compare with")
    folder = tmp_path_factory.mktemp("trees")
    return train_with(Path(BEFORE), folder / "before"), train_with(ROOT, folder / "now")


@pytest.mark.evidence
@pytest.mark.parametrize("setting", SETTINGS)
def test_old_and_new_code_agree(setting, trees, record_property):
    assert [failure(tree, setting) for tree in trees] == ["", ""]
    before, now = (tree / setting for tree in trees)
    bits = different_bits(before, now)
    fields = differences(SETTINGS[setting][0], result_of(before), result_of(now), without=MAY_DIFFER)
    record_property("measured", f"{len(bits)} arrays or metrics and {len(fields)} fields of the result differ")
    assert [*bits, *fields] == []


def spoil_an_array(study):
    path = study / "arrays" / "seed001-p001.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["losses"][-1] = np.nextafter(arrays["losses"][-1], np.inf)
    np.savez(path, **arrays)


def drop_an_array(study):
    path = study / "arrays" / "seed001-repeat.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{name: values for name, values in arrays.items() if name != "losses"})


def change_the_database(statement):
    def change(study):
        with closing(sqlite3.connect(study / "runs.sqlite", isolation_level=None)) as database:
            database.execute(statement)

    return change


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (spoil_an_array, "(1, 1, 'twin'): array losses differs in 1 of"),
        (drop_an_array, "(1, 0, 'repeat'): array losses is missing"),
        (change_the_database("UPDATE metrics SET value = value + 1 WHERE run = 'seed000-p000'"), "'base'): metric"),
        (change_the_database("DELETE FROM metrics WHERE run = 'seed000-p000'"), "is missing"),
        (change_the_database("DELETE FROM runs WHERE run = 'seed000-p000'"), "runs were"),
    ],
)
def test_the_check_sees_a_changed_bit(tmp_path, spoil, seen):
    before, now = tmp_path / "before", tmp_path / "now"
    for folder in (before, now):
        shutil.copytree(STORED / "audit", folder)
    assert different_bits(before, now) == []
    spoil(now)
    (line, *_) = different_bits(before, now)
    assert seen in line


def test_the_check_sees_a_changed_field(monkeypatch):
    monkeypatch.setitem(RENAMED, "audit", {"metric": "measured", "runs[].run": "runs[].name", "runs[].label": None})
    before = result_of(STORED / "audit")
    now = json.loads(json.dumps(before))
    now["measured"] = now.pop("metric")
    now["runs"] = [{**run, "name": run["run"]} for run in now["runs"]]
    for run in now["runs"]:
        del run["run"], run["label"]
    assert differences("audit", before, now) == []
    assert differences("audit", before, {**now, "measured": {}}) != []
    sigma = before["sigma_last_bit"]
    changed = {
        **now,
        "sigma_last_bit": {**sigma, "estimate": np.nextafter(sigma["estimate"], 9)},
        "verdict": before["verdict"].replace("difference", "gap"),
        "advice": before["advice"] + " 3",
    }
    del changed["churn_last_bit"]
    told = differences("audit", before, changed)
    assert {line.split()[0] for line in told if "churn_last_bit" not in line} == {"advice", "sigma_last_bit.estimate"}
    assert any(line.startswith("churn_last_bit.estimate") and "missing" in line for line in told)


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("1.0e-07 of 1,200", "1e-07 of 1200", True),
        ("0.724 of its limit", "0.7236 of the limit", True),
        ("0.724 of its limit", "0.7246 of its limit", False),
        ("3 of 4", "3 of 5", False),
        ("3 of 4", "3", False),
        ("-0.2", "0.2", False),
    ],
)
def test_a_sentence_may_show_more_digits_and_no_other_number(before, now, same):
    assert same_numbers(before, now) is same


@pytest.mark.parametrize(
    ("now", "same"),
    [
        ("lastbit eos --lr 0.1 --depth 1 3", True),
        ("lastbit eos --depth 1 3 --lr 0.1", True),
        ("lastbit eos --depth 3 1 --lr 0.1", False),
        ("lastbit eos --depth 1 3", False),
        ("lastbit trace --depth 1 3 --lr 0.1", False),
    ],
)
def test_a_command_may_order_its_options_otherwise(now, same):
    assert (differences("eos", {"command": "lastbit eos --lr 0.1 --depth 1 3"}, {"command": now}) == []) is same
