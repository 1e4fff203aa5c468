"""How a command ends is decided for every kind of verdict of every study: a new kind needs a line here."""

import ast
import inspect
from importlib import import_module

import pytest

from lastbit.core.exit_codes import ExitCode
from lastbit.core.status import RunStatus
from lastbit.dynamics.verdict import VERDICTS
from lastbit.studies.frame.result import _EXIT_CODES, exit_code_of
from lastbit.studies.kinds import KINDS
from lastbit.studies.trace.twins_found import _SILENT
from lastbit.studies.trace.verdict import _ADVICE

DECIDED = {
    "audit": {
        ExitCode.ANSWERED: {
            *("hardly_last_bit", "partly_last_bit", "mostly_last_bit", "mixed", "no_spread", "not_measured"),
        },
        ExitCode.NOT_REPRODUCIBLE: {"not_reproducible", "not_landed", "no_runs"},
        ExitCode.ALL_DIVERGED: {"all_diverged", "not_finite"},
    },
    "trace": {
        ExitCode.ANSWERED: {"stable", "restrained", "decays", "mixed", "undecided"},
        ExitCode.NOT_REPRODUCIBLE: {"not_reproducible", "not_landed", "no_runs"},
        ExitCode.ALL_DIVERGED: {"diverged", "diverging"},
    },
    "eos": {
        ExitCode.ANSWERED: {"at_edge", "below_edge", "beyond_edge", "mixed", "not_measured"},
        ExitCode.NOT_REPRODUCIBLE: {"not_reproducible", "no_runs"},
        ExitCode.ALL_DIVERGED: {"diverged", "diverging"},
    },
    "sharpness": {
        ExitCode.ANSWERED: {"stable", "past_limit", "not_converged"},
        ExitCode.NOT_REPRODUCIBLE: {"not_reproducible"},
    },
    "doctor": {
        ExitCode.ANSWERED: {"identical", "recorded", "outputs_differ"},
        ExitCode.NOT_REPRODUCIBLE: {"differs", "returned_differs", "exits_differ", "no_runs"},
        ExitCode.UNDECIDED: {"timed_out"},
    },
    "compare": {
        ExitCode.ANSWERED: {"real", "no_difference"},
        ExitCode.UNDECIDED: {"undecided"},
        ExitCode.NOT_REPRODUCIBLE: {"no_runs"},
        ExitCode.ALL_DIVERGED: {"all_diverged"},
    },
    "same": {
        ExitCode.ANSWERED: {"bit_for_bit", "same_up_to_rounding", "other_arithmetic", "recorded"},
        ExitCode.NO: {"different"},
        ExitCode.UNDECIDED: {"undecided"},
        ExitCode.NOT_REPRODUCIBLE: {"not_reproducible", "no_runs"},
    },
    "remedy": {
        ExitCode.ANSWERED: {"remedy", "none", "nothing_to_calm"},
        ExitCode.UNDECIDED: {"undecided"},
        ExitCode.NOT_REPRODUCIBLE: {"not_reproducible", "not_landed", "no_runs"},
        ExitCode.ALL_DIVERGED: {"all_diverged"},
    },
}


def page_kinds(study):
    return set(import_module(f"lastbit.studies.{study}.page")._KINDS)


def named_kinds(study):
    """The kinds that a module of verdicts names: second arguments of `Verdict`, and what `cell_kind` returns."""
    tree = ast.parse(inspect.getsource(import_module(f"lastbit.studies.{study}.verdict")))
    found = {"no_runs"} if study == "trace" else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Verdict" and len(node.args) > 1:
            found |= {node.args[1].value} if isinstance(node.args[1], ast.Constant) else set()
        if isinstance(node, ast.FunctionDef) and node.name == "cell_kind":
            returns = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
            found |= {one.value for each in returns for one in ast.walk(each) if isinstance(one, ast.Constant)}
    return {one for one in found if isinstance(one, str)}


def test_every_kind_of_study_is_here():
    assert DECIDED.keys() == KINDS.keys()


@pytest.mark.parametrize("study", DECIDED)
def test_every_kind_of_verdict_has_a_decision(study):
    decided = {kind: code for code, kinds in DECIDED[study].items() for kind in kinds}
    assert page_kinds(study) == set(decided)
    assert {kind: exit_code_of(study, kind) for kind in decided} == decided


@pytest.mark.parametrize("study", DECIDED)
def test_every_kind_that_a_verdict_names_has_a_page(study):
    named = named_kinds(study)
    assert named
    assert named <= page_kinds(study)


def test_what_becomes_of_twins_has_a_page():
    assert {*VERDICTS, *_ADVICE, *_SILENT, str(RunStatus.DIVERGING), "mixed"} <= page_kinds("trace")


def test_no_exit_code_is_that_of_a_verdict_nobody_gives():
    assert set().union(*map(page_kinds, DECIDED)) >= set(_EXIT_CODES)
