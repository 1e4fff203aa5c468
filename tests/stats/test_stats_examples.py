"""The room's front door: what it names, which examples it shows, that it needs no torch."""

import doctest
import subprocess
import sys

import lastbit.stats


def test_the_main_estimators_have_examples():
    finder = doctest.DocTestFinder()
    for name in (
        "variance_components",
        "churn",
        "distribution_spread",
        "smallest_resolvable_difference",
        "seeds_needed",
    ):
        function = getattr(lastbit.stats, name)
        assert any(test.examples for test in finder.find(function, name))


def test_the_front_door_names_what_it_exports():
    assert len(set(lastbit.stats.__all__)) == len(lastbit.stats.__all__)
    assert [name for name in lastbit.stats.__all__ if not hasattr(lastbit.stats, name)] == []


def test_the_room_needs_no_torch():
    code = "import sys, lastbit.stats; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
