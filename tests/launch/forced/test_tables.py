"""Tables of forced runs: written row by row, read after a cut, kept in a file, and joined over processes."""

import numpy as np
import pytest

from lastbit.core.errors import LastbitError
from lastbit.launch.forced.rows import TableWriter, read_rows
from lastbit.launch.forced.table import COLUMNS, ForcedTable, ForcedTensor, Mismatch, Role, merged

WEIGHT = ForcedTensor("0.weight", Role.WEIGHT, 6, "float32")
GRADIENT = ForcedTensor("0.weight", Role.GRADIENT, 6, "float32")
STATE = ForcedTensor("0.weight.exp_avg", Role.STATE, 6, "float32")


def written(tmp_path):
    writer = TableWriter(tmp_path / "rows.jsonl")
    numbers = {"difference": np.array([1e-8, 2e-8]), "size": np.array([1.0, np.inf]), "unequal": np.array([1.0, 0.0])}
    writer.row(1, [GRADIENT, WEIGHT], numbers)
    writer.row(3, [STATE], {"difference": np.array([3.0]), "unequal": np.array([6.0])})
    writer.mismatch(Mismatch(3, "counter", "0.weight.step", "3", "2"))
    writer.facts(dtypes=["float32"], sparse=[])
    writer.facts(sparse=["embedding.weight"])
    writer.flush()
    return tmp_path / "rows.jsonl"


def same(a, b):
    arrays = (np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True) for name in (*COLUMNS, "unequal"))
    return (a.tensors, a.mismatches, a.facts) == (b.tensors, b.mismatches, b.facts) and all(arrays)


def test_rows_become_a_table_with_nothing_where_nothing_was_compared(tmp_path):
    table = read_rows(written(tmp_path))
    nan = np.nan
    assert table.tensors == (GRADIENT, WEIGHT, STATE)
    assert table.steps.tolist() == [1, 3]
    np.testing.assert_array_equal(table.difference, [[1e-8, 2e-8, nan], [nan, nan, 3.0]])
    np.testing.assert_array_equal(table.size, [[1.0, np.inf, nan], [nan, nan, nan]])
    np.testing.assert_array_equal(table.unequal, [[1, 0, -1], [-1, -1, 6]])
    assert table.mismatches == (Mismatch(3, "counter", "0.weight.step", "3", "2"),)
    assert table.facts == {"dtypes": ["float32"], "sparse": ["embedding.weight"]}
    assert (table.of(Role.WEIGHT), table.equal) == ((1,), False)


def test_a_table_is_kept_without_a_loss(tmp_path):
    table = read_rows(written(tmp_path))
    table.save(tmp_path / "table.npz")
    again = ForcedTable.read(tmp_path / "table.npz")
    assert same(table, again)
    assert again.steps.dtype == again.unequal.dtype == np.int64
    (tmp_path / "other.npz").write_bytes(b"no archive")
    with pytest.raises(LastbitError, match=r"other\.npz is no table"):
        ForcedTable.read(tmp_path / "other.npz")


def test_a_run_that_was_cut_off_leaves_what_it_had(tmp_path):
    path = written(tmp_path)
    text = path.read_bytes()
    path.write_bytes(text[: text.index(b'"mismatch"') + 20])
    table = read_rows(path)
    assert (table.steps.tolist(), table.mismatches, table.facts) == ([1, 3], (), {})


def test_of_two_comparisons_in_a_step_the_larger_difference_counts(tmp_path):
    writer = TableWriter(tmp_path / "rows.jsonl")
    for difference in (1.0, 3.0, 2.0):
        writer.row(1, [GRADIENT], {"difference": np.array([difference])})
    writer.flush()
    assert read_rows(tmp_path / "rows.jsonl").difference.tolist() == [[3.0]]


def test_processes_are_joined_step_by_step(tmp_path):
    table = read_rows(written(tmp_path))
    writer = TableWriter(tmp_path / "other.jsonl")
    writer.row(2, [GRADIENT], {"difference": np.array([5.0]), "unequal": np.array([2.0])})
    writer.mismatch(Mismatch(1, "batch", "DataLoader", "a", "b"))
    writer.flush()
    both = merged([("rank 0", table), ("rank 1", read_rows(tmp_path / "other.jsonl"))])
    assert both.steps.tolist() == [1, 2, 3]
    assert [one.name for one in both.tensors] == ["0.weight", "0.weight", "0.weight.exp_avg", "rank 1: 0.weight"]
    assert both.unequal.tolist() == [[1, 0, -1, -1], [-1, -1, -1, 2], [-1, -1, 6, -1]]
    assert [(one.step, one.name) for one in both.mismatches] == [(1, "rank 1: DataLoader"), (3, "0.weight.step")]
    assert same(merged([("alone", table)]), table)
    assert merged([]).equal is False
