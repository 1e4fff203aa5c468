"""A thousand studies: what the list opens of each, and that it opens nothing again where nothing has changed."""

import shutil
import sys
from pathlib import Path

import pytest

from lastbit.integrations.serve import shelf as shelf_module
from lastbit.integrations.serve.shelf import Shelf

STUDIES = 1000
NAMES = ("study.json", "result.json", "runs.sqlite")


class Opened:
    """The files below a folder that this process opened, by what Python itself tells of it, the lock aside.

    Whether a study is being worked on shows in no file's size or time: its lock is asked each time.
    """

    def __init__(self, folder):
        self._folder, self._found = str(folder), []
        sys.addaudithook(self._heard)

    def _heard(self, event, arguments):
        if event in ("open", "sqlite3.connect") and str(arguments[0]).startswith(self._folder):
            path = Path(str(arguments[0])).relative_to(self._folder)
            self._found += [path] if path.name != "lock" else []

    def while_(self, action):
        self._found.clear()
        action()
        return sorted(map(str, self._found))


@pytest.mark.slow
def test_the_list_opens_each_file_once_and_again_only_what_has_changed(tmp_path, pytestconfig, monkeypatch):
    monkeypatch.setattr(shelf_module, "_FRESH", 0)
    model = pytestconfig.rootpath / "tests" / "data" / "studies-format-1" / "audit"
    for number in range(STUDIES):
        (tmp_path / f"study-{number}").mkdir()
        for name in NAMES:
            shutil.copyfile(model / name, tmp_path / f"study-{number}" / name)
    opened, shelf = Opened(tmp_path), Shelf(tmp_path)
    every = sorted(f"study-{number}/{name}" for number in range(STUDIES) for name in NAMES)
    assert opened.while_(shelf.entries) == every
    assert len(shelf.entries()) == STUDIES
    assert opened.while_(shelf.entries) == []
    changed = tmp_path / "study-7" / "result.json"
    changed.write_bytes(changed.read_bytes() + b"\n")
    assert opened.while_(shelf.entries) == sorted(f"study-7/{name}" for name in NAMES)
