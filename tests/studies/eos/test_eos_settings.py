"""What a sweep is asked to be."""

import shlex

import pytest

from lastbit.cli.values import join_values
from lastbit.core.errors import LastbitError
from lastbit.studies.eos.config import AXES, cells, eos_command, eos_config
from lastbit.studies.eos.workload import build_cell


@pytest.mark.parametrize("value", ["0,0.1,1", (0, 0.1, 1), ["0", "0.1", "1"], ["0,0.1", "1"]])
def test_values_may_come_in_any_form(value):
    assert eos_config({"weight_decay": value}).weight_decay == (0.0, 0.1, 1.0)


def test_cells_are_every_combination_in_order():
    found = cells(eos_config({"weight_decay": "0,0.1", "depth": "1,2,3"}))
    assert [(cell.weight_decay, cell.depth) for cell in found[:4]] == [(0.0, 1), (0.0, 2), (0.0, 3), (0.1, 1)]
    assert found[4].label == "weight decay 0.1, depth 2"
    assert len({cell.name for cell in found}) == len(found) == 6


def test_every_combination_meets_every_seed():
    found = cells(eos_config({"depth": "1,2", "seed": 3, "seeds": 2}))
    assert [(cell.depth, cell.seed) for cell in found] == [(1, 3), (1, 4), (2, 3), (2, 4)]
    assert found[3].label == "depth 2, seed 4"
    assert [cell.seed for cell in cells(eos_config({"seed": 3}))] == [3]


def test_the_command_gives_the_same_settings_back():
    config = eos_config({"model": "cnn", "kernel": "3,5", "lr": 0.05, "nesterov": True, "flow": True, "depth": 2})
    words = join_values(shlex.split(eos_command(config))[1:], {f"--{axis.replace('_', '-')}" for axis in AXES})
    read = {}
    for word in words[1:]:
        if word.startswith("--"):
            name = word[2:].replace("-", "_")
            value = not name.startswith("no_")
            read[name.removeprefix("no_")] = value
        else:
            read[name] = word
    assert eos_config({k: v if k != "seed" else int(v) for k, v in read.items()}) == config


def test_defaults_follow_the_optimizer():
    assert eos_config({}).lr == (0.1,)
    assert eos_config({"momentum": 0.9}).lr == (0.2,)
    assert eos_config({"nesterov": True}).momentum == (0.9,)
    assert eos_config({"optimizer": "adam"}).lr == (3e-3,)


def test_the_default_network_is_the_tasks_own_mlp():
    task = build_cell(eos_config({}), cells(eos_config({}))[0])
    assert sum(p.numel() for p in task.model().parameters()) == task.settings["parameters"] == 8970
    assert task.batch_size == len(task.train) == 600


def test_depth_width_and_kernel_reach_the_network():
    config = eos_config({"model": "cnn", "depth": 2, "width": 5, "kernel": 7})
    network = build_cell(config, cells(config)[0]).model()
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
    "--momentum = 0.9: adam has none": {"optimizer": "adam", "momentum": 0.9},
    "--flow: adam has no gradient flow": {"optimizer": "adam", "flow": True},
    "--nesterov needs": {"nesterov": True, "momentum": "0,0.9"},
    "'x' is not a number": {"lr": "0.1,x"},
    "names no value": {"lr": "0.1,"},
    "name each value once": {"width": "8,8"},
    "--momentum = 1.0": {"momentum": 1.0},
    "--lr": {"lr": -0.1},
    "--weight-decay": {"weight_decay": "0,nan"},
    "decides that itself": {"task": "a.py:f", "model": "cnn"},
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_named(message):
    with pytest.raises(LastbitError) as caught:
        eos_config(MISTAKES[message])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
