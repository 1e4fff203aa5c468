"""CSV files of every form, and what is no table of runs."""

import pytest

from lastbit.core.errors import LastbitError
from lastbit.studies.compare.table import read_table

VALUES = (97.1, 97.5, 96.9)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("97.1,97.5,96.9\n", None),
        ("r1,r2,r3\n97.1,97.5,96.9\n", None),
        ("97.1\n97.5\n96.9", None),
        ("accuracy\n97.1\n97.5\n\n96.9\n", None),
        ("seed,value\n7,97.1\n1,97.5\nx,96.9\n", ("7", "1", "x")),
        ("accuracy;seed\r\n97.1;7\r\n97.5;1\r\n96.9;x\r\n", ("7", "1", "x")),
        ("Seed\tvalue\n7\t97.1\n1\t97.5\nx\t96.9\n", ("7", "1", "x")),
    ],
)
@pytest.mark.parametrize("begins", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
def test_each_form_is_read(text, seeds, begins, tmp_path):
    (tmp_path / "runs.csv").write_bytes(begins + text.encode())
    assert read_table(tmp_path / "runs.csv") == (VALUES, seeds)


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
        (b"seed,a,b\n1,2,3\n", "keep seed and one value"),
        (b"1,2\n3,4\n", "which of them are runs is not clear"),
        (b"\xff\xfe\x00", "it is no text"),
    ],
)
def test_what_is_no_table_is_said_with_its_line(text, said, tmp_path):
    (tmp_path / "runs.csv").write_bytes(text)
    with pytest.raises(LastbitError, match=said):
        read_table(tmp_path / "runs.csv")
