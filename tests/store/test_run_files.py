import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.store import RunFiles, RunRecord, StorageError, StudyFolder, write_atomically, write_json

DTYPES = [
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.complex64,
]
OLD = {"w": np.arange(4.0)}


@pytest.fixture
def study(tmp_path):
    with StudyFolder.create(tmp_path / "study", {"kind": "audit"}) as made:
        yield made


@pytest.fixture
def files(study):
    return study.files("seed000-p000")


def names(folder):
    return sorted(item.name for item in folder.iterdir())


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_checkpoints_come_back_bit_for_bit(files, dtype):
    raw = torch.arange(64, dtype=torch.uint8)
    x = raw % 2 == 1 if dtype == torch.bool else raw.view(dtype)
    tensors = {"x": x, "odd/name \"'": x[:0], "scalar": x[1].clone(), "cut": x[::2], "again": x}
    files.save_checkpoint(tensors, {"position": 3, "list": [1, None, "σ"]})
    found, facts = files.load_checkpoint()
    assert facts == {"position": 3, "list": [1, None, "σ"]}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        a, b = found[name].contiguous(), tensor.contiguous()
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))


def test_checkpoints_keep_nan_payloads_and_gradients_out(files):
    odd = torch.tensor([0x7FC00001, -1, -0x80000000, 1], dtype=torch.int32).view(torch.float32)
    files.save_checkpoint({"odd": odd, "w": torch.ones(2, requires_grad=True)}, {})
    tensors, _ = files.load_checkpoint()
    assert torch.equal(tensors["odd"].view(torch.int32), odd.view(torch.int32))
    assert not tensors["w"].requires_grad


def test_a_checkpoint_replaces_the_one_before(files):
    assert files.load_checkpoint() is None
    for position in (1, 2):
        files.save_checkpoint({"w": torch.full((2,), float(position))}, {"position": position})
    tensors, facts = files.load_checkpoint()
    assert (tensors["w"].tolist(), facts) == ([2.0, 2.0], {"position": 2})
    assert names(files.checkpoint_path.parent) == ["seed000-p000.safetensors"]
    files.drop_checkpoint()
    files.drop_checkpoint()
    assert files.load_checkpoint() is None


