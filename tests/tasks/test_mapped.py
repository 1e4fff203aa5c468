"""Arrays in files: gathered row by row, sent by their place, their pages given back."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from readable import reading_task
from torch.utils.data import Dataset, Subset

from lastbit.core.errors import LastbitError
from lastbit.studies.frame.fingerprint import fingerprint
from lastbit.tasks import split as splits
from lastbit.tasks.loader import _Checking, _Nowhere
from lastbit.tasks.mapped import MappedArray, Pages, files_kept_by, mapped_file
from lastbit.tasks.split import Split

ROWS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0).astype(np.int64)


class Kept(Dataset):
    """Keeps an array of its own."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@pytest.fixture
def file(tmp_path):
    ROWS.tofile(tmp_path / "rows")
    return tmp_path / "rows"


def hold(monkeypatch, size):
    for limit in ("_HELD", "_READ_WHOLE"):
        monkeypatch.setattr(splits, limit, size)


@pytest.fixture
def nothing_held(monkeypatch):
    hold(monkeypatch, 0)


def on_disk(file, mode="r"):
    return np.memmap(file, np.float32, mode, shape=ROWS.shape)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_batches_are_the_rows_whether_they_are_held_or_not(file, mode, monkeypatch):
    for held in (1 << 30, 0):
        hold(monkeypatch, held)
        split = Split((on_disk(file, mode), LABELS))
        assert (split.tensors is None) is (held == 0)
        elsewhere = pickle.loads(pickle.dumps(split))  # noqa: S301
        for found in (split, elsewhere, split.subset(torch.arange(40))):
            for wanted in (split.to("cpu", torch.float64), found.to("cpu", torch.float64)):
                inputs, targets = wanted.batch(torch.tensor([7, 3, 7]))
                assert inputs.dtype == torch.float64
                assert torch.equal(inputs, torch.from_numpy(ROWS)[[7, 3, 7]].double())
                assert targets.tolist() == LABELS[[7, 3, 7]].tolist()
        assert torch.equal(split.targets, torch.from_numpy(LABELS))
        part = split.subset(torch.tensor([9, 4])).subset(torch.tensor([1]))
        assert part.batch(torch.tensor([0]))[0].tolist() == ROWS[[4]].tolist()
        assert part.targets.tolist() == [LABELS[4]]


def test_large_tensors_are_not_moved_whole(nothing_held):
    x = torch.from_numpy(ROWS)
    split = Split((x, torch.from_numpy(LABELS))).to("cpu", torch.float64)
    assert split.tensors is None
    assert split._lying[0].data_ptr() == x.data_ptr()
    assert split.batch(torch.tensor([3]))[0].dtype == torch.float64


@given(start=st.integers(0, 9), step=st.integers(1, 4), turned=st.booleans(), column=st.integers(0, 5))
@settings(deadline=None, max_examples=25)
def test_a_view_of_a_file_is_found_again_where_it_lies(tmp_path_factory, start, step, turned, column):
    path = tmp_path_factory.mktemp("views") / "rows"
    ROWS.tofile(path)
    view = on_disk(path)[start::step, column:]
    view = np.asarray(view)[::-1].T if turned else view
    place = pickle.loads(pickle.dumps(MappedArray.of(view)))  # noqa: S301
    assert np.array_equal(place.open(), view)
    assert not place.open().flags.writeable


def test_what_lies_in_no_file_has_no_place(file):
    assert MappedArray.of(ROWS) is None
    assert mapped_file(ROWS[2:]) is None
    private = on_disk(file, "c")
    private[0] = 7
    assert MappedArray.of(private) is None
    assert Split((private, LABELS)).batch(torch.tensor([0]))[0].tolist() == [[7.0] * 6]


def test_what_was_written_to_a_private_copy_outlives_reading(file, nothing_held, monkeypatch):
    monkeypatch.setattr("lastbit.tasks.mapped._TOUCHED", 1)
    private = on_disk(file, "c")
    private[0] = 7
    split = Split((private, LABELS))
    for _ in range(3):
        assert split.batch(torch.tensor([0]))[0].tolist() == [[7.0] * 6]


def test_a_shared_file_keeps_what_is_written_to_it(file, monkeypatch):
    array = on_disk(file, "r+")
    array[0] = 7
    monkeypatch.setattr("lastbit.tasks.mapped._TOUCHED", 1)
    Pages([mapped_file(array)[1]]).read(1, 1)
    assert array[0].tolist() == [7.0] * 6


def test_an_array_in_a_dataset_is_sent_by_its_place(tmp_path):
    whole = np.memmap(tmp_path / "large", np.float32, "w+", shape=(1 << 10, 1 << 8))
    whole[3] = 7
    whole.flush()
    dataset = Kept(np.memmap(tmp_path / "large", np.float32, "r", shape=whole.shape))
    written = []

    class Counting(_Nowhere):
        def write(self, data):
            written.append(len(bytes(data)))
            return written[-1]

    _Checking(Counting()).dump(dataset)
    sent = pickle.dumps(Split(dataset))
    assert max(sum(written), len(sent)) < 4096 < whole.nbytes
    assert pickle.loads(sent).batch(torch.tensor([3]))[0, 0] == 7  # noqa: S301


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_a_pass_over_a_file_leaves_it_out_of_memory(tmp_path, monkeypatch):
    hold(monkeypatch, 1 << 20)
    size = 256 << 20
    with (tmp_path / "sparse").open("wb") as made:
        made.truncate(size)
    array = np.memmap(tmp_path / "sparse", np.uint8, "r", shape=(size >> 16, 1 << 16))
    for source in ((array, np.zeros(len(array), np.int64)), Kept(array), Subset(Kept(array), range(len(array)))):
        split = Split(source)
        before = resident()
        for part in torch.split(torch.randperm(len(array), generator=torch.Generator().manual_seed(0)), 64):
            split.batch(part)
        assert resident() - before < 100 << 20


def test_files_are_found_where_a_dataset_keeps_them(tmp_path):
    with (tmp_path / "sparse").open("wb") as made:
        made.truncate(80 << 20)
    array = np.memmap(tmp_path / "sparse", np.uint8, "r", shape=(80, 1 << 20))
    file = mapped_file(array)[1]
    for kept in (array, array[3:], [array], {"rows": (1, array)}, Kept(array)):
        assert files_kept_by(Subset(Kept(kept), [0])) == [file]
    private = np.memmap(tmp_path / "sparse", np.uint8, "c", shape=(80, 1 << 20))
    for other in (ROWS, private, [Kept(ROWS)]):
        assert files_kept_by(Kept(other)) == []
    looped = Kept(array)
    looped.rows = [looped, array]
    assert files_kept_by(looped) == [file]


def resident():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) << 10


def test_a_task_of_a_file_passes_its_check_and_has_one_fingerprint(file, nothing_held):
    tasks = [reading_task((on_disk(file), LABELS), test=(ROWS, LABELS)) for _ in range(2)]
    for task in tasks:
        task.check()
    assert fingerprint(tasks[0]) == fingerprint(tasks[1])
    changed = ROWS.copy()
    changed[0] += 1
    changed.tofile(file)
    assert fingerprint(tasks[0]) != fingerprint(reading_task((ROWS, LABELS), test=(ROWS, LABELS)))


def test_labels_that_do_not_fit_are_found_without_holding_the_data(file, nothing_held):
    labels = LABELS.copy()
    labels[39] = 7
    with pytest.raises(LastbitError, match="the model gives 2 outputs but the labels go up to 7"):
        reading_task((on_disk(file), labels)).check()
