"""Everything that lastbit writes as JSON says in which form, and a form that it does not know is refused in one line.

The forms of studies are in `tests/studies/test_stored_release.py` and `tests/store/`, of records in
`tests/launch/pair/`, of `lastbit pde` in `tests/studies/pde/`, of sessions in `tests/studies/gate/`.
"""

import json
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest

from lastbit.cli import main
from lastbit.core.errors import LastbitError
from lastbit.launch.forced.record import read_about
from lastbit.store.claim_folder import ClaimFolder
from lastbit.studies.frame.result import Result
from lastbit.studies.kinds import KINDS, kind_named

PAPER = Path(__file__).parents[1] / "data" / "paper-small.json"


def refused(action, *args):
    with pytest.raises(LastbitError) as caught:
        action(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_study_says_its_form_first(name):
    result = kind_named(name).result
    assert issubclass(result, Result)
    schema = result.json_schema()["properties"]["schema"]
    assert schema["type"] == "integer"
    assert "schema" in {one.name for one in fields(result)}


def test_claims_say_their_form(capsys):
    assert main(["paper", "list", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1
    assert json.loads(PAPER.read_text("utf-8"))["schema"] == 1


@pytest.mark.parametrize("schema", [2, None])
def test_claims_of_another_form_are_refused(tmp_path, schema):
    (tmp_path / "paper.json").write_text(json.dumps({"schema": schema, "scale": "small"}), "utf-8")
    said = refused(ClaimFolder.read, tmp_path)
    assert f"is of version {schema}, this lastbit reads 1: measure again in another folder" in said


def test_a_reference_of_another_form_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "reference", "w") as file:
        file.writestr("about.json", json.dumps({"version": 99}))
    assert "was recorded by another version of lastbit" in refused(read_about, tmp_path / "reference")
