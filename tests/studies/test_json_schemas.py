"""The JSON schema of every result, `docs/schema/NAME-SCHEMA.json`: that of the classes, written anew by `make golden`.

The number is that of the field `schema` in the results. Where a change would break who reads them, raise it: the files
of former numbers stay.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest

import lastbit as lb
from lastbit.store import SCHEMA
from lastbit.studies.frame.json_schema import json_schema_of
from lastbit.studies.gate import result as gate
from lastbit.studies.kinds import KINDS, kind_named
from lastbit.studies.paper import result as paper
from lastbit.studies.pde.cnn_stability import CnnStability
from lastbit.studies.pde.complexity import ComplexityStudy
from lastbit.studies.pde.deep_stability import DeepStability
from lastbit.studies.pde.linear_simulate import LinearSimulation
from lastbit.studies.pde.phase import PhaseStudy
from lastbit.studies.pde.result import PdeResult
from lastbit.studies.pde.simulate import FlowStudy
from lastbit.studies.pde.stability import LinearStability
from lastbit.studies.pde.window import WindowStudy

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schema"
STORED = ROOT / "tests" / "data" / "studies-format-1"


PDE = {
    "pde-stability-cnn": CnnStability,
    "pde-stability-deep": DeepStability,
    "pde-stability-classical": LinearStability,
    "pde-simulate-cnn": FlowStudy,
    "pde-simulate-classical": LinearSimulation,
    "pde-phase": PhaseStudy,
    "pde-window": WindowStudy,
    "pde-complexity": ComplexityStudy,
}
NUMBERS = {
    **dict.fromkeys(KINDS, SCHEMA),
    "gate": gate.SCHEMA,
    "paper": paper.SCHEMA,
    **{name: one.schema for name, one in PDE.items()},
}
"""Every file's name, and its present number."""


def schema_file(name):
    return SCHEMAS / f"{name}-{NUMBERS[name]}.json"


def schema_of(name):
    if name in KINDS:
        return kind_named(name).result.json_schema()
    if name in PDE:
        return PDE[name].json_schema()
    return json_schema_of({"gate": gate.GateResult, "paper": paper.PaperResult}[name])


def schema_text(name):
    """The schema as it is kept: its dialect, what it is of, then what the class says."""
    said = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"result of lastbit {name.replace('-', ' ')}",
    }
    return json.dumps({**schema_of(name), **said}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def valid(name, content):
    """Whether what `to_json` returned is of the kept schema once JSON has held it, and is not without its verdict."""
    held = json.loads(json.dumps(content, allow_nan=False))
    schema = jsonschema.Draft202012Validator(json.loads(schema_file(name).read_text("utf-8")))
    schema.validate(held)
    assert set(held) <= set(schema.schema["properties"])
    del held["verdict_kind"]
    with pytest.raises(jsonschema.ValidationError, match="'verdict_kind' is a required property"):
        schema.validate(held)


@pytest.mark.parametrize("name", NUMBERS)
def test_schemas_are_those_of_the_classes(name):
    text = schema_text(name)
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    assert schema_file(name).read_text("utf-8") == text, "run make golden; is SCHEMA to be raised?"


def test_no_schema_is_of_an_unknown_kind_or_of_a_number_to_come():
    for path in SCHEMAS.iterdir():
        name, number = re.fullmatch(r"([\w-]+)-(\d+)\.json", path.name).groups()
        assert int(number) <= NUMBERS[name]


def test_every_result_of_a_pde_has_a_schema():
    def kinds(of):
        return [one for kind in of.__subclasses__() for one in (kinds(kind) or [kind])]

    assert set(kinds(PdeResult)) == set(PDE.values())


@pytest.mark.parametrize("kind", ["audit", "trace", "eos", "sharpness"])
def test_what_a_study_concludes_is_valid(kind, tmp_path):
    """Of studies that were stored: what they conclude today has the form of today."""
    shutil.copytree(STORED / kind, tmp_path / kind)  # SQLite may write beside what it reads
    valid(kind, lb.open_study(tmp_path / kind).result.to_json())


@pytest.mark.parametrize("dt", [None, 0.4, 0.6])
def test_what_a_classical_problem_answers_is_valid(dt):
    valid("pde-stability-classical", lb.pde_stability("heat", dt=dt).to_json())
    if dt is not None:
        valid("pde-simulate-classical", lb.pde_simulate("heat", dt=dt, steps=4000).to_json())


def test_what_the_one_layer_network_answers_is_valid():
    """With rates that settle, that are restrained and that blow up, whose records end with what is no number."""
    small = {"image_size": 12, "kernel": 4}
    valid("pde-stability-cnn", lb.pde_stability("cnn", dt=0.1, **small).to_json())
    for lr in (0.1, 1e3):
        valid("pde-simulate-cnn", lb.pde_simulate("cnn", lr=lr, weight_decay=1.0, steps=40, twin=3, **small).to_json())
    valid("pde-phase", lb.pde_phase(points=4, steps=40, twin=3, **small).to_json())
    valid("pde-window", lb.pde_window(weight_decay=1.0, steps=60, rtol=0.05, **small).to_json())


def test_what_measured_claims_answer_is_valid():
    """Of the claims as they are kept: of some a number is not known, of some no narrower form was found."""
    kept = json.loads((ROOT / "tests" / "data" / "paper-small.json").read_text("utf-8"))
    schema = json.loads(schema_file("paper").read_text("utf-8"))
    assert {one["found"] is None for one in kept["claims"]} == {True, False}
    for claim in kept["claims"]:
        of_claim = {"$defs": schema["$defs"], "$ref": "#/$defs/ClaimRow"}
        jsonschema.Draft202012Validator(of_claim).validate(claim)


def test_what_deep_networks_answer_is_valid():
    small = {"depth": 1, "width": 2, "image_size": 6, "images": 2}
    valid("pde-stability-deep", lb.pde_stability("deep", **small).to_json())
    valid("pde-complexity", lb.pde_complexity(depths=(1, 2), widths=(), kernels=(), seeds=2, **small).to_json())


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for one in NUMBERS:
        schema_file(one).write_text(schema_text(one), "utf-8")
        print(schema_file(one), file=sys.stderr)
