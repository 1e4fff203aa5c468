"""The corpus holds what it says: rewritten trainings are equal in exact arithmetic, and those with a defect are not.

The oracle is double precision: there every rewriting of a training must come to the same weights, states, averages and
losses up to 1e-10 after all its steps, and every defect must not.
"""

import json
import subprocess
import sys
from collections import Counter

import pytest
from same_corpus import CORPUS, NETWORKS, PAIRS, defects

EQUAL = 1e-10
DEFECT = 1e-8
"""An average forgets: of one update that was missed 113 steps ago, 5e-8 is left."""


def distances(candidates, steps):
    """How far trainings are from their references in double precision, by network and options."""
    words = [sys.executable, str(CORPUS / "agreement.py"), "1", str(steps), "float64"]
    done = subprocess.run(words, input=json.dumps(candidates), capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def check(networks, steps):
    equal = {one.name: [f"--variant {form}" for form in one.variants if form != "inductor"] for one in networks}
    wrong = {
        one.name: sorted({" ".join(pair.words) for pair in defects(one, 1) if pair.step is None or pair.step <= steps})
        for one in networks
    }
    everything = {name: equal[name] + wrong[name] for name in equal}
    found = distances(everything, steps)
    apart = {f"{name} {form}": found[name][form] for name in equal for form in equal[name]}
    assert max(apart.values()) < EQUAL, {form: far for form, far in apart.items() if not far < EQUAL}
    close = {f"{name} {form}": found[name][form] for name in wrong for form in wrong[name]}
    assert min(close.values()) > DEFECT, {form: far for form, far in close.items() if not far > DEFECT}
    return apart, close


@pytest.mark.slow
def test_forms_agree_in_double_precision_and_defects_do_not():
    check([one for one in NETWORKS if one.name in ("residual", "tabular")], steps=24)


@pytest.mark.evidence
def test_every_form_agrees_and_every_defect_does_not(record_property):
    apart, close = check(NETWORKS, steps=120)
    record_property(
        "measured",
        f"{len(apart)} rewritten trainings differ by at most {max(apart.values()):.1e} in double precision, "
        f"{len(close)} with a defect by at least {min(close.values()):.1e}",
    )


@pytest.mark.evidence
def test_compiled_dropout_draws_the_same_masks():
    found = distances({"deep": ["--variant inductor"]}, steps=12)
    assert found["deep"]["--variant inductor"] < EQUAL


def test_the_corpus_is_as_large_as_is_said():
    kinds = Counter(
        pair.kind
        for network in NETWORKS
        for group, made in PAIRS.items()
        for seed in network.seeds(group)
        for pairs in made
        for pair in pairs(network, seed)
    )
    assert kinds["harmless"] >= 200
    assert kinds["arithmetic"] >= 24
    assert len(kinds) >= 15
    assert sum(kinds.values()) - kinds["harmless"] - kinds["arithmetic"] >= 300
    assert all((CORPUS / f"{network.name}.py").is_file() for network in NETWORKS)
