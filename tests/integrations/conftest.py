"""Small studies that were stored, each copied: SQLite may write beside what it reads."""

import shutil
from pathlib import Path

import pytest

import lastbit as lb

STORED = Path(__file__).parents[1] / "data" / "studies-format-1"


@pytest.fixture
def stored(tmp_path):
    """Open a copy of a study."""

    def opened(name):
        shutil.copytree(STORED / name, tmp_path / "studies" / name)
        return lb.open_study(tmp_path / "studies" / name)

    return opened
