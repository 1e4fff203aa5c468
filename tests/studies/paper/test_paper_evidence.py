"""What docs/paper.md says of scale small, a fresh run says too: equal on the machine of the page, alike on others."""

import json
from pathlib import Path

import pytest

from lastbit.studies.paper.register import claims
from lastbit.studies.paper.run import paper
from lastbit.studies.paper.settings import IDS, SCALES

ROOT = Path(__file__).parents[3]
STORED = ROOT / "tests" / "data" / "paper-small.json"

ARITHMETIC = ("torch", "numpy", "processor", "vector instructions", "mkl", "device")
"""Of the environment: where these agree, so does every bit."""


def forms(row):
    return [row["published"], *([row["found"]] if row["found"] else [])]


def is_alike(fresh, stored):
    """Whether two estimates from different machines can be of one quantity: where both have intervals, these meet."""
    if fresh["estimate"] is None or stored["estimate"] is None:
        return fresh["estimate"] == stored["estimate"]
    if None in (fresh["low"], fresh["high"], stored["low"], stored["high"]):
        return True  # nothing says how far a number without an interval may lie from another draw of it
    return fresh["low"] <= stored["high"] and stored["low"] <= fresh["high"]


@pytest.mark.parametrize(
    ("fresh", "stored", "said"),
    [
        ((1.2, 1.0, 1.4), (1.0, 0.9, 1.3), True),
        ((1.4, 1.2, 1.6), (1.0, 0.9, 1.3), True),
        ((1.5, 1.4, 1.6), (1.0, 0.9, 1.3), False),
        ((0.5, 0.4, 0.6), (1.0, 0.9, 1.3), False),
        ((None, None, None), (1.0, 0.9, 1.3), False),
    ],
)
def test_numbers_are_compared_by_intervals(fresh, stored, said):
    names = ("estimate", "low", "high")
    assert is_alike(dict(zip(names, fresh, strict=True)), dict(zip(names, stored, strict=True))) is said


def test_the_page_is_that_of_the_stored_result():
    stored = json.loads(STORED.read_text("utf-8"))
    page = (ROOT / "docs" / "paper.md").read_text("utf-8")
    assert [row["id"] for row in stored["claims"]] == list(IDS)
    assert stored["verdict"] in page.replace("\\", "")
    for row in stored["claims"]:
        assert row["why"] in page.replace("\\", ""), row["id"]
        assert list((ROOT / "docs" / "images" / "paper").glob(f"{row['id']}-*.png")), row["id"]


def test_every_claim_is_complete():
    for claim in claims(["all"]):
        assert set(claim.scales) == set(SCALES)
        names = [piece.name for piece in claim.pieces("small")]
        assert len(names) == len(set(names)) > 0
        for form in claim.forms.values():
            assert all(word in form.rule.lower() for word in ("held", "undecided")), (claim.id, form.rule)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What two runs of all claims said, one after the other."""
    return [paper("all", scale="small", out=tmp_path_factory.mktemp("paper"), quiet=True).to_json() for _ in range(2)]


@pytest.mark.evidence
def test_a_second_run_gives_the_same_numbers(runs, record_property):
    first, second = ([forms(row) for row in run["claims"]] for run in runs)
    numbers = [one["value"] for row in first for form in row for one in form["numbers"]]
    record_property("measured", f"{len(numbers)} numbers of {len(first)} claims compared")
    assert len(numbers) > 100
    assert first == second


@pytest.mark.evidence
def test_a_fresh_run_says_the_same(runs, record_property):
    stored = json.loads(STORED.read_text("utf-8"))
    fresh = runs[0]
    record_property("measured", fresh["verdict"])
    here, there = ({name: run["environment"][name] for name in ARITHMETIC} for run in (fresh, stored))
    for before, now in zip(stored["claims"], fresh["claims"], strict=True):
        for old, new in zip(forms(before), forms(now), strict=True):
            assert new["verdict_kind"] == old["verdict_kind"], before["id"]
            if here == there:
                assert new["numbers"] == old["numbers"], before["id"]
            for was, one in zip(old["numbers"], new["numbers"], strict=True):
                assert is_alike(one["value"], was["value"]), (before["id"], was["name"])
