"""What calms a training of ten thousand images, and a residual network, at three lengths under two perturbations.

Nothing is expected of the changes: what is found stands in docs/calm.md, whatever it is. Set LASTBIT_STUDIES to a
folder to keep the studies there, and to go on with those that are there.
"""

import os
from pathlib import Path

import pytest

import lastbit as lb
from lastbit.report.formatting import number, show, show_ratio

pytestmark = pytest.mark.evidence

CHANGES = ("gelu", "float64", "decay/10", "ema=0.995")
TASKS = {
    "images": {"task": "fashion-mnist", "train_size": 10_000},
    "resnet8": {"task": "digits", "model": "resnet8"},
}
LENGTHS = {"images": (1, 2, 4), "resnet8": (2, 4, 8)}
CASES = [(name, epochs, by) for name in TASKS for by in ("rescale", "reorder") for epochs in LENGTHS[name]]


@pytest.fixture
def place(tmp_path):
    kept = os.environ.get("LASTBIT_STUDIES")
    return tmp_path if kept is None else Path(kept)


@pytest.mark.parametrize(("name", "epochs", "perturb"), CASES)
def test_the_table_of_what_calms(name, epochs, perturb, place, record_property):
    out = place / f"{name}-{epochs}-{perturb}"
    if (out / "study.json").exists():
        study = lb.remedy(resume=out, quiet=True)
    else:
        how = {"seeds": 6, "perturbations": 4, "confirm": False, "perturb": perturb, "threads": 1, "quiet": True}
        study = lb.remedy(change=CHANGES, epochs=epochs, out=out, **TASKS[name], **how)
    found = study.result
    assert found.finished
    assert found.control.bitwise_identical
    told = []
    if found.base is not None:
        parts = found.base.loss or found.base.metric
        told = [f"SD {number(parts.sigma_last_bit.estimate)} of {number(parts.sigma_total.estimate)}"]
    if not found.nothing_to_calm:
        assert {one.name: one.seeds for one in found.changes} == dict.fromkeys(CHANGES, 6)
        for one in found.changes:
            ratio, moved = show_ratio(one.last_bit), show(one.difference, found.points)
            told.append(f"{one.name}: {ratio.value} [{ratio.interval}], {moved.value}")
    record_property("measured", "; ".join([*told, found.verdict]))


@pytest.mark.parametrize("name", TASKS)
def test_why_it_grows_and_when_the_last_bit_is_of_order_one(name, place, record_property):
    out = place / f"{name}-trace"
    if (out / "study.json").exists():
        study = lb.trace(resume=out, quiet=True)
    else:
        how = {"mechanism": True, "threads": 1, "quiet": True}
        study = lb.trace(epochs=LENGTHS[name][-1], out=out, **TASKS[name], **how)
    found = study.result
    assert found.finished
    told = [found.verdict, f"mechanism {found.mechanism.kind}, {found.mechanism.reason}"]
    share = show(found.mechanism.linear_share)
    told.append(f"linear share {share.value} [{share.interval}]")
    for one in found.horizons:
        step = show(one.step, digits=3)
        told.append(f"{one.dtype}: {one.kind} {step.value} [{step.interval}] within {one.within}")
    record_property("measured", "; ".join(told))
