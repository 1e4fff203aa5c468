"""The functions spell out every setting, for editors and type checkers; the fields of the settings are what holds."""

import inspect
from typing import get_args

import pytest

import lastbit
from lastbit.perturb.registry import PERTURBATIONS
from lastbit.studies.frame.settings import StudySettings, study_keywords
from lastbit.studies.kinds import KINDS, kind_named

LIFE = {"out", "resume", "workers", "threads", "quiet", "checkpoint_seconds"}


@pytest.mark.parametrize("name", KINDS)
def test_a_function_takes_every_setting_and_no_other(name):
    taken = set(inspect.signature(getattr(lastbit, name)).parameters)
    settings = {one.name for one in study_keywords(kind_named(name).settings)}
    assert taken - LIFE == settings
    assert {"out", "resume", "quiet"} <= taken


@pytest.mark.parametrize("name", KINDS)
def test_every_setting_is_described_in_the_docstring(name):
    told = getattr(lastbit, name).__doc__
    assert not [one for one in inspect.signature(getattr(lastbit, name)).parameters if f"\n        {one}: " not in told]


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_asks_of_the_task_are_settings_of_the_task(name):
    settings = kind_named(name).settings
    assert issubclass(settings, StudySettings)
    known = {one.name for one in study_keywords(StudySettings)}
    assert {*settings.sweeps, *settings.arguments, *settings.decides} <= known


def test_perturbations_are_the_registered_ones():
    (one,) = [one for one in study_keywords(kind_named("audit").settings) if one.name == "perturb"]
    assert set(get_args(one.annotation)) == set(PERTURBATIONS) - {"identity"}
