"""What a study keeps of its weights: digests, counts and sketches of all, the weights themselves where asked."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.core.status import Role
from lastbit.dynamics.sketch import CountSketch
from lastbit.dynamics.sketch_interval import distance_interval, ratio_interval
from lastbit.stats import mean_relative_l1
from lastbit.store import StudyFolder
from lastbit.studies.audit.distances import Distances
from lastbit.studies.audit.result import conclude
from lastbit.studies.audit.sketched import Weights, relative_l2
from lastbit.studies.frame.control import compare_repeat
from lastbit.studies.frame.weighing import Weigher
from lastbit.train.weighed import of_weights

CELLS = 3


def deep():
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


class Seen:
    """The weights that the runs of a study were weighed with."""

    def __init__(self, monkeypatch):
        self.weights, call = {}, Weigher.__call__

        def watched(weigher, when, weights, buffers):
            copies = [{name: x.clone() for name, x in each.items()} for each in (weights, buffers)]
            self.weights[weigher.files.arrays_path.stem, when] = copies
            return call(weigher, when, weights, buffers)

        monkeypatch.setattr(Weigher, "__call__", watched)

    def flat(self, run, when):
        return torch.cat([x.float().reshape(-1) for x in self.weights[run, when][0].values()]).numpy()


@pytest.fixture
def seen(monkeypatch):
    return Seen(monkeypatch)


@pytest.fixture
def audited(toy_task, tmp_path):
    def run(name="s", **given):
        own = {"seeds": CELLS, "perturbations": 2, "workers": 1, "quiet": True, "out": tmp_path / name}
        return lb.audit(toy_task(model=deep), **{**own, **given})

    return run


def files_in(study, folder):
    there = study.path / folder
    return sorted(path.name for path in there.iterdir()) if there.is_dir() else []


def test_small_networks_keep_their_weights_and_larger_ones_do_not(audited, seen, monkeypatch):
    small = audited("small")
    names = [f"seed{seed:03d}-p{twin:03d}.safetensors" for seed in range(CELLS) for twin in range(2)]
    assert files_in(small, "weights") == names
    assert files_in(small, "checkpoints") == []
    exact = [mean_relative_l1(*(seen.flat(f"seed{s:03d}-p{p:03d}", "final") for p in (1, 0))) for s in range(CELLS)]
    assert small.result.weight_distance_last_bit.estimate == pytest.approx(np.mean(exact), rel=1e-12)
    assert "sketches" not in small.result.weight_distance_last_bit.note
    for row in small.result.perturbation.runs:
        base = f"{row.run[:7]}-p000"
        apart = [float(np.mean(seen.flat(row.run, w) != seen.flat(base, w))) for w in ("first", "final")]
        assert [row.first_step, row.last_step] == apart

    monkeypatch.setattr("lastbit.studies.frame.weighing.SMALL", 1)
    monkeypatch.setattr("lastbit.studies.audit.distances.SMALL", 1)
    large = audited("large")
    assert files_in(large, "weights") == files_in(large, "checkpoints") == []
    assert large.result.perturbation == small.result.perturbation
    assert large.result.control == small.result.control
    assert (large.verdict, large.result.loss) == (small.verdict, small.result.loss)
    low, high = distance_interval()
    for name in ("weight_distance_last_bit", "weight_distance_seed"):
        found = getattr(large.result, name)
        assert f"relative L2, by sketches: the true one is {low:.2f} to {high:.2f} times as large" in found.note
    bases = [seen.flat(f"seed{seed:03d}-p000", "final").astype(float) for seed in range(CELLS)]
    norm = np.linalg.norm
    true = np.mean([2 * norm(a - b) / (norm(a) + norm(b)) for i, a in enumerate(bases) for b in bases[:i]])
    found = large.result.weight_distance_seed
    assert found.low < true < found.high
    assert found.estimate == pytest.approx(true, rel=0.25)
    assert "estimated from sketches of the weights" in large.report().read_text("utf-8")


@pytest.mark.parametrize(("keep", "kept"), [("base", ["seed000-p000.safetensors"]), ("none", [])])
def test_weights_stay_as_asked_and_an_exact_repeats_never(audited, keep, kept):
    study = audited(keep, keep_weights=keep, seeds=1)
    assert files_in(study, "weights") == kept
    assert files_in(study, "checkpoints") == []
    assert study.result.perturbation.runs[0].last_step > 0
    assert f"keep_weights='{keep}'" in study.result.command


def test_a_run_that_is_made_again_finds_its_base_or_keeps_its_count(audited, toy_task):
    study = audited("cut", keep_weights="none", seeds=2)
    whole = study.to_json()
    for run in ("seed000-p001", "seed001-p000", "seed001-repeat"):
        (study.path / "arrays" / f"{run}.npz").unlink()
    again = lb.audit(toy_task(model=deep), resume=study.path, quiet=True).to_json()
    left_out = ("runs", "execution")
    assert {n: v for n, v in again.items() if n not in left_out} == {
        n: v for n, v in whole.items() if n not in left_out
    }
    assert files_in(study, "checkpoints") == []


def former(study, seen, runs):
    """Put the weights of runs among their arrays, as they were before there were digests."""
    with StudyFolder.resume(study.path) as folder:
        for record in folder.runs():
            if record.run in runs:
                new = folder.arrays(record.run)
                plain = {n: x for n, x in new.items() if not n.startswith(("weights_", "buffers_"))}
                buffers = seen.weights[record.run, "final"][1].values()
                plain |= {f"weights_{when}": seen.flat(record.run, when) for when in ("first", "final")}
                plain["buffers_final"] = torch.cat([x.double().reshape(-1) for x in buffers]).numpy()
                folder.files(record.run).arrays(plain)
                folder.add(record)
                folder.files(record.run).weights_path.unlink(missing_ok=True)
    with sqlite3.connect(study.path / "runs.sqlite") as database:
        database.execute("DROP TABLE landed")


def test_a_study_of_before_is_read_to_the_same_digits(audited, seen):
    study = audited()
    with StudyFolder.read(study.path) as folder:
        whole, every = conclude(folder), [record.run for record in folder.runs()]
    former(study, seen, every)
    with StudyFolder.read(study.path) as folder:
        assert conclude(folder) == whole


def test_a_study_of_before_goes_on(audited, seen, toy_task):
    """Some runs have weights among their arrays, and those made now have digests: a repeat still matches its base."""
    study = audited()
    whole = study.to_json()
    former(study, seen, [f"seed{s:03d}-{what}" for s in range(CELLS) for what in ("p000", "p001", "repeat")])
    for run in ("seed000-repeat", "seed000-p001", "seed001-p000", "seed002-repeat"):
        (study.path / "arrays" / f"{run}.npz").unlink()
    again = lb.audit(toy_task(model=deep), resume=study.path, quiet=True).to_json()
    for name in ("control", "perturbation", "verdict", "weight_distance_last_bit", "weight_distance_seed"):
        assert again[name] == whole[name]


def test_a_repeat_that_differs_in_its_weights_alone_says_where(audited):
    study = audited(seeds=1)
    with StudyFolder.resume(study.path) as folder:
        base, repeat = (next(r for r in folder.runs() if r.role == role) for role in (Role.BASE, Role.REPEAT))
        arrays = folder.arrays(repeat.run)
        last = len(arrays["losses"])
        for name, row, step, what in (
            ("buffers_final_digest", 1, last, "buffers of the result, in 1.running_var"),
            ("weights_final_digest", 3, last, "weights of the result, in 1.bias"),
            ("weights_first_digest", 0, 1, "weights after the first step, in 0.weight"),
        ):
            arrays[name][row, 5] ^= 1
            folder.files(repeat.run).arrays(arrays)
            folder.add(repeat)
            found = compare_repeat(folder, base, replace(repeat))
            assert (found.step, found.what) == (step, what)
        del arrays["weights_final_digest"]
        folder.files(repeat.run).arrays(arrays)
        folder.add(repeat)
        assert compare_repeat(folder, base, repeat) is not None


def test_weights_of_a_command_cannot_be_kept(tmp_path):
    said = r"--keep-weights all: the weights of train stay in its own processes: let the command save them itself"
    with pytest.raises(LastbitError, match=said):
        lb.audit(["python", "train.py"], metric=["loss"], keep_weights="all", quiet=True, out=tmp_path / "s")
    with pytest.raises(LastbitError, match="keep-weights"):
        lb.audit("digits", keep_weights="some", quiet=True, out=tmp_path / "s")


class NoFiles:
    """Of a run that leaves nothing on disk."""

    weights_path = Path("nowhere")


class Nowhere:
    """A study of such runs."""

    def files(self, run):
        return NoFiles()


def relative(one, two):
    flat = [torch.cat([x.double().reshape(-1) for x in each.values()]) for each in (one, two)]
    return float(2 * (flat[0] - flat[1]).norm() / (flat[0].norm() + flat[1].norm()))


def drawn(number):
    """Weights of one tensor, which has the largest error, and a twin of them: far or near, everywhere or in a part."""
    generator = torch.Generator().manual_seed(number)
    one = torch.randn(5000, generator=generator)
    moved = torch.randn(5000, generator=generator) * (torch.arange(5000) % (1 + number % 3) == 0)
    return {"w": one}, {"w": one + 10.0 ** -(number % 7) * moved}


def test_the_stated_error_of_a_distance_covers_and_its_square_is_unbiased(tmp_path):
    squares, covered, covered_of_both = [], [], []
    with StudyFolder.create(tmp_path / "s", {"kind": "audit"}) as folder:
        for number in range(300):
            # The hash hangs on the name: another one for every pair.
            one, two = ({f"w{number}": each["w"]} for each in drawn(number))
            distances = Distances(folder)
            for run, weights in (("a", one), ("b", two)):
                weigh = Weigher(NoFiles(), Role.REPEAT, "none", lends=False)
                distances.noted(run, of_weights(weights, weights, weigh))
            found, exact = distances.between("a", "b"), relative(one, two)
            low, high = distances.error
            covered.append(low <= exact / found <= high)
            squares.append((found / exact) ** 2)
            plan = CountSketch(one)
            alone = relative_l2(*(Weights({(0, 0): (np.array([1]), _one_step(plan(each)))}) for each in (one, two)))
            low, high = ratio_interval()
            covered_of_both.append(low <= exact / alone <= high)
    # 95% of 300, less three standard errors of 1.26%; the mean of squares within four of 0.177 / sqrt(300).
    assert np.mean(covered) >= 0.912
    assert np.mean(covered_of_both) >= 0.912
    assert np.mean(squares) == pytest.approx(1, abs=0.041)
    assert np.mean(covered) < 1  # an interval that always covers says nothing


def _one_step(sketch):
    return replace(sketch, **{n: getattr(sketch, n)[None] for n in ("values", "residuals", "fingerprints")})


@given(st.integers(0, 10_000), st.lists(st.integers(1, 400), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_distances_keep_their_properties(number, sizes):
    generator = torch.Generator().manual_seed(number)
    one, two = ({f"t{i}": torch.randn(n, generator=generator) for i, n in enumerate(sizes)} for _ in range(2))
    distances = Distances(Nowhere())
    for run, weights in (("a", one), ("again", one), ("b", two)):
        distances.noted(run, of_weights(weights, weights, Weigher(NoFiles(), Role.REPEAT, "none", lends=False)))
    assert distances.sketched
    assert distances.between("a", "again") == 0
    assert distances.between("a", "b") == distances.between("b", "a")
    assert 0 < distances.between("a", "b") <= 2
