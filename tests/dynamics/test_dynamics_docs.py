"""The examples in the docstrings of this room run."""

import doctest
import importlib
import pkgutil

import pytest

import lastbit.dynamics

MODULES = [module.name for module in pkgutil.iter_modules(lastbit.dynamics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    found = doctest.testmod(importlib.import_module(f"lastbit.dynamics.{name}"))
    assert found.failed == 0


def test_the_front_door_is_complete():
    public = lastbit.dynamics.__all__
    assert len(set(public)) == len(public)
    assert all(hasattr(lastbit.dynamics, name) for name in public)
