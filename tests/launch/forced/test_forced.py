"""Programs put onto one another: silent where nothing differs; what was planted is read off where it was planted."""

import sys
from pathlib import Path

import numpy as np

from lastbit.launch.forced.run import Side, run_forced
from lastbit.launch.forced.table import Role
from lastbit.launch.settings import Launch, LaunchSettings

PROGRAM = [sys.executable, str(Path(__file__).parents[1] / "programs" / "changed.py")]


def launch(folder, **settings):
    return Launch(settings=LaunchSettings(**{"threads": 1} | settings), folder=folder, timeout=300)


def forced(tmp_path, *planted, program=PROGRAM, env=(), **options):
    options = {"jitters": 0, "double": False, "control": False} | options
    sides = Side(program), Side([*program, *planted], dict(env))
    run = run_forced(*sides, launch(tmp_path), **options)
    assert not (tmp_path / "exchange").exists()
    return run


def column(table, role, name):
    (place,) = (place for place in table.of(role) if table.tensors[place].name == name)
    return place


def unequal(table):
    """What differs anywhere, by role and name."""
    found = np.flatnonzero((table.unequal > 0).any(axis=0))
    return {(str(table.tensors[place].role), table.tensors[place].name) for place in found}


def test_one_scaled_gradient_is_read_exactly_and_in_its_tensor_only(tmp_path):
    run = forced(tmp_path, "--scale", "1.0001", jitters=1, control=True)
    assert run.control.equal
    assert run.control.steps.tolist() == list(range(1, 13))
    table = run.candidate
    assert unequal(table) == {("gradient", "1.weight")}
    place = column(table, Role.GRADIENT, "1.weight")
    np.testing.assert_allclose(table.projection[:, place] / table.size[:, place] ** 2, 1e-4, rtol=1e-2)
    np.testing.assert_allclose(table.difference[:, place] / table.size[:, place], 1e-4, rtol=1e-2)
    (jitter,) = run.jitters
    moved = [jitter.difference[:, one] / jitter.size[:, one] for one in jitter.of(Role.GRADIENT)]
    assert 1e-9 < np.median(moved) < 1e-5
    assert set(jitter.of(Role.WEIGHT)) == set()
