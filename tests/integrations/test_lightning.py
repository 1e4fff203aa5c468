"""Callbacks in real fits of Lightning: the bits of a plain loop, of an uninterrupted fit, of every process."""

import csv
import os
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from paged import run_page

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.curvature import ModelLoss

pytestmark = [pytest.mark.evidence, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).parents[2]
KINDS = [("auto", {"k": 3}), ("rescale", {"k": 5}), ("rounding", {"seed": 3}), ("ulp", {"seed": 1, "step": 4})]


@pytest.fixture(scope="module")
def own():
    """The callbacks."""
    pytest.importorskip("lightning")
    return import_module("lastbit.integrations.lightning")


@pytest.fixture(scope="module")
def small(own):
    """The trainings of `lightning_trainings`."""
    return import_module("lightning_trainings")


@pytest.fixture(scope="module")
def bare(small, tmp_path_factory):
    """The weights after a fit without callbacks."""
    return small.fit(tmp_path_factory.mktemp("bare"))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("perturb", "parameters"), KINDS, ids=[kind for kind, _ in KINDS])
def test_a_perturbed_fit_has_the_bits_of_a_perturbed_loop(own, small, bare, tmp_path, perturb, parameters):
    fitted = small.fit(tmp_path, own.PerturbCallback(perturb, **parameters))
    assert same(fitted, small.plain(lambda one: lb.perturb_optimizer(one, perturb, **parameters)))
    assert not same(fitted, bare)


def test_a_power_of_two_and_index_0_change_no_bit(own, small, bare, tmp_path):
    assert same(bare, small.plain(lambda one: None))
    assert same(bare, small.fit(tmp_path / "four", own.PerturbCallback("rescale", k=4)))
    assert same(bare, small.fit(tmp_path / "none", own.PerturbCallback("rounding", index=0)))


def test_an_index_is_the_twin_of_a_study(own, small, tmp_path):
    second = small.fit(tmp_path / "index", own.PerturbCallback("rescale", index=2))
    assert same(second, small.fit(tmp_path / "k", own.PerturbCallback("rescale", k=5)))


def test_accumulated_gradients_are_one_step(own, small, tmp_path):
    fitted = small.fit(tmp_path, own.PerturbCallback(k=3), accumulate_grad_batches=2)
    assert same(fitted, small.plain(lambda one: lb.perturb_optimizer(one, k=3), accumulates=2))


@pytest.mark.parametrize(("perturb", "parameters"), [KINDS[1], KINDS[2]], ids=["rescale", "rounding"])
def test_every_optimizer_of_a_manual_fit_is_perturbed(own, small, tmp_path, perturb, parameters):
    fitted = small.fit(tmp_path, own.PerturbCallback(perturb, **parameters), module=small.TwoOptimizers())
    assert same(fitted, small.plain_two(lambda one: lb.perturb_optimizer(one, perturb, **parameters)))
    assert not same(fitted, small.plain_two(lambda one: None))


@pytest.mark.parametrize(("perturb", "parameters"), KINDS, ids=[kind for kind, _ in KINDS])
def test_a_resumed_fit_has_the_bits_of_one_that_was_not_interrupted(own, small, bare, tmp_path, perturb, parameters):
    whole = small.fit(tmp_path / "whole", own.PerturbCallback(perturb, **parameters))
    small.fit(tmp_path / "part", own.PerturbCallback(perturb, **parameters), epochs=1)
    at = tmp_path / "part" / "epoch=0.ckpt"
    resumed = small.fit(tmp_path / "rest", own.PerturbCallback(perturb, **parameters), ckpt_path=at)
    assert same(resumed, whole)
    assert not same(resumed, bare)
    # Where the state is what makes the difference, its absence is seen.
    state = torch.load(at, weights_only=True)
    assert state["callbacks"]["PerturbCallback"] == {"steps": [small.BATCHES]}
    if perturb == "rounding":
        del state["callbacks"]["PerturbCallback"]
        torch.save(state, tmp_path / "stateless.ckpt")
        other = own.PerturbCallback(perturb, **parameters)
        assert not same(whole, small.fit(tmp_path / "other", other, ckpt_path=tmp_path / "stateless.ckpt"))


def test_a_trainer_that_fits_again_goes_on_and_a_new_one_begins_anew(own, small, tmp_path):
    callback = own.PerturbCallback("rounding", seed=3)
    first = small.fit(tmp_path / "first", callback)
    assert same(first, small.fit(tmp_path / "second", callback))
    assert callback.state_dict() == {"steps": [small.EPOCHS * small.BATCHES]}


