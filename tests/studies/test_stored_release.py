"""Studies that lastbit 0.1.0 stored as it was released stay readable: opened, drawn, exported, concluded anew.

`tests/data/studies-format-2/` holds a small one of each kind whose runs lastbit trains itself, with its `result.json`.
Nothing in them is ever written anew: what a change would have to rewrite here, it would have broken for everybody.
"""

import html
import json
import shutil
from pathlib import Path

import pytest
from renamed_fields import differences

import lastbit as lb
from lastbit.cli import main
from lastbit.core.errors import LastbitError
from lastbit.core.status import Role
from lastbit.store import StudyFolder
from lastbit.store.layout import FORMER_SCHEMAS, SCHEMA
from lastbit.studies.kinds import KINDS

STORED = Path(__file__).parents[1] / "data" / "studies-format-2"
NAMES = ("audit", "compare", "eos", "remedy", "sharpness", "trace")
WITH_RUNS = ("audit", "compare", "eos", "remedy", "trace")


@pytest.fixture
def folder(request, tmp_path):
    """A copy: SQLite may write beside what it reads."""
    return Path(shutil.copytree(STORED / request.param, tmp_path / request.param))


def each(names):
    return pytest.mark.parametrize("folder", names, indirect=True)


def stored(folder):
    return json.loads((STORED / folder.name / "result.json").read_text("utf-8"))


def test_every_one_is_there_in_its_format():
    assert sorted(one.name for one in STORED.iterdir() if one.is_dir()) == list(NAMES)
    assert set(KINDS) - set(NAMES) == {"doctor", "same"}, "a new kind of study is stored here, small, as it is released"
    for name in NAMES:
        facts = json.loads((STORED / name / "study.json").read_text("utf-8"))
        assert facts["schema"] == 2
        assert facts["environment"]["lastbit"] == "0.1.0"
        assert 2 in (SCHEMA, *FORMER_SCHEMAS)


@each(NAMES)
def test_says_what_it_said(folder):
    study, said = lb.open_study(folder), stored(folder)
    assert study.verdict == said["verdict"]
    assert study.result.verdict_kind == said["verdict_kind"]
    assert differences(f"{study.kind.name}, format 2", said, study.to_json()) == []


@each(NAMES)
def test_its_runs_say_it_without_the_result(folder):
    """By the arithmetic of this machine, so that digits may differ far behind."""
    (folder / "result.json").unlink()
    study, said = lb.open_study(folder), stored(folder)
    assert study.result.verdict_kind == said["verdict_kind"]
    assert differences(f"{study.kind.name}, format 2", said, study.to_json(), rel=1e-9) == []


@each(NAMES)
def test_its_report_is_drawn(folder, capsys):
    assert main(["report", str(folder), "--json", str(folder.with_suffix(".json"))]) in (0, 4)
    said = stored(folder)
    text = html.unescape((folder / "report.html").read_text("utf-8"))
    assert said["verdict"][1:] in text
    assert "<svg" in text or "plotly" in text
    assert said["verdict"][1:60] in " ".join(capsys.readouterr().out.split())
    assert json.loads(folder.with_suffix(".json").read_text("utf-8"))["schema"] == said["schema"]


@each(WITH_RUNS)
def test_its_runs_are_exported(folder, tmp_path):
    study = lb.open_study(folder)
    _, *rows = study.export(tmp_path / "runs.csv").read_text("utf-8").splitlines()
    # One for each run but the repeats, which some kinds leave out, or for each of its steps.
    with StudyFolder.read(folder) as stored_runs:
        assert len(rows) >= len([run for run in stored_runs.runs() if run.role != Role.REPEAT]) > 0
    assert study.to_xarray().sizes


@each(NAMES)
@pytest.mark.parametrize("schema", [SCHEMA + 1, "2", None])
def test_a_format_that_is_not_known_is_refused_in_one_line(folder, schema, capsys):
    facts = json.loads((folder / "study.json").read_text("utf-8"))
    (folder / "study.json").write_text(json.dumps({**facts, "schema": schema}), "utf-8")
    expected = (
        rf"was made with study format {schema!r}, this lastbit reads format {SCHEMA}: use the lastbit that made it"
    )
    with pytest.raises(LastbitError, match=expected):
        lb.open_study(folder)
    assert main(["report", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "use the lastbit that made it" in line
