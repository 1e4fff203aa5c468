"""What the room offers is there, each name once."""

import lastbit.dynamics


def test_the_front_door_is_complete():
    public = lastbit.dynamics.__all__
    assert len(set(public)) == len(public)
    assert all(hasattr(lastbit.dynamics, name) for name in public)
