"""The JSON schema of every result, `docs/schema/KIND-SCHEMA.json`: that of the classes, written anew by `make golden`.

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
from lastbit.studies.kinds import KINDS, kind_named

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schema"
STORED = ROOT / "tests" / "data" / "studies-format-1"


def schema_file(kind):
    return SCHEMAS / f"{kind}-{SCHEMA}.json"


def schema_text(kind):
    """The schema as it is kept: its dialect, what it is of, then what the class says."""
    found = kind_named(kind).result.json_schema()
    said = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"result of lastbit {kind}"}
    return json.dumps({**found, **said}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_those_of_the_classes(kind):
    text = schema_text(kind)
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    assert schema_file(kind).read_text("utf-8") == text, "run make golden; is SCHEMA to be raised?"


def test_no_schema_is_of_an_unknown_kind_or_of_a_number_to_come():
    for path in SCHEMAS.iterdir():
        kind, number = re.fullmatch(r"(\w+)-(\d+)\.json", path.name).groups()
        assert kind in KINDS
        assert int(number) <= SCHEMA


@pytest.mark.parametrize("kind", ["audit", "trace", "eos", "sharpness"])
def test_what_a_study_concludes_is_valid(kind, tmp_path):
    """Of studies that were stored: what they conclude today has the form of today."""
    shutil.copytree(STORED / kind, tmp_path / kind)  # SQLite may write beside what it reads
    content = json.loads(json.dumps(lb.open_study(tmp_path / kind).result.to_json(), allow_nan=False))
    schema = json.loads(schema_file(kind).read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(content)
    del content["verdict_kind"]
    with pytest.raises(jsonschema.ValidationError, match="'verdict_kind' is a required property"):
        jsonschema.Draft202012Validator(schema).validate(content)


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for one in KINDS:
        schema_file(one).write_text(schema_text(one), "utf-8")
        print(schema_file(one), file=sys.stderr)