def test_facts_are_strict_json(files):
    files.save_checkpoint({}, {"position": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.save_checkpoint({}, {"loss": float("nan")})
    assert files.load_checkpoint() == ({}, {"position": 1})


def test_a_checkpoint_that_is_not_whole_counts_as_none(files):
    files.save_checkpoint({"w": torch.arange(100.0)}, {"position": 1})
    whole = files.checkpoint_path.read_bytes()
    for length in [0, 1, 7, 8, 9, 40, len(whole) // 2, len(whole) - 1]:
        files.checkpoint_path.write_bytes(whole[:length])
        assert files.load_checkpoint() is None, length
    for garbage in (b"\x00" * 500, b"\xff" * 500, b"pickled?" * 99, whole.replace(b'"F32"', b'"F99"')):
        files.checkpoint_path.write_bytes(garbage)
        assert files.load_checkpoint() is None
    from safetensors.torch import save

    for metadata in (None, {"other": "x"}, {"facts": "{"}):
        files.checkpoint_path.write_bytes(save({"w": torch.ones(2)}, metadata=metadata))
        assert files.load_checkpoint() is None
    files.checkpoint_path.write_bytes(whole)
    assert files.load_checkpoint()[1] == {"position": 1}


def test_arrays_come_back_bit_for_bit(files):
    arrays = {
        "float32": np.array([0x7FC00001, 0x80000000, 1], dtype=np.uint32).view(np.float32),
        "float64": np.array([np.nan, -0.0, np.inf, 5e-324]),
        "packed": np.packbits(np.array([1, 0, 1, 1, 0, 1, 1, 1, 1], dtype=bool)),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "scalar": np.float64(3.0),
        "transposed": np.arange(6).reshape(2, 3).T,
    }
    files.arrays(arrays)
    found = files.load_arrays()
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_nothing_is_pickled(files, tmp_path):
    with pytest.raises(ValueError, match="holds objects"):
        files.arrays({"w": np.array([{}, None], dtype=object)})
    assert names(files.arrays_path.parent) == []
    marker = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    np.savez(files.arrays_path, w=np.array([Bomb()], dtype=object))
    with pytest.raises(LastbitError, match="cannot be read"):
        files.load_arrays()
    assert not marker.exists()


def test_arrays_that_are_missing_or_damaged_are_said_in_one_line(files):
    with pytest.raises(LastbitError, match=r"^\S+seed000-p000\.npz is missing"):
        files.load_arrays()
    files.arrays({"w": np.arange(1000.0)})
    whole = files.arrays_path.read_bytes()
    flipped = bytearray(whole)
    flipped[600] ^= 1
    for content in (b"", whole[:10], whole[: len(whole) // 2], b"garbage" * 50, bytes(flipped)):
        files.arrays_path.write_bytes(content)
        with pytest.raises(LastbitError, match="cannot be read") as caught:
            files.load_arrays()
        assert "\n" not in str(caught.value)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content(tmp_path, monkeypatch, where):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def fail(*args, **options):
        raise Killed

    if where == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    if where == "replace":
        monkeypatch.setattr("pathlib.Path.replace", fail)

    def write(temporary):
        temporary.write_text("new, in par")
        if where == "write":
            raise Killed

    with pytest.raises(Killed):
        write_atomically(path, write)
    assert path.read_text() == '{\n  "old": 1\n}\n'
    assert names(tmp_path) == ["a.json"]


DIES_IN_THE_WRITE = """
import os, sys
from pathlib import Path
import numpy as np
from lastbit.store import RunFiles
import lastbit.store.run_files as module

def part(path, **arrays):
    path.write_bytes(b"PK half of the arrays")
    os._exit(9)

np.savez = part
RunFiles(Path(sys.argv[1]), "seed000-p000").arrays({"w": np.ones(9)})
"""


def test_a_writer_that_dies_leaves_the_old_arrays_and_no_run(study, files):
    files.arrays(OLD)
    run = subprocess.run([sys.executable, "-c", DIES_IN_THE_WRITE, str(study.path)], capture_output=True, text=True)
    assert run.returncode == 9, run.stderr
    assert files.load_arrays()["w"].tolist() == OLD["w"].tolist()
    assert study.runs() == []
    left = names(study.path / "arrays")
    assert len(left) == 2
    assert left[0].startswith(".lastbit-")
    study.close()
    StudyFolder.resume(study.path).close()
    assert names(study.path / "arrays") == ["seed000-p000.npz"]


WRITES = {
    "arrays": lambda study: study.files("r").arrays({"w": np.ones(9)}),
    "checkpoint": lambda study: study.files("r").save_checkpoint({"w": torch.ones(9)}, {"position": 2}),
    "result": lambda study: study.save_result({"new": 1}),
    "facts": lambda study: study.update_facts(new=1),
}


def stocked(study):
    """A study that holds one of everything."""
    study.files("r").arrays(OLD)
    study.files("r").save_checkpoint({"w": torch.zeros(2)}, {"position": 1})
    study.save_result({"old": 1})
    return study


def check_nothing_lost(study):
    assert study.files("r").load_arrays()["w"].tolist() == OLD["w"].tolist()
    assert study.files("r").load_checkpoint()[1] == {"position": 1}
    assert study.result() == {"old": 1}
    assert "new" not in study.facts
    for folder in (study.path, study.path / "arrays", study.path / "checkpoints"):
        assert not [name for name in names(folder) if name.startswith(".")]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, r"disk that holds \S+ is full: free some space, then continue with --resume"),
        (errno.EDQUOT, r"disk that holds \S+ is full: free some space, then continue with --resume"),
        (errno.EROFS, r"cannot write to \S+ \(Read-only file system\): make it writable, or go on with a copy"),
        (errno.EACCES, r"cannot write to \S+ \(Permission denied\): make it writable, or go on with a copy"),
    ],
    ids=["full", "quota", "read-only", "permission"],
)
def test_a_disk_that_does_not_take_it_loses_nothing(study, monkeypatch, write, number, said):
    stocked(study)

    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match=said) as caught:
            write(study)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    check_nothing_lost(study)


@pytest.mark.parametrize("write", [WRITES["arrays"], WRITES["checkpoint"], WRITES["result"]], ids=["npz", "st", "json"])
def test_a_device_that_is_really_full_is_said_so(study, monkeypatch, write):
    """Every byte goes to `/dev/full`, where the kernel itself answers ENOSPC."""
    stocked(study)
    real = write_atomically

    def to_full_device(path, fill):
        def instead(temporary):
            temporary.unlink()
            temporary.symlink_to("/dev/full")
            fill(temporary)

        real(path, instead)

    with monkeypatch.context() as patch:
        for module in ("run_files", "layout"):
            patch.setattr(f"lastbit.store.{module}.write_atomically", to_full_device)
        with pytest.raises(StorageError, match="is full: free some space"):
            write(study)
    check_nothing_lost(study)


@pytest.mark.parametrize("write", [WRITES["arrays"], WRITES["checkpoint"]], ids=["npz", "st"])
def test_a_limit_on_the_size_of_files_is_said_in_one_line(study, write):
    """The kernel's own refusal in the middle of a write (EFBIG), for the true code path of each format."""
    stocked(study)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write to \S+ \(File too large\)"):
            write(study)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check_nothing_lost(study)


def test_a_full_disk_under_the_database_loses_no_finished_run(study):
    kept = RunRecord(run="kept", cell=0, role="base", label="", status=RunStatus.OK)
    study.add(kept)
    pages = study._database.execute("PRAGMA page_count").fetchone()[0]
    study._database.execute(f"PRAGMA max_page_count = {pages}")
    big = RunRecord(run="big", cell=1, role="base", label="x" * 10**6, status=RunStatus.OK)
    study.files("big").save_checkpoint({}, {"position": 1})
    with pytest.raises(StorageError, match="is full: free some space"):
        study.add(big)
    assert study.runs() == [kept]
    assert study.files("big").load_checkpoint() is not None  # what was trained can still be gone on with


def test_a_folder_that_vanished_is_said_in_one_line(tmp_path):
    gone = RunFiles(tmp_path / "gone", "r")
    with pytest.raises(StorageError, match=r"cannot write to \S+ \(No such file or directory\)"):
        gone.arrays(OLD)
    assert gone.load_checkpoint() is None
