"""The functions show every setting as a keyword argument, and what a kind asks of its task are settings of it."""

import inspect
from typing import get_args

import pytest

import lastbit
from lastbit.perturb.registry import PERTURBATIONS
from lastbit.studies.frame.settings import StudySettings, study_keywords
from lastbit.studies.kinds import KINDS, kind_named


@pytest.mark.parametrize("name", KINDS)
def test_help_shows_every_setting_as_a_keyword_and_says_what_it_is(name):
    function = getattr(lastbit, name)
    parameters = inspect.signature(function).parameters
    settings = {one.name: one for one in study_keywords(kind_named(name).settings)}
    asked = {one for one, parameter in parameters.items() if parameter.kind is not parameter.VAR_POSITIONAL}
    assert asked - {"quiet", "checkpoint_seconds", "reference", "candidate"} == settings.keys()
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values())
    assert all(parameters[one].default == settings[one].default for one in settings if one != "task")
    assert not [one for one in asked if f"\n    {one}: " not in function.__doc__]


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_asks_of_the_task_are_settings_of_the_task(name):
    settings = kind_named(name).settings
    assert issubclass(settings, StudySettings)
    known = {one.name for one in study_keywords(StudySettings)}
    assert {*settings.sweeps, *settings.arguments, *settings.decides} <= known


def test_perturbations_are_the_registered_ones():
    (one,) = [one for one in study_keywords(kind_named("audit").settings) if one.name == "perturb"]
    assert set(get_args(one.annotation)) == set(PERTURBATIONS) - {"identity"}
