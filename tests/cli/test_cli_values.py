"""Several values after one flag, on the commands that take them."""

import pytest
import typer.main
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.cli import eos, trace
from lastbit.cli.app import app
from lastbit.cli.values import join_values

SEVERAL = {"trace": trace.SEVERAL, "eos": eos.SEVERAL}


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ("trace --lr 0.1 0.05 --quiet", "trace --lr 0.1,0.05 --quiet"),
        ("trace --lr 0.1 --epochs 2", "trace --lr 0.1 --epochs 2"),
        ("trace --lr -1 2", "trace --lr -1,2"),
        ("trace --dtype float32 float64 --lr 1 2", "trace --dtype float32,float64 --lr 1,2"),
        ("trace --lr=0.1 0.2", "trace --lr=0.1 0.2"),
        ("eos --weight-decay 0 0.1 1 --depth 2", "eos --weight-decay 0,0.1,1 --depth 2"),
        ("eos --weight-decay 0,0.1 1", "eos --weight-decay 0,0.1,1"),
        ("eos study.toml --lr 1 2", "eos study.toml --lr 1,2"),
        ("eos --lr 1 2 study.toml", "eos --lr 1,2 study.toml"),
        ("eos --lr study.toml", "eos --lr study.toml"),
        ("eos --steps 2 3", "eos --steps 2 3"),
        ("audit --lr 0.1 0.05", "audit --lr 0.1 0.05"),
        ("", ""),
    ],
)
def test_only_the_values_of_a_sweep_are_joined(words, joined):
    assert join_values(words.split(), SEVERAL) == joined.split()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["--lr", "--depth", "--quiet", "0.1", "2", "a.toml"]), max_size=12))
def test_joining_loses_no_word_and_twice_changes_nothing(words):
    joined = join_values(["eos", *words], SEVERAL)
    assert " ".join(joined).replace(",", " ").split() == ["eos", *words]
    assert join_values(joined, SEVERAL) == joined


@pytest.mark.parametrize("command", SEVERAL)
def test_the_flags_of_a_sweep_are_those_that_can_be_repeated(command):
    parameters = typer.main.get_command(app).commands[command].params
    assert set(SEVERAL[command]) == {p.opts[0] for p in parameters if p.multiple and p.opts[0].startswith("--")}
