"""Each change does to a task what it says, and nothing else; what it cannot change it refuses in one line."""

from contextlib import closing, contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import lastbit as lb
from lastbit import Task
from lastbit.core.errors import LastbitError
from lastbit.perturb.base import Identity
from lastbit.studies.remedy.changes.change import Subject
from lastbit.studies.remedy.changes.register import FAMILIES, changes_for, changes_of
from lastbit.tasks import TaskConfig
from lastbit.tasks.build import build_task, resolve
from lastbit.tasks.checks import check_task
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

CPU = torch.device("cpu")


def network():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def sgd(params, **more):
    return torch.optim.SGD(params, **{"lr": 0.2, "weight_decay": 0.01, **more})


@pytest.fixture
def make_task():
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(48, 5, generator=generator), torch.randint(0, 3, (48,), generator=generator)

    def make(**given):
        own = {"name": "toy", "model": network, "train": (x, y), "test": (x[:20], y[:20]), "optimizer": sgd}
        return Task(**{**own, "epochs": 2, "batch_size": 12, **given})

    return make


@contextmanager
def training(task, dtype=torch.float32):
    found = Training(task, streams(0), Identity(), device=CPU, dtype=dtype)
    with closing(found), found.active():
        yield found


def changed(task, text):
    (change,) = changes_of([text])
    change.check(Subject(task, None, "float32", 6))
    found = change.on(task)
    check_task(found)
    return found


def after(task, steps):
    with training(task) as one:
        for _ in range(steps):
            one.step()
        return torch.from_numpy(one.weights())


def rates(task):
    with training(task) as one:
        found = []
        for _ in range(one.total_steps):
            found.append(one.optimizer.param_groups[0]["lr"])
            one.step()
        return found


@pytest.mark.parametrize(("text", "layer"), [("gelu", nn.GELU), ("silu", nn.SiLU)])
def test_an_activation_takes_the_place_of_relu_at_the_same_initial_weights(make_task, text, layer):
    task = make_task()
    other = changed(task, text)
    torch.manual_seed(0)
    one = task.model()
    torch.manual_seed(0)
    two = other.model()
    assert isinstance(two[2], layer)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert isinstance(task.model()[2], nn.ReLU)


@pytest.mark.parametrize(("text", "factor"), [("lr/2", 0.5), ("lr*4", 4.0), ("lr/0.5", 2.0)])
def test_the_first_step_of_plain_gradient_descent_goes_with_the_learning_rate(make_task, text, factor):
    task = make_task()
    start, base, other = after(task, 0), after(task, 1), after(changed(task, text), 1)
    # Three roundings of the weights' last bit; steps are of order 1e-2.
    assert torch.allclose(other - start, factor * (base - start), atol=1e-6)


def test_a_schedule_follows_the_learning_rate(make_task):
    task = make_task(schedule=lambda optimizer, steps: torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.1))
    assert rates(changed(task, "lr/2")) == pytest.approx([rate / 2 for rate in rates(task)])


@pytest.mark.parametrize(("text", "decay"), [("decay/10", 0.001), ("decay*3", 0.03)])
def test_weight_decay_goes_by_a_factor_in_every_group_that_has_any(make_task, text, decay):
    def groups(params):
        first, *others = list(params)
        return torch.optim.SGD(
            [{"params": [first], "weight_decay": 0.0}, {"params": others}], lr=0.2, weight_decay=0.01
        )

    with training(changed(make_task(optimizer=groups), text)) as one:
        assert [group["weight_decay"] for group in one.optimizer.param_groups] == pytest.approx([0.0, decay])


def test_every_optimizer_of_a_task_with_several_is_changed(make_task):
    task = make_task(optimizer={"0": sgd, "3": lambda params: [sgd(params, lr=0.4)][0]})
    with training(changed(task, "lr/2")) as one:
        assert [each.param_groups[0]["lr"] for each in one.optimizers.values()] == [0.1, 0.2]


def test_a_larger_batch_takes_fewer_steps_in_as_many_epochs(make_task):
    found = changed(make_task(), "batch*2")
    assert (found.batch_size, found.epochs, found.total_steps) == (24, 2, 4)