def test_watching_and_sketching_change_no_bit_and_log_what_the_monitor_measures(own, small, bare, tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(tmp_path)
    loss = ModelLoss(lambda module, batch: torch.nn.functional.mse_loss(module.net(batch[0]), batch[1]))
    watch = own.StabilityCallback(loss, small.examples(), every=4, budget=None, per_layer=True)
    module = small.Regression()
    fitted = small.fit(tmp_path, watch, own.TwinCallback(tmp_path / "w.npz"), module=module, logger=logger)
    assert same(fitted, bare)

    rows = [row for row in csv.DictReader((Path(logger.log_dir) / "metrics.csv").open()) if row["lastbit/ratio"]]
    assert [int(row["step"]) for row in rows] == [4, 8, 12, 16]
    expected = watched_loop(small, every=4)
    for row, record in zip(rows, expected, strict=True):
        assert float(row["lastbit/ratio"]) == pytest.approx(record.ratio, rel=1e-6)
        assert float(row["lastbit/sharpness"]) == pytest.approx(record.sharpness, rel=1e-6)
        assert float(row["lastbit/limit"]) == pytest.approx(record.limit, rel=1e-6)
        assert "lastbit/ratio/net.0" in row
    assert float(module.trainer.callback_metrics["lastbit/ratio"]) == pytest.approx(expected[-1].ratio, rel=1e-6)


def watched_loop(small, every):
    """What `lb.StabilityMonitor` records in a plain loop."""
    net, records = small.network(), []
    optimizer = small.optimizer_of(net.parameters())
    settings = {"every": every, "budget": None, "sinks": [records.append]}
    with lb.StabilityMonitor(net, optimizer, torch.nn.functional.mse_loss, small.examples(), **settings):
        for _ in range(small.EPOCHS):
            for x, y in small.loader():
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(net(x), y).backward()
                optimizer.step()
    return records


def test_sketches_of_two_fits_compare_and_a_resumed_file_is_whole(own, small, bare, tmp_path):
    begun = small.network()
    small.fit(tmp_path / "a", own.TwinCallback(tmp_path / "plain.npz"))
    fitted = small.fit(tmp_path / "b", own.PerturbCallback(k=3), own.TwinCallback(tmp_path / "three.npz"))
    steps = list(range(small.EPOCHS * small.BATCHES + 1))
    apart = lb.compare_sketches(tmp_path / "plain.npz", tmp_path / "three.npz")
    assert apart["step"].values.tolist() == steps
    assert apart["tensor"].values.tolist() == [f"net.{name}" for name, _ in begun.named_parameters()]
    assert apart["all_distance"].values[0] == 0
    exact = [float((one.double() - other.double()).norm()) for one, other in zip(bare, fitted, strict=True)]
    # Six standard deviations of 1/sqrt(2 x 64).
    assert apart["distance"].values[-1] == pytest.approx(exact, rel=6 / np.sqrt(128))

    both = [own.PerturbCallback(k=3), own.TwinCallback(tmp_path / "resumed.npz")]
    small.fit(tmp_path / "c", *both, epochs=2)  # two epochs, of which the second is taken again
    both = [own.PerturbCallback(k=3), own.TwinCallback(tmp_path / "resumed.npz")]
    small.fit(tmp_path / "d", *both, ckpt_path=tmp_path / "c" / "epoch=0.ckpt")
    again = lb.compare_sketches(tmp_path / "three.npz", tmp_path / "resumed.npz")
    assert again["step"].values.tolist() == steps
    assert not again["differs"].values.any()
    with pytest.raises(LastbitError, match=r"three.npz is there already: name another file, or delete it"):
        small.fit(tmp_path / "e", own.TwinCallback(tmp_path / "three.npz"))


def test_stability_is_measured_at_the_same_steps_after_resuming(own, small, tmp_path):
    def watch():
        return own.StabilityCallback(torch.nn.functional.mse_loss, small.examples(), every=4, budget=None)

    small.fit(tmp_path / "part", watch(), epochs=1)
    rest = watch()
    small.fit(tmp_path / "rest", rest, ckpt_path=tmp_path / "part" / "epoch=0.ckpt")
    assert [record.step for record in rest._watching.monitor.records] == [8, 12, 16]


def test_a_fit_that_fails_leaves_no_hook_behind(own, small, tmp_path):
    watch = own.StabilityCallback(torch.nn.functional.mse_loss, small.examples(), every=4)
    module = small.Regression(fails_at=7)
    trainer = small.trainer(tmp_path, own.PerturbCallback(k=3), watch, own.TwinCallback(tmp_path / "w.npz"))
    with pytest.raises(RuntimeError, match="on purpose"):
        trainer.fit(module, small.loader())
    optimizer = trainer.optimizers[0]
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    with np.load(tmp_path / "w.npz") as kept:
        assert kept["step"].tolist() == list(range(8))


def test_a_measurement_that_fails_is_told_once_and_the_fit_goes_on(own, small, bare, tmp_path):
    calls = []

    def loss(outputs, targets):
        calls.append(1)
        if len(calls) > 4:
            raise ValueError("no more")
        return torch.nn.functional.mse_loss(outputs, targets)

    watch = own.StabilityCallback(loss, small.examples(), every=2, budget=None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert same(bare, small.fit(tmp_path, watch))
    mine = [str(one.message) for one in told if "lastbit" in str(one.filename) or "stability" in str(one.message)]
    assert mine == ["measuring stability ends here, and the training goes on: no more"]


def test_an_optimizer_that_is_not_there_is_refused_as_the_fit_begins(own, small, tmp_path):
    watch = own.StabilityCallback(torch.nn.functional.mse_loss, small.examples(), optimizer=1)
    with pytest.raises(LastbitError, match="optimizer = 1: the trainer has 1 optimizer"):
        small.fit(tmp_path, watch)


def test_two_processes_perturb_alike(own, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "support"), *sys.path])}
    program = ROOT / "tests" / "evidence" / "programs" / "lightning_ddp.py"
    done = subprocess.run(
        [sys.executable, program, tmp_path], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    read = {path.stem: path.read_text().split(" ", 1) for path in tmp_path.glob("*.txt")}
    digests = {
        name: [read[f"{name}-{rank}"][0] for rank in (0, 1)] for name in ("plain", "attached", "perturbed", "four")
    }
    assert all(first == second for first, second in digests.values())
    assert digests["perturbed"] == digests["attached"] != digests["plain"] == digests["four"]
    # The first process measures for both, and writes.
    assert read["plain-0"][1] == str(sorted(f"lastbit/{name}" for name in ("limit", "ratio", "sharpness")))
    assert read["plain-1"][1] == "[]"
    assert lb.compare_sketches(tmp_path / "plain.npz", tmp_path / "perturbed.npz")["differs"].values[-1].any()


def test_the_page_runs(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page("lightning.md")
