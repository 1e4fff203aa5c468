"""A new kind of study gets its life from the frame: one file of under eighty lines buys all that is tested here."""

import json
from pathlib import Path

import ping
import pytest
from ping import PING

from lastbit.core.errors import LastbitError
from lastbit.studies.frame.make import make
from lastbit.studies.frame.study import Study


def test_the_kind_is_one_short_file():
    assert len(Path(ping.__file__).read_text().splitlines()) < 80


def test_it_is_made_concluded_and_shown(tmp_path, capsys):
    study = make(PING, "digits", epochs=1, echoes=2, workers=1, out=tmp_path / "study")
    assert len(study.result.answers) == 2
    stored = json.loads((tmp_path / "study" / "result.json").read_text())
    assert stored["schema"] == 2
    assert stored["verdict"] == study.verdict == "2 echoes came back."
    assert stored["answers"] == list(study.result.answers)
    assert study.summary().startswith("2 echoes came back.\nAsk again for more.\n")
    assert "Answers" in study.markdown()
    assert "Answers" in study.report().read_text()
    err = capsys.readouterr().err
    assert "ping of 2 echoes x 31 steps into" in err
    assert "[2/2," in err
    assert Study(tmp_path / "study", PING).result == study.result


def test_a_change_on_resume_is_refused_and_an_unknown_setting_too(tmp_path):
    make(PING, "digits", epochs=1, echoes=2, workers=1, quiet=True, out=tmp_path / "study")
    with pytest.raises(LastbitError, match="begun with --echoes 2, not 3"):
        make(PING, resume=tmp_path / "study", echoes=3, quiet=True)
    with pytest.raises(LastbitError, match="unknown setting 'echos'"):
        make(PING, "digits", echos=3, out=tmp_path / "other")
