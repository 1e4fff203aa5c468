"""Settings of the built-in tasks: defaults, what overrides what, and what is refused."""

import math
import subprocess
import sys
from pkgutil import resolve_name

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError
from lastbit.optimizers import OPTIMIZERS
from lastbit.tasks import TaskConfig
from lastbit.tasks.build import build_task, resolve
from lastbit.tasks.losses import LOSSES
from lastbit.tasks.models import ACTIVATIONS, MODELS, NORMS, PLAIN
from lastbit.tasks.registry import AUGMENTATIONS, TASKS
from lastbit.tasks.schedules import SCHEDULES


def test_the_default_is_the_setting_in_which_the_last_bit_shows():
    full = resolve(TaskConfig())
    assert full.model_dump() == {
        "task": "digits",
        "model": "cnn",
        "optimizer": "sgd",
        "lr": 0.3,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-3,
        "schedule": "linear",
        "epochs": 20,
        "batch_size": 32,
        "train_size": 1000,
        "norm": "batch",
        "activation": "relu",
        "width": 8,
        "depth": None,
        "kernel": None,
        "loss": None,
        "augment": "none",
        "data_root": None,
    }


def test_what_is_given_wins_and_the_rest_keeps_its_default():
    calm = resolve(TaskConfig(norm="none", lr=0.05, weight_decay=5e-4))
    assert (calm.norm, calm.lr, calm.weight_decay) == ("none", 0.05, 5e-4)
    assert (calm.epochs, calm.nesterov) == (20, True)


def test_defaults_follow_the_task_the_model_and_the_optimizer():
    assert resolve(TaskConfig(task="fashion-mnist")).batch_size == 128
    assert resolve(TaskConfig(task="cifar10")).model == "resnet20"
    assert resolve(TaskConfig(model="resnet8")).width == 16
    assert resolve(TaskConfig(model="resnet8", width=4)).width == 4
    adam = resolve(TaskConfig(optimizer="adam"))
    assert (adam.lr, adam.weight_decay, adam.momentum, adam.nesterov) == (1e-3, 0.0, 0.0, False)
    assert resolve(TaskConfig(momentum=0)).nesterov is False
    assert resolve(TaskConfig(optimizer="rmsprop", momentum=0.5)).momentum == 0.5


