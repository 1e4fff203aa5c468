"""CSV files of every form, and what is no table of runs."""

import pytest

from lastbit.core.errors import LastbitError
from lastbit.studies.compare.table import Table, read_table

VALUES = (97.1, 97.5, 96.9)
SEEDS = ("7", "1", "x")


@pytest.mark.parametrize(
    ("text", "seeds", "metric"),
    [
        ("97.1,97.5,96.9\n", None, ""),
        ("r1,r2,r3\n97.1,97.5,96.9\n", None, ""),
        ("97.1\n97.5\n96.9", None, ""),
        ("Accuracy\n97.1\n97.5\n\n96.9\n", None, "Accuracy"),
        ("seed,value\n7,97.1\n1,97.5\nx,96.9\n", SEEDS, ""),
        ("accuracy;seed\r\n97.1;7\r\n97.5;1\r\n96.9;x\r\n", SEEDS, "accuracy"),
        ("Seed\tValue\n7\t97.1\n1\t97.5\nx\t96.9\n", SEEDS, ""),
    ],
)
@pytest.mark.parametrize("begins", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
def test_each_form_is_read(text, seeds, metric, begins, tmp_path):
    (tmp_path / "runs.csv").write_bytes(begins + text.encode())
    assert read_table(tmp_path / "runs.csv") == Table(VALUES, seeds, metric)


def test_a_metric_picks_its_column_and_names_one_without_a_name(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("Loss,seed,acc\n0.1,7,97.1\n0.2,1,97.5\n0.3,x,96.9\n")
    assert read_table(table, "acc") == Table(VALUES, SEEDS, "acc")
    assert read_table(table, "loss") == Table((0.1, 0.2, 0.3), SEEDS, "Loss")
    with pytest.raises(LastbitError, match=r"f1.*acc"):
        read_table(table, "f1")
    table.write_text("seed,acc\n7,97.1\n")
    with pytest.raises(LastbitError, match=r"loss.*acc"):
        read_table(table, "loss")
    table.write_text("seed,value\n7,97.1\n1,97.5\nx,96.9\n")
    assert read_table(table, "loss") == Table(VALUES, SEEDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is empty"),
        (b"seed,value\n", "has no numbers"),
        (b"seed,value\n1,97\n2,nan\n", "line 3 of .* has 'nan'"),
        (b"seed,value\n1,97\n2,inf\n", "line 3 of .* has 'inf'"),
        (b"97.1,97,oops\n1,2,3", "line|clear"),
        (b"seed,value\n1,97\n2,good\n", "line 3 of .* has 'good'"),
        (b"seed,value\n1,97\n2\n", "line 3 of .* has 1 columns?, and the first has 2"),
        (b"seed,a,b\n1,2,3\n", "a, b: say which by --metric"),
        (b"seed\n1\n2\n", "none: write seed and the value"),
        (b"seed;acc\n1;97,2\n", "line 2 of .* has '97,2': write 97.2, with a point"),
        (b"1,2\n3,4\n", "which of them are runs is not clear"),
        (b"\xff\xfe\x00", "it is no text"),
    ],
)
def test_what_is_no_table_is_said_with_its_line(text, said, tmp_path):
    (tmp_path / "runs.csv").write_bytes(text)
    with pytest.raises(LastbitError, match=said):
        read_table(tmp_path / "runs.csv")
