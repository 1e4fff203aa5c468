"""Steps of a task's own, several optimizers, schedules that wait for a plateau, and the selected epoch."""

import numpy as np
import pytest
import torch
from recording import Memory, result, train
from small_trainings import CPU, IMAGES, LABELS, bits, finish, make_task, make_training, sgd
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import WeightedRandomSampler

from lastbit.core.errors import LastbitError
from lastbit.perturb.rescale import Rescale
from lastbit.tasks.metric import ACCURACY, Metric
from lastbit.train.closed_loss import check_closed_loss

VALIDATION = (IMAGES[20:36], LABELS[20:36])


def own_step(state, batch):
    """What the built-in step does."""
    inputs, targets = batch
    state.optimizer.zero_grad()
    loss = F.cross_entropy(state.model(inputs), targets)
    loss.backward()
    state.optimizer.step()
    return loss


def weights(training):
    return {name: bits(weight) for name, weight in training.trained().items()}


def trained(steps=None, perturbation=None, **fields):
    training = make_training(make_task(**fields), perturbation=perturbation)
    finish(training, steps)
    return training


@pytest.mark.parametrize("perturbation", [None, Rescale(k=3)])
def test_a_step_that_does_what_the_built_in_one_does_gives_its_bits(perturbation):
    built_in, own = trained(perturbation=perturbation), trained(step=own_step, perturbation=perturbation)
    assert weights(own) == weights(built_in)
    assert [bits(loss) for loss in own.losses] == [bits(loss) for loss in built_in.losses]


def test_a_step_knows_its_number_and_keeps_what_it_wants_over_a_checkpoint():
    seen = []

    def step(state, batch):
        seen.append(state.step)
        state.kept["sum"] = state.kept.get("sum", torch.zeros(())) + state.step
        state.kept["log"] = [*state.kept.get("log", []), state.step]
        assert state.device == CPU
        assert state.schedulers.keys() == {"optimizer"}
        return own_step(state, batch)

    first = make_training(make_task(step=step))
    finish(first, 4)
    with first.active():
        checkpoint = first.state()
    second = make_training(make_task(step=step))
    with second.active():
        second.restore(checkpoint)
    finish(second)
    assert seen == list(range(10))
    assert second.handed.kept["log"] == list(range(10))
    assert float(second.handed.kept["sum"]) == 45


def test_the_scale_of_mixed_precision_goes_on_where_it_stood():
    def step(state, batch):
        inputs, targets = batch
        state.optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = F.cross_entropy(state.model(inputs).float(), targets)
        state.scaler.scale(loss).backward()
        state.scaler.step(state.optimizer)
        state.scaler.update()
        return loss

    whole = trained(step=step)
    first = make_training(make_task(step=step))
    finish(first, 6)
    with first.active():
        checkpoint = first.state()
    second = make_training(make_task(step=step))
    with second.active():
        second.restore(checkpoint)
    assert second.handed.scaler.get_scale() == first.handed.scaler.get_scale()
    finish(second)
    assert weights(second) == weights(whole)


def test_two_optimizers_of_plain_descent_are_one_with_two_groups():
    def several(params):
        params = list(params)
        return {
            "matrices": torch.optim.SGD([p for p in params if p.ndim > 1], lr=0.1),
            "rest": torch.optim.SGD([p for p in params if p.ndim < 2], lr=0.05),
        }

    def one(params):
        params = list(params)
        groups = [
            {"params": [p for p in params if p.ndim > 1]},
            {"params": [p for p in params if p.ndim < 2], "lr": 0.05},
        ]
        return torch.optim.SGD(groups, lr=0.1)

    two = trained(optimizer=several)
    assert weights(two) == weights(trained(optimizer=one))
    assert list(two.optimizers) == ["matrices", "rest"]
    with pytest.raises(LastbitError, match="the task has the optimizers matrices, rest, where one is needed"):
        assert two.optimizer


def test_each_part_of_a_model_may_have_its_optimizer_and_its_schedule():
    task = make_task(
        optimizer={"conv": sgd, "head": lambda params: torch.optim.Adam(params, lr=0.01)},
        schedule={"conv": lambda optimizer, steps: StepLR(optimizer, 1, gamma=0.5)},
    )
    training = make_training(task, perturbation=Rescale(k=3))
    before = weights(training)
    finish(training, 2)
    after = weights(training)
    assert {name for name in after if after[name] != before[name]} == {n for n in after if not n.startswith("norm")}
    assert training.optimizers["conv"].param_groups[0]["lr"] == pytest.approx(0.025)
    assert training.optimizers["head"].param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize("which", ["conv", "head"])