@given(
    task=st.sampled_from(sorted(TASKS)),
    model=st.none() | st.sampled_from(sorted(MODELS)),
    optimizer=st.none() | st.sampled_from(sorted(OPTIMIZERS)),
    schedule=st.none() | st.sampled_from(sorted(SCHEDULES)),
    norm=st.none() | st.sampled_from(NORMS),
    augment=st.none() | st.sampled_from(sorted(AUGMENTATIONS)),
    lr=st.none() | st.floats(1e-6, 10),
)
@settings(deadline=None, max_examples=60)
def test_every_combination_resolves_completely_and_to_itself(**given_):
    config = TaskConfig(**given_)
    full = resolve(config)
    assert [name for name, value in full if value is None] == ["depth", "kernel", "loss", "data_root"]
    assert all(getattr(full, name) == value for name, value in config if value is not None)
    assert resolve(full) == full
    assert TaskConfig.model_validate_json(full.model_dump_json()) == full


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"task": "digit"}, r"unknown task 'digit' \(did you mean 'digits'\?\): choose one of digits, fashion-mnist"),
        ({"model": "resnet21"}, "unknown model 'resnet21' .*: choose one of mlp, cnn, resnet8"),
        ({"optimizer": "sdg"}, "unknown optimizer 'sdg' .*did you mean 'sgd'"),
        ({"schedule": "warm"}, "unknown schedule 'warm'.* constant, linear, cosine, step"),
        ({"norm": "layer"}, "unknown norm 'layer'.* batch, group, none"),
        ({"activation": "maxout"}, "unknown activation 'maxout'.* relu, leaky-relu, gelu, swish, tanh"),
        ({"augment": "cutout"}, "unknown augment 'cutout'"),
        ({"lr": 0}, "^--lr must be above 0, got 0"),
        ({"lr": math.nan}, "^--lr must be a finite number, got nan"),
        ({"lr": math.inf}, "^--lr must be a finite number, got inf"),
        ({"lr": True}, "^--lr must be a number, got True"),
        ({"momentum": 1}, "^--momentum must be below 1, got 1"),
        ({"weight_decay": -1e-4}, "^--weight-decay must be at least 0, got -0.0001"),
        ({"epochs": 0}, "^--epochs must be at least 1, got 0"),
        ({"batch_size": 1.5}, "^--batch-size must be a whole number, got 1.5"),
        ({"width": -8}, "^--width must be at least 1, got -8"),
        ({"train_size": 0}, "^--train-size must be at least 1, got 0"),
        ({"learning_rate": 0.1}, "unknown setting 'learning_rate'"),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum = 0.9: adam has none; sgd and rmsprop do"),
        ({"optimizer": "rmsprop", "nesterov": True}, "nesterov = True: rmsprop has none; sgd"),
        ({"nesterov": True, "momentum": 0}, "nesterov = True needs a momentum above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(values, match):
    with pytest.raises(LastbitError, match=match) as caught:
        validated(TaskConfig, values, flag="--")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("sgd", torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999)}),
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999)}),
        ("rmsprop", torch.optim.RMSprop, {"momentum": 0.8}),
    ],
)
def test_optimizers_get_their_settings(name, kind, expected):
    options = {key: expected[key] for key in ("momentum", "nesterov") if key in expected}
    optimizer = build_task(TaskConfig(optimizer=name, lr=0.02, weight_decay=0.01, **options)).optimizer(
        nn.Linear(2, 2).parameters()
    )
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert {key: group[key] for key in expected} == expected
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.01)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0]),
        ("step", [1, 1, 0.1, 0.01, 0.01]),
    ],
)
def test_schedules_multiply_the_rate_after_each_step(name, rates):
    task = build_task(TaskConfig(schedule=name, lr=0.5, epochs=1, train_size=128))
    optimizer = task.optimizer(nn.Linear(2, 2).parameters())
    assert task.total_steps == 4
    schedule = task.schedule(optimizer, task.total_steps) if task.schedule else None
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(4):
        optimizer.step()
        if schedule:
            schedule.step()
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.5 * rate for rate in rates], abs=1e-15)
    assert (task.schedule is None) == (name == "constant")


def test_a_schedule_continues_from_its_saved_state():
    task = build_task(TaskConfig())
    first, second = (task.optimizer(nn.Linear(2, 2).parameters()) for _ in range(2))
    schedule, resumed = task.schedule(first, 10), task.schedule(second, 10)
    for _ in range(3):
        first.step()
        schedule.step()
    resumed.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    for optimizer, scheduler in ((first, schedule), (second, resumed)):
        optimizer.step()
        scheduler.step()
    assert first.param_groups[0]["lr"] == second.param_groups[0]["lr"] == pytest.approx(0.3 * 0.6)


def test_choices_named_in_the_help_are_those_that_exist():
    described = {name: field.description for name, field in TaskConfig.model_fields.items()}
    assert all(described.values())
    for name, valid in {"model": MODELS, "norm": NORMS, "activation": ACTIVATIONS, "optimizer": OPTIMIZERS}.items():
        assert all(choice in described[name] for choice in valid)


def test_settings_and_choices_are_read_without_torch():
    code = (
        "import sys; from lastbit.tasks import TaskConfig; "
        "TaskConfig(model='resnet8', schedule='cosine', activation='swish', augment='crop'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_choice_names_something_that_is_there():
    named = [
        *ACTIVATIONS.values(),
        *LOSSES.values(),
        *PLAIN.values(),
        *(spec.build for spec in MODELS.values()),
        *(spec.load for spec in TASKS.values()),
    ]
    named += [one.function for one in AUGMENTATIONS.values() if one.function]
    assert all(callable(resolve_name(reference)) for reference in named)