def test_a_clipped_step_has_at_most_the_length_that_the_norm_allows(make_task):
    task = make_task(optimizer=lambda params: sgd(params, weight_decay=0.0))
    start = after(task, 0)
    free, held = after(task, 1) - start, after(changed(task, "clip=0.01"), 1) - start
    assert free.norm() > 0.2 * 0.01 * 1.5
    assert held.norm().item() == pytest.approx(0.2 * 0.01, rel=1e-4)
    assert torch.equal(after(changed(task, "clip=1000"), 3), after(task, 3))


@pytest.mark.parametrize("schedule", [None, lambda o, n: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)])
def test_a_warm_up_rises_in_proportion_and_leaves_the_rest_as_it_was(make_task, schedule):
    task = make_task(schedule=schedule)
    base, found = rates(task), rates(changed(task, "warmup=0.5"))
    assert found == pytest.approx([rate * min(1.0, (t + 1) / 5) for t, rate in enumerate(base)])


def test_another_schedule_takes_the_place_of_the_tasks_own(make_task):
    assert rates(changed(make_task(), "schedule=linear")) == pytest.approx([0.2 * (1 - t / 8) for t in range(8)])


def test_float64_is_a_setting_of_the_runs(make_task):
    (change,) = changes_of(["float64"])
    assert change.settings == {"dtype": "float64"}
    assert change.on(task := make_task()) is task


def test_a_norm_is_a_setting_of_built_in_tasks():
    config = resolve(TaskConfig(task="digits"))
    (change,) = changes_of(["norm=group"])
    change.check(Subject(build_task(config), config, "float32", 6))
    task = build_task(config.model_copy(update=dict(change.program)))
    assert [type(one) for one in task.model().modules() if "Norm" in type(one).__name__] == [nn.GroupNorm] * 3


def averaged_by_hand(task, decay):
    """The average in float64, step by step, with the statistics of batch norm taken by hand of all examples at once."""
    with training(task) as one:
        mean = None
        for _ in range(one.total_steps):
            one.step()
            now = {name: weight.detach().double().clone() for name, weight in one.model.named_parameters()}
            mean = now if mean is None else {name: decay * mean[name] + (1 - decay) * now[name] for name in now}
    model = network().double()
    model.load_state_dict(mean, strict=False)
    x, _ = task.train.tensors
    with torch.no_grad():
        batches = [model[0](x[start::4].double()) for start in range(4)]
    model[1].running_mean = torch.stack([hidden.mean(0) for hidden in batches]).mean(0)
    model[1].running_var = torch.stack([hidden.var(0) for hidden in batches]).mean(0)
    inputs, targets = task.test.tensors
    return float(nn.functional.cross_entropy(model.eval()(inputs.double()), targets).detach())


def test_the_running_mean_is_evaluated_and_the_training_goes_on_as_it_was(make_task):
    task, decay = make_task(), 0.8
    other = changed(task, "ema=0.8")
    with training(other) as one, training(task) as base:
        assert one.model.state_dict().keys() == base.model.state_dict().keys()
        assert one.trained().keys() == base.trained().keys()
        for _ in range(one.total_steps):
            one.step()
        found = one.evaluate().loss
        assert one.evaluate().loss == found
        weights = one.weights()
    assert torch.equal(torch.from_numpy(weights), after(task, 8))
    # Weights of float32 in eight steps.
    assert found == pytest.approx(averaged_by_hand(task, decay), rel=1e-4)
    with training(task) as base:
        for _ in range(8):
            base.step()
        assert abs(base.evaluate().loss - found) > 1e-3