def test_every_optimizer_is_perturbed(which):
    """The other one does not move its weights, so that a difference is that of this one."""
    rates = {"conv": 0.0, "head": 0.0, which: 0.1}
    task = {"optimizer": {name: lambda params, lr=lr: torch.optim.SGD(params, lr=lr) for name, lr in rates.items()}}
    base, twin = trained(1, schedule=None, **task), trained(1, Rescale(k=3), schedule=None, **task)
    differ = {name for name in weights(base) if weights(base)[name] != weights(twin)[name]}
    assert differ
    assert {name.split(".")[0] for name in differ} == {which}


def test_an_optimizer_that_evaluates_again_gets_its_closure():
    def model():
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))

    def lbfgs(params):
        return torch.optim.LBFGS(params, lr=0.5, max_iter=4)

    training = trained(3, model=model, optimizer=lbfgs, schedule=None, augment=None, augment_draws=0)
    with torch.random.fork_rng():
        reference = make_training(make_task(model=model, optimizer=lbfgs, schedule=None, augment=None, augment_draws=0))
    for index in range(3):
        inputs, targets = reference.next_batch()

        def closure(inputs=inputs, targets=targets):
            reference.optimizer.zero_grad()
            loss = F.cross_entropy(reference.model(inputs), targets)
            loss.backward()
            return loss

        first = reference.optimizer.step(closure)
        assert bits(first) == bits(training.losses[index])
        reference.position += 1
    assert weights(training) == weights(reference)


def test_a_schedule_that_waits_for_a_plateau_sees_the_validation_loss():
    seen = []

    class Watched(ReduceLROnPlateau):
        def step(self, metrics, epoch=None):
            seen.append(metrics)
            super().step(metrics)

    for mode, validation in (("min", VALIDATION), ("max", VALIDATION), ("min", None)):
        seen.clear()
        training = make_training(
            make_task(schedule=lambda o, n, mode=mode: Watched(o, mode, patience=0), validation=validation, epochs=3)
        )
        expected = []
        with training.active():
            while training.position < training.total_steps:
                training.step()
                if training.position % 5 == 0:
                    found = training.validate() if validation else None
                    mean = float(torch.stack(training.losses[-5:]).double().mean())
                    expected.append(mean if found is None else found.loss if mode == "min" else found.metric)
        assert seen == expected


def test_a_plateau_of_the_metric_needs_validation_examples():
    task = make_task(schedule=lambda o, n: ReduceLROnPlateau(o, mode="max"))
    with pytest.raises(LastbitError, match="follows the metric: give the task validation"):
        finish(make_training(task))


def test_the_best_epoch_is_that_of_a_training_which_ends_there():
    """The network kept is the one that a training of so many epochs ends with: nothing else depends on the last."""
    fields = {"schedule": None, "validation": VALIDATION, "epochs": 8}
    outcome, recorder = train(make_task(**fields, select="best"))
    values = outcome.metrics["validation_accuracy"]
    best = int(np.argmax(values))
    assert best < 7
    assert outcome.selected == outcome.steps[best]
    shorter, kept = train(make_task(**{**fields, "epochs": best + 1}))
    assert shorter.selected is None
    for name in ("weights_final_digest", "buffers_final_digest", "per_example", "predictions"):
        assert bits(recorder.arrays_[name]) == bits(kept.arrays_[name])
    assert len(recorder.arrays_["losses"]) == 40
    assert outcome.metrics["validation_loss"][: best + 1] == shorter.metrics["validation_loss"]


def test_a_training_ends_early_where_no_epoch_was_better_for_so_long():
    fields = {"schedule": None, "validation": VALIDATION, "epochs": 12}
    whole, _ = train(make_task(**fields, select="best"))
    values = whole.metrics["validation_accuracy"]
    stop = next(i for i in range(12) if i - int(np.argmax(values[: i + 1])) >= 2)
    assert stop < 11
    outcome, recorder = train(make_task(**fields, select="early", patience=2))
    assert outcome.metrics["validation_accuracy"] == values[: stop + 1]
    assert outcome.selected == 5 * (1 + int(np.argmax(values[: stop + 1])))
    assert len(recorder.arrays_["losses"]) == 5 * (stop + 1)


@pytest.mark.parametrize("select", ["best", "early"])
def test_a_selection_survives_a_run_stopped_at_every_checkpoint(folder, select):
    task = make_task(
        schedule=lambda o, n: ReduceLROnPlateau(o, patience=0),
        validation=VALIDATION,
        epochs=6,
        select=select,
        patience=2,
        step=own_step,
        loss=F.cross_entropy,
        metrics=[ACCURACY, LOSS],
    )
    whole = result(*train(task))
    files = folder.files("cut")
    for _ in range(40):
        try:
            found = train(task, recorder=Memory(files, die_at=1), checkpoint_seconds=0)
        except KeyboardInterrupt:
            continue
        break
    assert result(*found) == whole


LOSS = Metric(
    name="log likelihood",
    per_example=lambda outputs, targets: -F.cross_entropy(outputs, targets, reduction="none"),
)


