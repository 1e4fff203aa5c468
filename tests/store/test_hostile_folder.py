"""A study from elsewhere: nothing in it is followed out of the folder, waited for or unfolded beyond its size."""

import contextlib
import errno
import fcntl
import io
import os
import signal
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.store import (
    DamagedFileError,
    RunFiles,
    RunRecord,
    StorageError,
    StudyFolder,
    lock,
    sweep,
    write_atomically,
)

FACTS = {"kind": "audit", "spec": {}}


@pytest.fixture
def path(tmp_path):
    StudyFolder.create(tmp_path / "study", FACTS).close()
    return tmp_path / "study"


def refused(action, *args, **kwargs):
    with pytest.raises(LastbitError) as caught:
        action(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_that_is_a_link_truncates_nothing(path, tmp_path, link):
    mine = tmp_path / "precious"
    mine.write_text("mine")
    (path / "lock").unlink()
    link(mine, path / "lock")
    assert "lock is a link to another file, and not lastbit's: delete it" in refused(StudyFolder.resume, path)
    with StudyFolder.read(path) as study:
        assert not study.held
    assert mine.read_text() == "mine"
    empty = tmp_path / "empty"
    empty.mkdir()
    link(mine, empty / "lock")
    assert "is a link" in refused(StudyFolder.create, empty, FACTS)
    assert mine.read_text() == "mine"


def test_a_dangling_link_makes_no_file_elsewhere(path, tmp_path):
    (path / "lock").unlink()
    (path / "lock").symlink_to(tmp_path / "made")
    assert "is a link" in refused(StudyFolder.resume, path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["lock", "study.json", "result.json", "runs.sqlite", "arrays/a.npz"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(path, name):
    with StudyFolder.resume(path) as study:
        study.files("a").arrays({"w": np.ones(1)})
        study.add(RunRecord(run="a", cell=0, role="base", label="", status=RunStatus.OK))
        study.save_result({"x": 1})
    (path / name).unlink()
    os.mkfifo(path / name)
    for open_ in (StudyFolder.read, StudyFolder.resume):
        with at_once(), contextlib.suppress(LastbitError), open_(path) as study:
            assert not study.held or open_ == StudyFolder.resume
            if name != "result.json":
                study.result()
            study.arrays("a")
            assert (name, open_) in {("lock", StudyFolder.read), ("result.json", open_)}
            refused(study.result) if name == "result.json" else None


def test_a_checkpoint_that_is_a_pipe_is_none(path):
    files = RunFiles(path, "a")
    os.mkfifo(files.checkpoint_path)
    with at_once():
        assert files.load_checkpoint() is None


@pytest.mark.parametrize("name", ["runs.sqlite", "runs.sqlite-wal", "arrays", "checkpoints"])
def test_nothing_is_written_through_a_link(path, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    if (path / name).exists():
        (path / name).rename(elsewhere)
    (path / name).symlink_to(elsewhere)
    assert f"{name} is a link to another place" in refused(StudyFolder.resume, path)


@contextlib.contextmanager
def at_once():
    """Fail where something is waited for."""

    def waited(number, frame):
        raise AssertionError("waited for a pipe")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def bomb(kind):
    target = io.BytesIO()
    if kind == "compressed":
        np.savez_compressed(target, w=np.zeros(10**7))
        return target.getvalue()
    header = io.BytesIO()
    shape = (10**12,) if kind == "shape" else (10**6,)
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("w.npy", header.getvalue())
    content = target.getvalue()
    if kind == "said":  # the directory claims more bytes than the file has
        content = content.replace(len(header.getvalue()).to_bytes(4, "little"), (6 * 10**8).to_bytes(4, "little"))
    return content


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("compressed", "compressed, which lastbit's are not"),
        ("shape", "does not fill its"),
        ("said", "more bytes than"),
    ],
)
def test_arrays_that_would_unfold_are_refused_before_memory_is_taken(path, kind, said):
    files = RunFiles(path, "a")
    files.arrays_path.write_bytes(bomb(kind))
    assert files.arrays_path.stat().st_size < 200_000
    with pytest.raises(DamagedFileError, match=said):
        files.load_arrays()


class NoLocks:
    """The calls of `fcntl` on a file system that has no locks."""

    LOCK_SH, LOCK_EX, LOCK_NB = 1, 2, 4

    def __init__(self, number):
        self.number = number

    def flock(self, descriptor, how):
        raise OSError(self.number, os.strerror(self.number))


@pytest.fixture(params=[None, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=str)
def no_locks(request, monkeypatch):
    """An operating system without `fcntl`, and file systems without locks."""
    monkeypatch.setattr(lock, "_fcntl", request.param and NoLocks(request.param))


def test_a_study_needs_none_of_what_windows_does_not_have(tmp_path, monkeypatch):
    flush = os.fsync

    def on_windows(descriptor):
        """There only what is open for writing can be flushed."""
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if is_file and not fcntl.fcntl(descriptor, fcntl.F_GETFL) & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flush(descriptor)

    for name in ("O_NOFOLLOW", "O_NONBLOCK"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(os, "fsync", on_windows)
    monkeypatch.setattr(lock, "_fcntl", None)
    StudyFolder.create(tmp_path / "study", FACTS).close()
    StudyFolder.resume(tmp_path / "study").close()
    write_atomically(tmp_path / "whole", lambda path: path.write_text("all of it"))
    assert (tmp_path / "whole").read_text() == "all of it"
    sweep(tmp_path)


def test_where_nothing_can_be_locked_a_file_stands_for_the_lock(no_locks, tmp_path):
    path = tmp_path / "study"
    with StudyFolder.create(path, FACTS) as first:
        assert first.held
        assert f"process {os.getpid()}" in refused(StudyFolder.resume, path)
    with StudyFolder.read(path) as reader:
        assert not reader.held
    assert not (path / "lock.owner").exists()
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    owner = path / "lock.owner"
    owner.write_text(f"{ended.stdout.strip()} {lock.platform.node()}")
    StudyFolder.resume(path).close()  # what a killed process left is no lock
    owner.write_text("1 another-computer")
    assert "process 1" in refused(StudyFolder.resume, path)


def test_the_process_of_a_hostile_lock_is_a_number(path):
    with StudyFolder.resume(path):
        (path / "lock").write_text("\x1b[31m1\n2")
        assert "process unknown" in refused(StudyFolder.resume, path)


def test_a_disk_that_is_full_when_the_folder_is_made_leaves_nothing(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    there = tmp_path / "there"
    there.mkdir()
    for path in (tmp_path / "study", there):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            with pytest.raises(StorageError, match="free some space, then run the same command again"):
                StudyFolder.create(path, FACTS)
        assert not (tmp_path / "study").exists()
        assert list(there.iterdir()) == []
        StudyFolder.create(path, FACTS).close()
        if path != there:
            assert (path / "study.json").exists()
            for item in sorted(path.rglob("*"), reverse=True):
                item.rmdir() if item.is_dir() else item.unlink()
            path.rmdir()


def test_a_sweep_takes_what_killed_writers_left_and_nothing_that_is_being_written(tmp_path):
    left, other = tmp_path / ".lastbit-report-abc.html", tmp_path / ".lastbit-runs-abc.html"
    for path in (left, other):
        path.write_text("part")

    def write(temporary):
        temporary.write_text("whole")
        sweep(tmp_path, "report")
        assert temporary.exists()

    write_atomically(tmp_path / "report.html", write)
    assert (tmp_path / "report.html").read_text() == "whole"
    assert not left.exists()
    assert other.exists()


def test_where_nothing_can_be_locked_a_sweep_goes_by_age(no_locks, tmp_path):
    fresh, old = tmp_path / ".lastbit-report-a.html", tmp_path / ".lastbit-report-b.html"
    for path in (fresh, old):
        path.write_text("part")
    os.utime(old, (0, 0))
    sweep(tmp_path)
    assert fresh.exists()
    assert not old.exists()
