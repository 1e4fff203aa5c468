"""False alarms and missed defects of forced trainings, on networks that had no part in setting the limits.

One reference for each network and seed is recorded with its units of rounding, and every candidate is held against it.
What --quick would have said is judged on the same tables. Limits stay as they are, whatever is found here.
"""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from same_corpus import NETWORKS, SEEDS, arithmetic, defects, harmless
from same_runs import Reference, both, is_right
from scipy.stats import binomtest

CI = {
    "residual": {
        "harmless": ("--variant norms", "--variant unfold"),
        "an average misses one update": ("--defect missed",),
    },
    "gated": {"gradient x (1 + 1e-05)": ("--defect gradient",)},
}
"""Kinds and options of candidates, by network: those of one are held against one record, which takes seven runs."""


def held(reference, pairs):
    return [(pair, *both(pair, reference.against(pair))) for pair in pairs]


def said(right, number):
    """A share with its exact 95% interval."""
    interval = binomtest(right, number).proportion_ci(0.95, method="exact")
    return f"{right} of {number} [{100 * interval.low:.1f}%, {100 * interval.high:.1f}%]"


@pytest.mark.slow
@pytest.mark.parametrize("name", CI)
def test_some_pairs_are_told_apart(name, tmp_path):
    (network,) = (one for one in NETWORKS if one.name == name)
    every = [pair for make in (harmless, defects) for pair in make(network, seed=1)]
    pairs = [
        next(pair for pair in every if pair.kind == kind and words in " ".join(pair.words))
        for kind, options in CI[name].items()
        for words in options
    ]
    for pair, thorough, quick in held(Reference(network, 1, tmp_path), pairs):
        assert is_right(pair, thorough), (pair.words, thorough.findings)
        assert is_right(pair, quick), (pair.words, quick.findings)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """All pairs with their two judgements."""
    work = [
        (
            Reference(network, seed, tmp_path_factory.mktemp(network.name)),
            [pair for make in (harmless, arithmetic, defects) for pair in make(network, seed)],
        )
        for network in NETWORKS
        for seed in SEEDS
    ]
    with ThreadPoolExecutor(2) as pool:
        return [one for batch in pool.map(lambda job: held(*job), work) for one in batch]


@pytest.mark.evidence
@pytest.mark.parametrize("quick", [False, True])
def test_harmless_pairs_raise_no_alarm(quick, judged, record_property):
    answers = [(pair, judgements[quick]) for pair, *judgements in judged if pair.kind == "harmless"]
    alarms = [" ".join((pair.network.name, *pair.words)) for pair, answer in answers if not is_right(pair, answer)]
    equal = sum(answer.answer == "bit_for_bit" for _, answer in answers)
    measured = f"false alarms in {said(len(alarms), len(answers))}, {equal} bit for bit: {'; '.join(alarms) or 'none'}"
    record_property("measured", measured)
    assert len(answers) - equal >= 200
    assert quick or not alarms, measured


@pytest.mark.evidence
@pytest.mark.parametrize("quick", [False, True])
def test_defects_are_found(quick, judged, record_property):
    found = defaultdict(list)
    missed = []
    for pair, *judgements in judged:
        if pair.kind != "harmless" and not (quick and is_of_precision(pair)):
            found[pair.kind].append(right := is_right(pair, judgements[quick]))
            if not right:
                missed.append(f"{pair.network.name} {' '.join(pair.words)}: {judgements[quick].answer}")
    shares = [f"{kind}: {said(sum(right), len(right))}" for kind, right in found.items()]
    record_property("measured", "; ".join([*shares, *missed]))
    assert quick or not missed, missed


def is_of_precision(pair):
    """Whether it needs the staircase, which --quick has not."""
    return "--precision" in pair.words
