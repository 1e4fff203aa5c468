"""What is registered is found for the right classes, without torch where no optimizer is at hand."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.optimizers import OPTIMIZERS, OptimizerChoice, register, registry
from lastbit.optimizers.registry import class_of, needed_rule, rule_of


class Renamed(torch.optim.SGD):
    """A subclass that steps like its parent."""


class Doubled(torch.optim.SGD):
    """A subclass that does not."""

    def step(self, closure=None):
        pass


@pytest.fixture(autouse=True)
def own_register(monkeypatch):
    """A register to write in, put back afterwards."""
    monkeypatch.setattr(registry, "_REGISTER", list(registry._REGISTER))
    monkeypatch.setattr(registry, "OPTIMIZERS", dict(OPTIMIZERS))


def half(group, step):
    return None


def test_choices_are_listed_without_torch():
    code = "import sys; from lastbit.optimizers import OPTIMIZERS; print(*OPTIMIZERS, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["sgd", "adam", "adamw", "rmsprop", "False"]


def test_the_classes_of_the_choices():
    found = [class_of(name) for name in OPTIMIZERS]
    assert found == [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop]
    assert {choice.name: choice for choice in OPTIMIZERS.values()} == OPTIMIZERS
    for name, choice in OPTIMIZERS.items():
        options = dict.fromkeys(choice.options, 0.0)
        assert class_of(name)([nn.Parameter(torch.ones(1))], **{"lr": 0.1} | dict(choice.defaults) | options)


def test_a_choice_of_ones_own():
    register(Doubled, linear_update=half, choice=OptimizerChoice(name="doubled"))
    assert class_of("doubled") is Doubled
    assert registry.OPTIMIZERS["doubled"].options == ()


@pytest.mark.parametrize("part", ["direction", "linear_update", "tangent"])
def test_subclasses_share_a_part_only_if_they_share_the_step(part):
    assert rule_of(torch.optim.SGD, part) is not None
    assert rule_of(Renamed, part) is rule_of(torch.optim.SGD, part)
    assert rule_of(Doubled, part) is None
    assert rule_of(torch.optim.LBFGS, part) is None


def test_a_part_replaces_that_part_alone_and_for_that_class_alone():
    before = {part: rule_of(torch.optim.SGD, part) for part in ("direction", "linear_update", "tangent")}
    register(Renamed, linear_update=half)
    assert rule_of(Renamed, "linear_update").linear_update is half
    assert rule_of(Renamed, "direction") is before["direction"]
    register(torch.optim.SGD, tangent=half)
    assert rule_of(torch.optim.SGD, "tangent").tangent is half
    assert rule_of(torch.optim.SGD, "linear_update") is before["linear_update"]
    register("torch.optim:SGD", linear_update=half)
    assert rule_of(torch.optim.SGD, "linear_update").linear_update is half


def test_a_name_means_that_class_and_not_one_of_the_same_name():
    register("no.such_package:Doubled", direction=half)
    assert rule_of(Doubled, "direction") is None
    register(f"{__name__}:Renamed", direction=half)
    assert rule_of(Renamed, "direction").direction is half
    register("*:Doubled", direction=half)
    assert rule_of(Doubled, "direction").direction is half


def test_what_is_needed_and_not_known_is_one_line_that_says_how_to_register_it():
    assert needed_rule(Renamed, "tangent") is rule_of(torch.optim.SGD, "tangent")
    register(Doubled, linear_update=half)
    with pytest.raises(LastbitError) as caught:
        needed_rule(Doubled, "tangent")
    assert str(caught.value) == (
        "no tangent is known for the step of Doubled (known: Adam, AdamW, SGD): register it with "
        "lastbit.optimizers.register(Doubled, tangent=...)"
    )


def test_what_a_class_is_refused_for_gives_way_to_what_is_registered():
    kind = type("Lion", (torch.optim.Optimizer,), {"step": lambda self: None})
    assert rule_of(kind, "refused").refused == "it steps by the sign of its momentum"
    register(kind, linear_update=half)
    assert rule_of(kind, "linear_update").linear_update is half


@pytest.mark.parametrize(
    ("optimizer", "parts", "message"),
    [
        (nn.Linear, {"direction": half}, r"takes a subclass of torch.optim.Optimizer, .* got <class"),
        ("Lion", {"direction": half}, "its name as in 'torch.optim:Adam', got 'Lion'"),
        (torch.optim.SGD([nn.Parameter(torch.ones(1))]), {"direction": half}, "got an instance of SGD"),
        (Doubled, {"direction": "half"}, "the direction of Doubled is a str: give a function"),
        ("torch.optim:SGD", {"tangent": 1}, "the tangent of SGD is a int: give a function"),
        (Doubled, {"preconditioner": half}, "goes with a linear_update: add it"),
        (Doubled, {"decoupled": half}, "goes with a linear_update: add it"),
        (Doubled, {}, "says nothing"),
    ],
)
def test_what_cannot_be_registered_is_refused_in_one_line(optimizer, parts, message):
    before = len(registry._REGISTER)
    with pytest.raises(LastbitError, match=message) as caught:
        register(optimizer, **parts)
    assert "\n" not in str(caught.value)
    assert len(registry._REGISTER) == before
