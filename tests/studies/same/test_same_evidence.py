"""False alarms and missed defects of forced trainings, on networks that had no part in setting the limits.

One reference for each network and seed is recorded with its units of rounding, and every candidate is held against it.
What --quick would have said is judged on the same tables. Limits stay as they are, whatever is found here.
"""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from same_corpus import NETWORKS, PAIRS, defects, harmless
from same_runs import Reference, both, is_right
from scipy.stats import binomtest

from lastbit.core.errors import LastbitError

CI = {
    "residual": {
        "harmless": ("--variant norms", "--variant unfold"),
        "an average misses one update": ("--defect missed",),
    },
    "gated": {"gradient x (1 + 1e-05)": ("--defect gradient",)},
}
"""Kinds and options of candidates, by network: those of one are held against one record, which takes seven runs."""


JUDGED = {group: {} for group in PAIRS}
"""Pairs with their two judgements, thorough and quick, of the networks that were gone through so far."""


def held(reference, pair):
    """Return a pair with its two judgements; none of them where the processor lacks the format."""
    try:
        return pair, *both(reference.against(pair))
    except LastbitError as error:
        if not (is_of_precision(pair) and "could not create a primitive" in str(error)):
            raise
        return (pair,)


def gone_through(group, network, folder):
    """Judge the pairs of a network, two at a time, and keep what was said."""
    answers = JUDGED[group].setdefault(network.name, [])
    for seed in network.seeds(group):
        pairs = [pair for make in PAIRS[group] for pair in make(network, seed)]
        with Reference(network, seed, folder / str(seed)) as reference, ThreadPoolExecutor(2) as pool:
            answers += pool.map(partial(held, reference), pairs)
    return answers


def wrong(answers, quick):
    """Return what was said of the pairs that were not told rightly."""
    return [
        f"{pair.network.name} {' '.join(pair.words)}: {judgements[quick].answer}"
        for pair, *judgements in answers
        if judgements and not (quick and is_of_precision(pair)) and not is_right(pair, judgements[quick])
    ]


def said(right, number):
    """A share with its exact 95% interval."""
    interval = binomtest(right, number).proportion_ci(0.95, method="exact")
    return f"{right} of {number} [{100 * interval.low:.1f}%, {100 * interval.high:.1f}%]"


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("name", CI)
def test_some_pairs_are_told_apart(name, tmp_path):
    (network,) = (one for one in NETWORKS if one.name == name)
    every = [pair for make in (harmless, defects) for pair in make(network, seed=1)]
    pairs = [
        next(pair for pair in every if pair.kind == kind and words in " ".join(pair.words))
        for kind, options in CI[name].items()
        for words in options
    ]
    reference = Reference(network, 1, tmp_path)
    for pair, thorough, quick in (held(reference, pair) for pair in pairs):
        assert is_right(pair, thorough), (pair.words, thorough.findings)
        assert is_right(pair, quick), (pair.words, quick.findings)


@pytest.mark.evidence
@pytest.mark.parametrize("group", PAIRS)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_pairs_of_a_network(network, group, tmp_path, record_property):
    answers = gone_through(group, network, tmp_path)
    unable = [" ".join(pair.words) for pair, *judgements in answers if not judgements]
    missed = [wrong(answers, quick) for quick in (False, True)]
    told = [f"{len(answers) - len(unable)} pairs", *(f"not to be run on this processor: {words}" for words in unable)]
    told += [f"{how}: {'; '.join(one) or 'all right'}" for how, one in zip(("thorough", "quick"), missed, strict=True)]
    record_property("measured", ", ".join(told))
    assert not missed[0], missed[0]


def of_all(group):
    """The answers on all networks."""
    if len(JUDGED[group]) < len(NETWORKS):
        pytest.skip("says something of all networks together only")
    return [answer for answers in JUDGED[group].values() for answer in answers if len(answer) > 1]


@pytest.mark.evidence
@pytest.mark.parametrize("quick", [False, True])
def test_harmless_pairs_raise_no_alarm(quick, record_property):
    answers = of_all("harmless")
    alarms = wrong(answers, quick)
    equal = sum(judgements[quick].answer == "bit_for_bit" for _, *judgements in answers)
    measured = f"false alarms in {said(len(alarms), len(answers))}, {equal} bit for bit: {'; '.join(alarms) or 'none'}"
    record_property("measured", measured)
    assert len(answers) - equal >= 200
    assert quick or not alarms, measured


@pytest.mark.evidence
@pytest.mark.parametrize("quick", [False, True])
def test_defects_are_found(quick, record_property):
    found = defaultdict(list)
    answers = of_all("defects")
    for pair, *judgements in answers:
        if not (quick and is_of_precision(pair)):
            found[pair.kind].append(is_right(pair, judgements[quick]))
    missed = wrong(answers, quick)
    shares = [f"{kind}: {said(sum(right), len(right))}" for kind, right in found.items()]
    record_property("measured", "; ".join([*shares, *missed]))
    assert quick or not missed, missed


def is_of_precision(pair):
    """Whether it needs the staircase, which --quick has not."""
    return "--precision" in pair.words
