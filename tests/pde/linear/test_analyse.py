"""One call, one answer: what it takes and what it refuses."""

import math

import pytest

from lastbit.core.errors import LastbitError
from lastbit.pde.linear import analyse


def test_underscores_stand_for_hyphens():
    assert analyse("heat", scheme="heavy_ball").max_stable_dt == analyse("heat", scheme="heavy-ball").max_stable_dt


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problem": "haet"}, "did you mean 'heat'"),
        ({"problem": "heat", "scheme": "eular"}, "did you mean 'euler'"),
        ({"problem": "heat", "dx": 0.0}, "dx = 0.0"),
        ({"problem": "heat", "dx": math.nan}, "dx = nan"),
        ({"problem": "heat", "dim": 4}, "write 1 to 3"),
        ({"problem": "advection-lax-wendroff", "dim": 2}, "write 1$"),
        ({"problem": "heat", "speed": 1.0}, "choose one of diffusivity, accuracy"),
        ({"problem": "heat", "scheme": "heavy-ball", "momentun": 0.5}, "did you mean 'momentum'"),
        ({"problem": "heat", "diffusivity": -1.0}, "positive"),
        ({"problem": "heat", "diffusivity": math.inf}, "finite"),
        ({"problem": "heat", "diffusivity": "one"}, "diffusivity = 'one'"),
        ({"problem": "heat", "accuracy": 3}, "choose one of 2, 4"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(LastbitError, match=message) as caught:
        analyse(**arguments)
    assert "\n" not in str(caught.value)