@pytest.mark.parametrize(("text", "epochs"), [("late-mean=0.5", (3, 4)), ("late-mean=1", (1, 2, 3, 4))])
def test_the_late_mean_is_that_of_the_weights_at_the_ends_of_the_last_epochs(make_task, text, epochs):
    task = make_task(epochs=4, model=lambda: nn.Linear(5, 3))
    ends = []
    with training(task) as base:
        for step in range(base.total_steps):
            base.step()
            if step % base.steps_per_epoch == base.steps_per_epoch - 1:
                ends.append({name: weight.detach().double().clone() for name, weight in base.model.named_parameters()})
    with training(changed(task, text)) as one:
        losses = []
        for step in range(one.total_steps):
            one.step()
            if step % one.steps_per_epoch == one.steps_per_epoch - 1:
                losses.append(one.evaluate().loss)
    x, y = task.test.tensors
    for epoch, found in enumerate(losses, 1):
        taken = [ends[number - 1] for number in epochs if number <= epoch] or [ends[epoch - 1]]
        mean = {name: torch.stack([each[name] for each in taken]).mean(0) for name in taken[0]}
        outputs = x.double() @ mean["weight"].T + mean["bias"]
        assert found == pytest.approx(float(nn.functional.cross_entropy(outputs, y)), rel=1e-6)


class Two(nn.Linear):
    def __init__(self):
        super().__init__(5, 3)

    def forward(self, inputs):
        return super().forward(inputs), inputs


LIMITED = pytest.mark.parametrize("text", ["step-limit=2", "layer-step-limit=2"])


@LIMITED
def test_a_limited_training_is_one_with_the_step_limit_of_ones_own_loop(make_task, text):
    task = make_task(optimizer=lambda params: sgd(params, lr=50.0))
    other = changed(task, text)
    x, y = task.train.tensors
    with training(task) as by_hand:
        limit = lb.remedies.step_limit(
            by_hand.optimizer,
            by_hand.model,
            nn.functional.cross_entropy,
            (x[:12], y[:12]),
            every=2,
            per_layer=text.startswith("layer"),
        )
        for _ in range(8):
            by_hand.step()
        assert limit.limited
        expected = by_hand.weights()
    assert torch.equal(after(other, 8), torch.from_numpy(expected))
    assert not torch.equal(after(task, 8), torch.from_numpy(expected))


@LIMITED
def test_an_optimizer_whose_limit_is_known_after_a_step_is_taken(make_task, text):
    task = make_task(optimizer=lambda params: torch.optim.Adam(params, lr=1e-4))
    assert torch.equal(after(changed(task, text), 8), after(task, 8))


@LIMITED
def test_a_limit_that_no_step_meets_leaves_the_training_as_it_was(make_task, text):
    task = make_task(optimizer=lambda params: sgd(params, lr=1e-4))
    assert torch.equal(after(changed(task, text), 8), after(task, 8))


@pytest.mark.parametrize(
    ("text", "lr", "at"),
    [("ema=0.8", 0.2, 3), ("late-mean=1", 50.0, 5), ("step-limit=2", 50.0, 5), ("layer-step-limit=3", 50.0, 5)],
)
def test_what_goes_with_an_optimizer_goes_on_from_a_checkpoint_bit_for_bit(make_task, text, lr, at):
    other = changed(make_task(optimizer=lambda params: sgd(params, lr=lr)), text)

    def ended(one, steps):
        for _ in range(steps):
            one.step()
        return one.evaluate().loss, one.weights().tobytes(), one.buffers().tobytes()

    with training(other) as whole:
        expected = ended(whole, 8)
    with training(other) as begun:
        ended(begun, at)
        checkpoint = begun.state()
    with training(other) as again:
        again.restore(checkpoint)
        assert ended(again, 8 - at) == expected


def test_what_has_been_named_is_named_again(make_task):
    texts = [text for family in FAMILIES for text in family.examples]
    assert [change.name for change in changes_of(texts)] == texts
    assert all(change.says for change in changes_of(texts))


@given(st.sampled_from(["decay", "lr", "batch"]), st.sampled_from("*/"), st.floats(1e-6, 1e6))
def test_a_factor_is_read_as_it_is_written(what, sign, by):
    (change,) = changes_of([f"{what}{sign}{by!r}"])
    assert change.by == by
    assert changes_of([change.name]) == [change]


