"""What a sweep is asked to be."""

import shlex

import pytest

from lastbit.cli.fields import join_values
from lastbit.core.errors import LastbitError
from lastbit.studies.eos.kind import EOS
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.frame.planning import plan_of


def planned(**settings):
    return plan_of(EOS, settings.pop("task", "digits"), settings)


def source(**settings):
    return planned(**settings).program.source


@pytest.mark.parametrize("value", ["0,0.1,1", (0, 0.1, 1), ["0", "0.1", "1"], ["0,0.1", "1"]])
def test_values_may_come_in_any_form(value):
    assert planned(weight_decay=value).program.axes == {"weight_decay": (0, 0.1, 1)}


def test_cells_are_every_combination_in_order():
    found = planned(weight_decay="0,0.1", depth="1,2,3").cells
    assert [(c.program["weight_decay"], c.program["depth"]) for c in found[:4]] == [(0, 1), (0, 2), (0, 3), (0.1, 1)]
    assert found[4].label == "weight decay 0.1, depth 2"
    assert len({cell.name for cell in found}) == len(found) == 6


def test_every_combination_meets_every_seed():
    found = planned(depth="1,2", seed=3, seeds=2).cells
    assert [(c.program["depth"], c.seed, c.settings["seed"]) for c in found] == [
        (1, 3, 3),
        (1, 4, 4),
        (2, 3, 3),
        (2, 4, 4),
    ]
    assert found[3].label == "depth 2, seed 4"
    assert [cell.seed for cell in planned(seed=3).cells] == [3]


def test_the_command_gives_the_same_settings_back():
    plan = planned(model="cnn", kernel="3,5", lr=0.05, nesterov=True, flow=True, depth=2)
    words = join_values(
        shlex.split(EOS.command(plan))[1:], {f"--{axis.replace('_', '-')}" for axis in EosSettings.sweeps}
    )
    read = {}
    for word in words[1:]:
        if word.startswith("--"):
            name = word[2:].replace("-", "_")
            value = not name.startswith("no_")
            read[name.removeprefix("no_")] = value
        else:
            read[name] = int(word) if word.isdigit() else word
    again = planned(**read)
    assert again == plan


def test_defaults_follow_the_optimizer():
    assert source().lr == 0.1
    assert source(momentum=0.9).lr == 0.2
    assert source(nesterov=True).momentum == 0.9
    assert source(nesterov=True).lr == 0.05
    assert source(optimizer="adam").lr == 3e-3
    assert source(optimizer="adamw").weight_decay == 1e-2


def test_the_epochs_hold_the_steps_and_a_longer_study_has_more():
    assert (source().epochs, planned().settings.steps) == (1500, 1500)
    assert source(steps=50, batch_size=100).epochs == 9
    with pytest.raises(LastbitError, match="unknown setting 'epochs'"):
        planned(epochs=3)


def test_the_default_network_is_the_tasks_own_mlp():
    plan = planned()
    task = plan.task(plan.cells[0])
    assert sum(p.numel() for p in task.model().parameters()) == task.settings["parameters"] == 8970
    assert task.batch_size == len(task.train) == 600


def test_depth_width_and_kernel_reach_the_network():
    plan = planned(model="cnn", depth=2, width=5, kernel=7)
    network = plan.task(plan.cells[0]).model()
    assert [tuple(p.shape) for n, p in network.named_parameters() if n.endswith("weight")] == [
        (5, 1, 7, 7),
        (5, 5, 7, 7),
        (10, 5),
    ]


MISTAKES = {
    "unknown setting": {"sedes": 3},
    "unknown task 'digts'": {"task": "digts"},
    "--kernel = 4: give an odd side": {"model": "cnn", "kernel": 4},
    "--kernel: mlp has no kernel": {"kernel": 3},
    "--depth: resnet8 has a fixed depth": {"model": "resnet8", "depth": 2},
    "momentum = 0.9: adam has none": {"optimizer": "adam", "momentum": 0.9},
    "--flow: adam has no gradient flow": {"optimizer": "adam", "flow": True},
    "needs a momentum above 0": {"nesterov": True, "momentum": "0,0.9"},
    "--lr must be a number, got 'x'": {"lr": "0.1,x"},
    "names no value": {"lr": "0.1,"},
    "name each value once": {"width": "8,8"},
    "--momentum must be below 1, got 1": {"momentum": 1.0},
    "--lr": {"lr": -0.1},
    "--weight-decay": {"weight_decay": "0,nan"},
    "sets that itself": {"task": "a.py:f", "model": "cnn"},
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_named(message):
    with pytest.raises(LastbitError) as caught:
        planned(**MISTAKES[message])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
