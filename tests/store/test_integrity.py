"""Every file of a run carries a checksum: a flipped bit is found wherever it lies."""

import json
import sqlite3

import numpy as np
import pytest
import torch

from lastbit.core.status import RunStatus
from lastbit.store import DamagedFileError, RunRecord, StudyFolder

FACTS = {"kind": "audit", "spec": {}, "cells": []}


@pytest.fixture
def study(tmp_path):
    with StudyFolder.create(tmp_path / "study", FACTS) as made:
        made.files("a").arrays({"w": np.arange(20.0), "label": np.array(["x", "yz"])})
        made.add(RunRecord(run="a", cell=0, role="base", label="", status=RunStatus.OK))
        made.save_result({"verdict": "noise"})
        yield made


def flipped(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_any_flipped_bit_of_an_array_is_found(study):
    path = study.files("a").arrays_path
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 61):
        flipped(path, bit)
        with pytest.raises(DamagedFileError, match=r"a\.npz cannot be read \(its checksum differs"):
            study.arrays("a")
        assert "checksum" in study.why_unreadable("a")
        path.write_bytes(whole)
    assert study.arrays("a")["w"].tolist() == list(range(20))
    assert study.why_unreadable("a") == ""


def test_any_flipped_bit_of_a_checkpoint_drops_it(study):
    """In the data, the facts, the names, the shapes: never another state than the one that was written."""
    files = study.files("b")
    files.save_checkpoint({"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}, {"position": 5, "note": "σ"})
    path = files.checkpoint_path
    whole = path.read_bytes()
    tensors, facts = files.load_checkpoint()
    for bit in range(8 * len(whole)):
        flipped(path, bit)
        if (found := files.load_checkpoint()) is not None:
            # Whitespace between the parts of the header says nothing.
            assert found[1] == facts
            assert {name: value.tolist() for name, value in found[0].items()} == {
                name: value.tolist() for name, value in tensors.items()
            }
        path.write_bytes(whole)
    size = int.from_bytes(whole[:8], "little")
    for bit in range(8 * (8 + size), 8 * len(whole)):
        flipped(path, bit)
        assert files.load_checkpoint() is None
        path.write_bytes(whole)


def test_a_changed_result_is_not_believed(study):
    path = study.path / "result.json"
    path.write_text(path.read_text().replace("noise", "nouse"))
    assert study.result() is None
    study.save_result({"verdict": "noise"})
    assert study.result() == {"verdict": "noise"}


def test_a_checksum_is_replaced_with_its_file(study):
    study.files("a").arrays({"w": np.ones(3)})
    assert "checksum" in study.why_unreadable("a")
    study.add(RunRecord(run="a", cell=0, role="base", label="", status=RunStatus.OK))
    assert study.arrays("a")["w"].tolist() == [1, 1, 1]


def test_studies_without_checksums_are_read_and_continued(study):
    study.close()
    with sqlite3.connect(study.path / "runs.sqlite") as database:
        database.execute("DROP TABLE files")
    database.close()
    with StudyFolder.read(study.path) as old:
        assert old.arrays("a")["w"].tolist() == list(range(20))
        assert old.result() == {"verdict": "noise"}
        assert old.why_unreadable("a") == ""
        (study.path / "arrays" / "a.npz").write_bytes(b"PK")
        assert "cannot be read" in old.why_unreadable("a")
    with StudyFolder.resume(study.path) as old:
        old.files("b").arrays({"w": np.ones(1)})
        old.add(RunRecord(run="b", cell=1, role="base", label="", status=RunStatus.OK))
        assert old.has_checksum("b")
        assert not old.has_checksum("a")


def test_a_checkpoint_without_a_checksum_is_taken_as_it_is(study):
    from safetensors.torch import save

    files = study.files("b")
    files.checkpoint_path.write_bytes(save({"w": torch.ones(2)}, metadata={"facts": json.dumps({"position": 2})}))
    assert files.load_checkpoint()[1] == {"position": 2}