def test_several_metrics_are_reported_each_with_its_sampling_error():
    rmse = Metric(name="rmse", over_all=lambda y, t: (y.softmax(1)[:, 0] - (t == 0).float()).square().mean().sqrt())
    outcome, recorder = train(make_task(metrics=[LOSS, rmse, ACCURACY]))
    assert list(outcome.metrics) == ["train_loss", "test_loss", "log likelihood", "rmse", "accuracy"]
    assert outcome.metrics["log likelihood"] == pytest.approx(-np.array(outcome.metrics["test_loss"]), rel=1e-6)
    errors = recorder.arrays_["sampling_error"]
    share = outcome.metrics["accuracy"][-1] / 100
    assert errors[2] == pytest.approx(100 * np.sqrt(share * (1 - share) / 19), rel=1e-9)
    assert errors[0] == pytest.approx(recorder.arrays_["per_example"].std(ddof=1) / np.sqrt(20), rel=1e-6)


def test_a_last_batch_may_be_kept_and_a_sampler_draws_the_rest():
    sizes = []
    training = make_training(make_task(drop_last=False, epochs=1))
    training.model.conv.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    finish(training)
    assert sizes == [8, 8, 8, 8, 8, 4]

    def sampler(generator):
        return WeightedRandomSampler([0.0] * 40 + [1.0] * 4, 16, generator=generator)

    task = make_task(sampler=sampler, augment=None, augment_draws=0)
    assert (task.steps_per_epoch, task.total_steps) == (2, 4)
    training = make_training(task)
    inputs, _ = training.next_batch()
    assert {bits(one) for one in inputs} <= {bits(one) for one in IMAGES[40:]}
    first, again, other = (finish(make_training(task, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_a_sampler_that_changes_the_number_of_batches_is_refused():
    lengths = iter([16, 16, 24, 24])
    task = make_task(sampler=lambda generator: range(next(lengths)))
    with pytest.raises(LastbitError, match="gives 3 batches in epoch 2 and 2 in another"):
        finish(make_training(task))


def test_curvature_needs_one_optimizer_and_the_loss_that_the_step_lowers():
    def check(**fields):
        check_closed_loss(make_task(**fields), device=CPU, dtype=torch.float32)

    check()
    check(step=own_step, loss=F.cross_entropy)
    with pytest.raises(LastbitError, match="has a step, but no loss="):
        check(step=own_step)
    with pytest.raises(LastbitError, match="curvature needs as loss= what the step of toy lowers"):
        check(step=own_step, loss=lambda outputs, targets: F.cross_entropy(outputs, targets, label_smoothing=0.1))
    with pytest.raises(LastbitError, match="curvature needs one optimizer, but toy has conv, head"):
        check(optimizer={"conv": sgd, "head": sgd})


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"step": lambda state, batch: None}, "the step must return the loss, which must be a scalar tensor"),
        ({"step": lambda state, batch: state.nothing}, "the step raised AttributeError"),
        ({"step": lambda state, batch: torch.tensor(float("inf"))}, "the loss of the first step is inf"),
        ({"step": 3}, "step must be a function or None, got 3"),
        (
            {"optimizer": {"body": sgd}},
            "optimizer 'body' has the name of no part of the model: its parts are c",
        ),
        ({"optimizer": {"conv": 3}}, r"optimizer\['conv'\] must be a function, got 3"),
        ({"optimizer": lambda params: []}, "the optimizer factory returned none"),
        ({"schedule": {"body": StepLR}}, "schedule 'body' is of no optimizer: they are called optimizer"),
        ({"sampler": lambda generator: [44]}, "draws example 44, but they count from 0 to 43"),
        ({"select": "first"}, "unknown select .first.: choose one of last, best, early"),
        ({"select": "best"}, "needs validation examples: write validation="),
        ({"patience": 0}, "patience must be a whole number of at least 1"),
        ({"drop_last": 1}, "drop_last must be True or False"),
        ({"metrics": [ACCURACY, ACCURACY]}, "a metric's name must be its own"),
        ({"metrics": ACCURACY}, "metrics must be a list"),
        ({"metric": ACCURACY, "metrics": [LOSS]}, "not both"),
        ({"metrics": [Metric(name="test_loss", over_all=len)]}, "a metric's name must be its own"),
        ({"metrics": [ACCURACY, Metric(name="m", over_all=lambda x, y: x)]}, "metric 'm' raised"),
        ({"validation": (IMAGES[:3], LABELS[:2])}, "validation: inputs .* must agree"),
        ({"validation": (IMAGES[:3, :, :2], LABELS[:3])}, "the model raised RuntimeError: .* on validation inputs"),
        ({"batch_size": 45}, "batch size 45 exceeds the 44 training examples: write at most that, or drop_last=False"),
    ],
)
def test_fields_that_do_not_fit_are_refused_in_one_line(fields, match):
    with pytest.raises(LastbitError, match=match) as caught:
        make_task(**fields).check()
    assert "\n" not in str(caught.value)