@pytest.mark.parametrize(
    ("given", "text", "said"),
    [
        ({"model": lambda: nn.Sequential(nn.Linear(5, 3), nn.Tanh())}, "gelu", "no nn.ReLU or nn.ReLU6 module"),
        ({"optimizer": lambda params: sgd(params, weight_decay=0.0)}, "decay/10", "has no weight decay"),
        (
            {"schedule": lambda o, n: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, n)},
            "lr/2",
            "sets the learning rate itself",
        ),
        ({}, "batch/7", "12 divided by 7 is no whole number"),
        ({}, "batch*5", "a batch of 60 is more than the 48 training examples"),
        ({}, "ema=1", "at least 0 and below 1"),
        ({"optimizer": {"0": sgd, "3": sgd}}, "ema=0.9", "several optimizers"),
        ({}, "late-mean=0.5", "of 2 epochs that is 1, and a mean needs two"),
        ({}, "late-mean=1.5", "above 0 and at most 1"),
        ({"optimizer": {"0": sgd, "3": sgd}}, "late-mean=1", "several optimizers"),
        ({}, "step-limit=0", "1 or more"),
        ({"optimizer": {"0": sgd, "3": sgd}}, "step-limit=5", "several optimizers"),
        ({"optimizer": lambda params: torch.optim.LBFGS(params)}, "step-limit=5", "gradients within its step"),
        ({"optimizer": lambda params: torch.optim.Rprop(params)}, "layer-step-limit=5", "Rprop"),
        ({"step": lambda state, batch: state.model(batch[0]).sum()}, "step-limit=5", "no loss= of outputs and targets"),
        ({"loss": lambda outputs, targets: outputs.detach().sum()}, "step-limit=5", "carries no gradient"),
        ({}, "mean=1", "2 or more"),
        ({}, "mean=4", "it has 6 runs: give --perturbations 8 or more"),
        ({"model": lambda: Two(), "loss": lambda outputs, targets: outputs[0].sum()}, "mean=2", "of which no mean"),
        ({"model": lambda: nn.Linear(5, 300_000)}, "mean=2", "6,000,000 numbers"),
        ({}, "clip=0", "trains nothing"),
        ({"optimizer": lambda params: torch.optim.LBFGS(params)}, "clip=1", "computes its gradients within its step"),
        ({}, "warmup=1", "above 0 and below 1"),
        ({"schedule": lambda o, n: torch.optim.lr_scheduler.ReduceLROnPlateau(o)}, "warmup=0.1", "plateau"),
        ({}, "schedule=constant", "has this schedule already"),
        ({}, "norm=group", "built-in tasks alone"),
        ({}, "float64", "in float64 already"),
    ],
)
def test_what_cannot_be_changed_is_refused(make_task, given, text, said):
    (change,) = changes_of([text])
    with pytest.raises(LastbitError, match=said) as caught:
        change.check(Subject(make_task(**given), None, "float64", 6))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"--change {text}: ")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["lr"], "unknown change 'lr': write one such as gelu, silu, decay/10"),
        (["lr=2"], r"--change lr=2: write lr/2 or lr\*2, with any number above 0"),
        (["mean=2.5"], "--change mean=2.5: write mean=3, with any whole number above 0"),
        (["step-limit=-1"], "write step-limit=100 or layer-step-limit=100, with any whole number"),
        (["norm=x"], "--change norm=x: write norm=group, or another of "),
        (["lr/0"], "--change lr/0: give a factor above 0"),
        (["gelu", "gelu"], "--change gelu stands there twice"),
        (["lr/2", "lr/2.0"], "--change lr/2.0 stands there twice"),
        ([f"lr/{n}" for n in range(2, 40)], "too many"),
    ],
)
def test_names_that_are_none_are_refused(texts, said):
    with pytest.raises(LastbitError, match=said):
        changes_of(texts)


def test_where_none_is_named_those_are_tried_that_the_task_allows(make_task):
    names = [change.name for change in changes_for(Subject(make_task(), None, "float32", 6))]
    assert {"gelu", "silu", "decay/10", "lr/2", "float64", "ema=0.995"} <= {*names}
    assert "norm=group" not in names
    plain = make_task(model=lambda: nn.Linear(5, 3), optimizer=lambda params: sgd(params, weight_decay=0.0))
    names = [change.name for change in changes_for(Subject(plain, None, "float64", 6))]
    assert not {"gelu", "decay/10", "float64"} & {*names}
