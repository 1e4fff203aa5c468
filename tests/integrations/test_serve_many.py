"""A thousand studies: what the list costs beside only reading the same files, and beside nothing having changed."""

import json
import shutil
import time

import pytest

from lastbit.integrations.serve import shelf as shelf_module
from lastbit.integrations.serve.shelf import Shelf

STUDIES = 1000


@pytest.mark.slow
def test_the_list_costs_little_more_than_reading_its_files(tmp_path, pytestconfig, monkeypatch):
    monkeypatch.setattr(shelf_module, "_FRESH", 0)
    model = pytestconfig.rootpath / "tests" / "data" / "studies-format-1" / "audit"
    names = ("study.json", "result.json", "runs.sqlite")
    for number in range(STUDIES):
        (tmp_path / f"study-{number}").mkdir()
        for name in names:
            shutil.copyfile(model / name, tmp_path / f"study-{number}" / name)

    def reading():
        for path in tmp_path.iterdir():
            for name in names:
                content = (path / name).read_bytes()
                if name.endswith(".json"):
                    json.loads(content)

    def seconds(action):
        begun = time.perf_counter()
        action()
        return time.perf_counter() - begun

    floor = min(seconds(reading) for _ in range(3))
    first = min(seconds(Shelf(tmp_path).entries) for _ in range(3))
    shelf = Shelf(tmp_path)
    assert len(shelf.entries()) == STUDIES
    again = min(seconds(shelf.entries) for _ in range(3))
    print(f"reading alone {floor:.2f} s, the first list {first:.2f} s, the next {again:.2f} s")
    assert first < 5 * floor
    assert again < first / 2
