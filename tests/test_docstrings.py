"""Examples that the doctests skip, because they read or make a study, run here; what they print is not compared."""

import doctest
import inspect
import pkgutil
import shutil
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

import lastbit
from lastbit.core.errors import MissingExtraError

STUDIES = Path(__file__).parent / "data" / "studies-format-1"

EXCERPTS = {
    "lastbit.train.twins.lock_step": "a piece of a caller's loop, whose task and device it takes",
    "lastbit.integrations.log.log": "it needs TensorBoard; tests/integrations/test_loggers.py calls it",
}
"""Examples that do not stand alone, with the reason."""

OPENS = {
    "lastbit.studies.doctor.study.DoctorStudy": "lastbit.studies.doctor.kind.doctor",
    "lastbit.studies.same.study.SameStudy": "lastbit.studies.same.kind.same",
    "lastbit.studies.gate.gate.gate_status": "lastbit.studies.gate.gate.gate",
}
"""Examples that open the study of another, which runs before them: there is none in `STUDIES`."""


def skipped():
    """The examples of each docstring in which the doctests skip a line, by its name."""
    found = {}
    modules = [lastbit]
    for one in pkgutil.walk_packages(lastbit.__path__, "lastbit."):
        with suppress(MissingExtraError):
            modules.append(import_module(one.name))
    for module in modules:
        if "doctest: +SKIP" in inspect.getsource(module):
            for test in doctest.DocTestFinder().find(module):
                if any(doctest.SKIP in example.options for example in test.examples):
                    found[test.name] = "".join(example.source for example in test.examples)
    return found


def cases():
    examples = skipped()
    for name, code in examples.items():
        before = [examples[OPENS[name]]] if name in OPENS else []
        if name in OPENS.values():
            continue
        trains = before or ("lastbit-studies/" not in code and "studies/a" not in code)
        yield pytest.param([*before, code], id=name, marks=[pytest.mark.slow] if trains else [])


@pytest.mark.parametrize("codes", [case for case in cases() if case.id not in EXCERPTS])
@pytest.mark.thorough
def test_a_skipped_example_runs_alone(codes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("audit", "trace", "eos", "sharpness"):
        shutil.copytree(STUDIES / kind, tmp_path / "lastbit-studies" / f"{kind}-digits-001")
    for folder in ("a", "b"):
        shutil.copytree(STUDIES / "trace", tmp_path / "studies" / folder)
    for code in codes:
        exec(compile(code, "docs", "exec"), {"__name__": "docs"})


def test_excerpts_are_there():
    assert set(EXCERPTS) <= set(skipped())
