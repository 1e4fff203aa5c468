import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.dynamics.thinning import Thinning


def slow_keeps(step, last, dense, grid):
    """The rule as its docstring states it, one step at a time."""
    if step < dense or step == last:
        return True
    octave = 0
    while step >= 2 ** (octave + 1) * dense:
        octave += 1
    stride = 1
    while last > grid * stride:
        stride *= 2
    return step % 2 ** (octave + 1) == 0 or step % stride == 0


RULES = st.builds(Thinning, dense=st.sampled_from([1, 2, 8, 64]), grid=st.integers(1, 100))


@settings(deadline=None, max_examples=60)
@given(RULES, st.integers(0, 3000))
def test_the_rule_is_the_one_stated(rule, last):
    kept = [t for t in range(last + 1) if slow_keeps(t, last, rule.dense, rule.grid)]
    assert rule.kept(last).tolist() == kept
    assert len(kept) <= rule.bound(last)


@settings(deadline=None, max_examples=60)
@given(RULES, st.integers(0, 2000), st.integers(1, 2000))
def test_what_is_dropped_never_comes_back_and_was_measured_in_its_time(rule, early, more):
    before, after = set(rule.kept(early).tolist()), set(rule.kept(early + more).tolist())
    assert {t for t in after if t <= early} <= before
    assert all(rule.wants(t) for t in after if t != early + more)


@settings(deadline=None, max_examples=40)
@given(RULES, st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_a_run_that_stops_and_goes_on_keeps_what_an_uninterrupted_one_keeps(rule, legs):
    held, step = {0}, 0
    for leg in legs:
        for _ in range(leg):
            step += 1
            if rule.wants(step):
                held.add(step)
        held.add(step)
        held = {t for t in held if rule.keeps(t, step)}
    assert sorted(held) == rule.kept(step).tolist()


def test_ten_thousand_steps_of_sixty_tensors_stay_under_100_megabytes():
    rule = Thinning()
    bytes_per_tensor = 64 * 8 * 2 + 8
    assert len(rule.kept(10_000)) == 474
    assert max(rule.bound(last) for last in range(0, 10_001, 50)) * 60 * bytes_per_tensor < 51e6
    assert rule.kept(10_000)[:65].tolist() == [*range(64), 64]


def test_bad_rules_are_named():
    with pytest.raises(LastbitError, match="power of two"):
        Thinning(dense=48)
    with pytest.raises(LastbitError, match="grid = 0"):
        Thinning(grid=0)
    with pytest.raises(LastbitError, match="between 0 and the last step 5"):
        Thinning().mask([3, 6], 5)
