"""Several values after one flag, on the commands that take them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.cli.fields import join_values

FLAGS = {"--lr", "--dtype", "--weight-decay", "--depth"}


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ("--lr 0.1 0.05 --quiet", "--lr 0.1,0.05 --quiet"),
        ("--lr 0.1 --epochs 2", "--lr 0.1 --epochs 2"),
        ("--lr -1 2", "--lr -1,2"),
        ("--dtype float32 float64 --lr 1 2", "--dtype float32,float64 --lr 1,2"),
        ("--lr=0.1 0.2", "--lr=0.1 0.2"),
        ("--weight-decay 0 0.1 1 --depth 2", "--weight-decay 0,0.1,1 --depth 2"),
        ("--weight-decay 0,0.1 1", "--weight-decay 0,0.1,1"),
        ("study.toml --lr 1 2", "study.toml --lr 1,2"),
        ("--lr 1 2 study.toml", "--lr 1,2 study.toml"),
        ("--lr study.toml", "--lr study.toml"),
        ("--steps 2 3", "--steps 2 3"),
        ("--lr 1 2 -h", "--lr 1,2 -h"),
        ("", ""),
    ],
)
def test_only_the_values_of_a_sweep_are_joined(words, joined):
    assert join_values(words.split(), FLAGS) == joined.split()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["--lr", "--depth", "--quiet", "0.1", "2", "a.toml"]), max_size=12))
def test_joining_loses_no_word_and_twice_changes_nothing(words):
    joined = join_values(words, FLAGS)
    assert " ".join(joined).replace(",", " ").split() == words
    assert join_values(joined, FLAGS) == joined
