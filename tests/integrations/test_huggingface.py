"""Callbacks in real trainings by transformers: the bits of a plain loop and of an uninterrupted training."""

import json
import warnings
from importlib import import_module

import numpy as np
import pytest
import torch
from paged import run_page

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.curvature import ModelLoss

pytestmark = [pytest.mark.evidence, pytest.mark.filterwarnings("ignore")]

KINDS = [("auto", {"k": 3}), ("rescale", {"k": 5}), ("rounding", {"seed": 3}), ("ulp", {"seed": 1, "step": 4})]
LOSS = ModelLoss(lambda model, batch: model(**batch)["loss"])


@pytest.fixture(scope="module")
def own():
    """The callbacks."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    return import_module("lastbit.integrations.huggingface")


@pytest.fixture(scope="module")
def small(own):
    """The trainings of `hugging_face_trainings`."""
    return import_module("hugging_face_trainings")


@pytest.fixture(scope="module")
def bare(small, tmp_path_factory):
    """The weights after a training without callbacks."""
    return small.train(tmp_path_factory.mktemp("bare"))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("perturb", "parameters"), KINDS, ids=[kind for kind, _ in KINDS])
def test_a_perturbed_training_has_the_bits_of_a_perturbed_loop(own, small, bare, tmp_path, perturb, parameters):
    trained = small.train(tmp_path, own.PerturbCallback(perturb, **parameters))
    assert same(trained, small.plain(lambda one: lb.perturb_optimizer(one, perturb, **parameters)))
    assert not same(trained, bare)


def test_a_power_of_two_and_index_0_change_no_bit(own, small, bare, tmp_path):
    assert same(bare, small.plain(lambda one: None))
    assert same(bare, small.train(tmp_path / "four", own.PerturbCallback("rescale", k=4)))
    assert same(bare, small.train(tmp_path / "none", own.PerturbCallback("rounding", index=0)))


def test_accumulated_gradients_are_one_step(own, small, tmp_path):
    trained = small.train(tmp_path, own.PerturbCallback(k=3), gradient_accumulation_steps=2)
    assert same(trained, small.plain(lambda one: lb.perturb_optimizer(one, k=3), accumulates=2))


@pytest.mark.parametrize("restore", [False, True], ids=["as it is", "restore_callback_states"])
@pytest.mark.parametrize(("perturb", "parameters"), KINDS, ids=[kind for kind, _ in KINDS])
def test_a_resumed_training_has_the_bits_of_one_that_was_not_interrupted(
    own, small, bare, tmp_path, perturb, parameters, restore
):
    whole = small.train(tmp_path / "whole", own.PerturbCallback(perturb, **parameters))
    at = tmp_path / "whole" / f"checkpoint-{small.BATCHES}"
    settings = {"restore_callback_states_from_checkpoint": restore}
    resumed = small.train(tmp_path / "rest", own.PerturbCallback(perturb, **parameters), resume=str(at), **settings)
    assert same(resumed, whole)
    assert not same(resumed, bare)
    if perturb == "rounding":  # where the state is what makes the difference, its absence is seen
        state = json.loads((at / "trainer_state.json").read_text())
        assert state["stateful_callbacks"].pop("PerturbCallback")["attributes"] == {"steps": [small.BATCHES]}
        (at / "trainer_state.json").write_text(json.dumps(state))
        late = small.train(tmp_path / "late", own.PerturbCallback(perturb, **parameters), resume=str(at))
        assert not same(late, whole)


def test_a_callback_that_is_used_again_begins_anew(own, small, tmp_path):
    callback = own.PerturbCallback("rounding", seed=3)
    first = small.train(tmp_path / "first", callback)
    assert same(first, small.train(tmp_path / "second", callback))
    assert callback.state()["attributes"] == {"steps": [small.EPOCHS * small.BATCHES]}


def test_watching_and_sketching_change_no_bit_and_log_what_the_monitor_measures(own, small, bare, tmp_path):
    trainer = small.trainer(tmp_path, own.TwinCallback(tmp_path / "w.npz"), logging_steps=2)
    trainer.add_callback(own.StabilityCallback(trainer, LOSS, small.examples(), every=4, budget=None))
    trainer.train()
    assert same(small.weights(trainer.model), bare)
    history = trainer.state.log_history
    logged = [entry for entry in history if "lastbit/ratio" in entry]
    assert [entry["step"] for entry in logged] == [4, 8, 12, 16]
    # What the Trainer logs itself is still logged, also at the steps that were measured.
    assert [entry["step"] for entry in history if "learning_rate" in entry] == list(range(2, 19, 2))
    for entry, record in zip(logged, watched_loop(small, every=4), strict=True):
        for name in ("ratio", "sharpness", "limit"):
            assert entry[f"lastbit/{name}"] == pytest.approx(getattr(record, name), rel=1e-6)


def watched_loop(small, every):
    """What `lb.StabilityMonitor` records in a plain loop."""
    records, kept = [], []

    def watch(optimizer):
        model = small.Regression()
        # The same weights, held by the optimizer of the loop.
        for name, weight in zip(dict(model.named_parameters()), optimizer.param_groups[0]["params"], strict=True):
            owner, _, last = name.rpartition(".")
            setattr(model.get_submodule(owner), last, weight)
        settings = {"every": every, "budget": None, "sinks": [records.append]}
        monitor = lb.StabilityMonitor(model, optimizer, LOSS, small.examples(), **settings)
        kept.append(monitor.__enter__())

    small.plain(watch)
    assert kept
    return records


def test_sketches_of_two_trainings_compare_and_a_resumed_file_is_whole(own, small, bare, tmp_path):
    small.train(tmp_path / "a", own.TwinCallback(tmp_path / "plain.npz"))
    trained = small.train(tmp_path / "b", own.PerturbCallback(k=3), own.TwinCallback(tmp_path / "three.npz"))
    steps = list(range(small.EPOCHS * small.BATCHES + 1))
    apart = lb.compare_sketches(tmp_path / "plain.npz", tmp_path / "three.npz")
    assert apart["step"].values.tolist() == steps
    assert apart["all_distance"].values[0] == 0
    exact = [float((one.double() - other.double()).norm()) for one, other in zip(bare, trained, strict=True)]
    # Six standard deviations of 1/sqrt(2 x 64).
    assert apart["distance"].values[-1] == pytest.approx(exact, rel=6 / np.sqrt(128))

    both = [own.PerturbCallback(k=3), own.TwinCallback(tmp_path / "resumed.npz")]
    small.train(tmp_path / "c", *both, epochs=2)  # two epochs, of which the second is taken again
    both = [own.PerturbCallback(k=3), own.TwinCallback(tmp_path / "resumed.npz")]
    small.train(tmp_path / "d", *both, resume=str(tmp_path / "c" / f"checkpoint-{small.BATCHES}"))
    again = lb.compare_sketches(tmp_path / "three.npz", tmp_path / "resumed.npz")
    assert again["step"].values.tolist() == steps
    assert not again["differs"].values.any()
    with pytest.raises(LastbitError, match=r"three.npz is there already: name another file, or delete it"):
        small.train(tmp_path / "e", own.TwinCallback(tmp_path / "three.npz"))


def test_stability_is_measured_at_the_same_steps_after_resuming(own, small, tmp_path):
    small.train(tmp_path / "part", epochs=1)
    trainer = small.trainer(tmp_path / "rest")
    trainer.add_callback(own.StabilityCallback(trainer, LOSS, small.examples(), every=4, budget=None))
    trainer.train(resume_from_checkpoint=str(tmp_path / "part" / f"checkpoint-{small.BATCHES}"))
    assert [entry["step"] for entry in trainer.state.log_history if "lastbit/ratio" in entry] == [8, 12, 16]


def test_a_training_that_fails_leaves_an_optimizer_that_was_never_touched(own, small, bare, tmp_path):
    model = small.Regression()
    trainer = small.trainer(tmp_path, own.PerturbCallback(k=3), small.Fails(7), model=model)
    trainer.add_callback(own.StabilityCallback(trainer, LOSS, small.examples(), every=4))
    with pytest.raises(RuntimeError, match="on purpose"):
        trainer.train()
    optimizer = trainer.optimizer.optimizer
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    # A fresh start with the callback taken out is a plain training.
    trainer.remove_callback(own.PerturbCallback)
    trainer.remove_callback(own.StabilityCallback)
    with torch.no_grad():
        for weight, begun in zip(model.parameters(), small.Regression().parameters(), strict=True):
            weight.copy_(begun)
    optimizer.state.clear()
    trainer.train()
    assert same(small.weights(model), bare)


def test_a_measurement_that_fails_is_told_once_and_the_training_goes_on(own, small, bare, tmp_path):
    calls = []

    def loss(model, batch):
        calls.append(1)
        if len(calls) > 4:
            raise ValueError("no more")
        return model(**batch)["loss"]

    trainer = small.trainer(tmp_path)
    watch = own.StabilityCallback(trainer, ModelLoss(loss), small.examples(), every=2, budget=None)
    trainer.add_callback(watch)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer.train()
    assert same(small.weights(trainer.model), bare)
    mine = [str(one.message) for one in told if "stability" in str(one.message)]
    assert mine == ["measuring stability ends here, and the training goes on: no more"]


def test_a_watch_needs_its_trainer(own, small):
    with pytest.raises(
        LastbitError, match=r"trainer is a function: once there is a Trainer, write trainer\.add_callback"
    ):
        own.StabilityCallback(torch.nn.functional.mse_loss, LOSS, small.examples())


def test_the_page_runs(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page("huggingface.md")
