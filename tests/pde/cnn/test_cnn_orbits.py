"""The kind of an orbit, on the logistic map, whose orbits are known."""

import numpy as np
import pytest
import torch

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn.orbits import orbit_of


def logistic(r, steps=3000):
    x = [0.3]
    for _ in range(steps - 1):
        x.append(r * x[-1] * (1 - x[-1]))
    return torch.tensor(x)[:, None].double()


@pytest.mark.parametrize(
    ("r", "kind", "period"),
    [(2.5, "periodic", 1), (3.2, "periodic", 2), (3.5, "periodic", 4), (3.83, "periodic", 3), (4.0, "aperiodic", None)],
)
def test_orbits_of_the_logistic_map(r, kind, period):
    orbit = orbit_of(logistic(r))
    assert (orbit.kind, orbit.period) == (kind, period)


def test_chaos_in_two_bands_does_not_repeat_itself():
    assert orbit_of(logistic(3.6)).kind == "aperiodic"


def test_what_still_nears_its_cycle_is_settling():
    steps = np.arange(300)
    history = torch.as_tensor(2 + (-1.0) ** steps + 0.98**steps)[:, None]
    assert (orbit_of(history).kind, orbit_of(history).period) == ("settling", 2)


@pytest.mark.parametrize("history", [torch.ones(95, 1), torch.full((300, 1), torch.nan)])
def test_too_little_of_a_history_is_refused(history):
    with pytest.raises(LastbitError, match="give 96 or more, each finite"):
        orbit_of(history)
