"""Metrics in JSON, JSON lines and CSV."""

import csv
import io
import json
import math
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics.documents import at_path, parsed
from lastbit.launch.metrics.files import read_file
from lastbit.launch.metrics.written import content_of

KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
TREES = st.recursive(st.floats(allow_nan=False), lambda below: st.dictionaries(KEYS, below, min_size=1, max_size=3))


def read(tmp_path, text, key, name="out.json"):
    (tmp_path / name).write_text(text, "utf-8")
    return read_file(f"{name}:{key}", tmp_path, 0.0)


@pytest.mark.parametrize(
    ("text", "key", "values", "steps"),
    [
        ('{"test": {"acc": 0.91}}', "test.acc", (0.91,), None),
        ('{"test": [{"acc": 0.1}, {"acc": 0.2}]}', "test.1.acc", (0.2,), None),
        ('{"acc": [0.1, 0.2, 0.30]}', "acc", (0.1, 0.2, 0.3), None),
        ('{"acc": [0.1, 0.2, 0.3]}', "acc.-1", (0.3,), None),
        ('{"test.acc": "91.5%"}', "test.acc", (91.5,), None),
        ('{"a": {"b": {"c": 1}}, "a.b": {"c": 2}}', "a.b.c", (2.0,), None),
        ('{"acc": NaN}', "acc", (math.nan,), None),
        ('{"acc": -Infinity}', "acc", (-math.inf,), None),
        ('\ufeff{"acc": 1}', "acc", (1.0,), None),
        (
            '{"log_history": [{"loss": 3, "step": 1}, {"eval": 1, "step": 1}, {"loss": 2, "step": 2}]}',
            "log_history.loss",
            (3.0, 2.0),
            (1, 2),
        ),
        (
            '{"epoch": 0, "acc": 1}\n\n{"epoch": 1, "acc": null}\n{"epoch": 2, "acc": 2}\n{"epo',
            "acc",
            (1.0, 2.0),
            (0, 2),
        ),
        ('[{"acc": 1}, {"acc": 2}]', "acc", (1.0, 2.0), None),
        ("epoch,train/loss,val acc\n0,1.5,\n1,,0.25\n2,1.0,0.5\n", "val acc", (0.25, 0.5), (1, 2)),
        ("step;acc\n1;0,5\n", "step", (1.0,), None),
        ("# a comment\nacc\tloss\n0.5\t1\n", "acc", (0.5,), None),
        ("acc\n0.5\n0.25\nacc\n0.75\n", "acc", (0.75,), None),
        ('"a, b",acc\n"x\ny",0.5\n', "acc", (0.5,), None),
    ],
)
def test_forms_that_are_read(tmp_path, text, key, values, steps):
    series = read(tmp_path, text, key)
    assert str(series.values) == str(values)
    assert series.steps == steps
    assert series.where == f"out.json, {key}"


def test_digits_are_those_in_the_file(tmp_path):
    assert read(tmp_path, '{"acc": [0.910, 12e1, 0.9134]}', "acc").printed == ("0.910", "12e1", "0.9134")
    assert read(tmp_path, "acc\n0.910\n", "acc", "log.csv").digits == (3,)


@given(TREES.filter(lambda tree: isinstance(tree, dict)))
def test_every_leaf_is_found_by_its_path(tree):
    document = parsed(json.dumps(tree))

    def walk(node, path):
        if isinstance(node, dict):
            for key, below in node.items():
                yield from walk(below, [*path, key])
        else:
            yield path, node

    for path, value in walk(tree, []):
        if not any("." in key for key in path):
            assert [float(found) for found in at_path(document, ".".join(path))] == [value]


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.sampled_from(",;\t|"), KEYS)
def test_a_column_that_python_wrote_comes_back(tmp_path_factory, values, mark, name):
    name = name.strip(" \t\r\n\0#") or "acc"
    text = io.StringIO()
    writer = csv.writer(text, delimiter=mark)
    writer.writerow(["no. of it", "acc"])
    writer.writerows([position, value] for position, value in enumerate(values))
    folder = tmp_path_factory.getbasetemp()
    assert read(folder, text.getvalue(), "acc", "log.csv").values == tuple(values)


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ('{"test": {"acc": 1, "loss": 2}}', "test.auc", "no number at that key: choose one of test.acc, test.loss"),
        ('{"acc": true}', "acc", "true is no number"),
        ('{"acc": "high"}', "acc", "'high' is no number"),
        ('{"test": {"acc": 1}}', "test", "an object is no number"),
        ('{"acc": [[1]]}', "acc", "a list is no number"),
        ('{"acc": [1]}', "acc.3", "no number at that key, nor anywhere else"),
        ("{'acc': 1}", "acc", "neither JSON nor JSON lines"),
        ('{"acc": 1}\n{"acc": \n{"acc": 3}\n', "acc", "line 2"),
        ("[" * 100_000, "acc", "nested too deep"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "a.a", "nested too deep"),
        ("a,b\n1,2\n", "acc", "there is no column 'acc': choose one of a, b"),
        ("a,acc\n1,x\n", "acc", "'x' is no number: name a column of numbers"),
        ("a;acc\n1;0,5\n", "acc", "'0,5' is no number"),
        ("a,acc\n1,\n", "acc", "the column is empty"),
        ("", "acc", "the file is empty"),
        ("\0\1\2", "acc", "the file is binary"),
        ("acc\n" + '"' + "x" * 200_000, "acc", "it is no CSV"),
    ],
    ids=str,
)
def test_other_forms_are_refused_in_one_line(tmp_path, text, key, message):
    with pytest.raises(LastbitError, match=message) as error:
        read(tmp_path, text, key)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_name_says_nothing_of_what_is_in_a_file(tmp_path):
    (tmp_path / "json.csv").write_text('{"acc": {"test": 0.5}}')
    assert read_file("json.csv:acc.test", tmp_path, 0).values == (0.5,)
    with pytest.raises(LastbitError, match=r"^json.csv, acc: an object is no number: write acc.test$"):
        read_file("json.csv:acc", tmp_path, 0)
    with pytest.raises(LastbitError, match=r"there is no number at that key: choose one of acc.test$"):
        read_file("json.csv:test", tmp_path, 0)
    (tmp_path / "t.csv").write_text("[a],acc\n1,0.5\n")
    assert read_file("t.csv:acc", tmp_path, 0).values == (0.5,)


def test_a_file_of_an_earlier_run_is_not_read(tmp_path):
    read(tmp_path, '{"acc": 1}', "acc")
    os.utime(tmp_path / "out.json", (0, 1_000_000))
    with pytest.raises(LastbitError, match="older than the run, which did not write it"):
        read_file("out.json:acc", tmp_path, 1_000_001.0)
    assert read_file("out.json:acc", tmp_path, 1_000_000.0).values == (1.0,)
    # The kernel's clock, which stamps files, ticks every 10 ms at most.
    assert read_file("out.json:acc", tmp_path, 1_000_000.01).values == (1.0,)


def test_a_file_that_was_just_written_is_the_run_s_own(tmp_path):
    for _ in range(20):
        since = time.time()
        (tmp_path / "out.json").write_text('{"acc": 1}')
        assert read_file("out.json:acc", tmp_path, since).values == (1.0,)


def test_a_star_takes_the_newest(tmp_path):
    for version, value in enumerate((0.1, 0.2, 0.3)):
        path = tmp_path / "logs" / f"version_{version}" / "metrics.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"acc\n{value}\n")
        os.utime(path, (0, 100 - version))
    assert read_file("logs/*/metrics.csv:acc", tmp_path, 0.0).values == (0.1,)
    assert read_file(f"{tmp_path}/logs/*/metrics.csv:acc", tmp_path, 0.0).values == (0.1,)
    with pytest.raises(LastbitError, match=r"no file fits --metric-file logs/\*/out.csv"):
        read_file("logs/*/out.csv:acc", tmp_path, 0.0)


def test_what_is_no_file_of_metrics(tmp_path):
    with pytest.raises(LastbitError, match=r"cannot be read after the run \(No such file"):
        read_file("none.json:acc", tmp_path, 0.0)
    with pytest.raises(LastbitError, match="is no regular file"):
        content_of(tmp_path, 0.0)
    with pytest.raises(LastbitError, match="is no regular file"):
        read_file("/dev/zero:acc", tmp_path, 0.0)
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(200 << 20)
    with pytest.raises(LastbitError, match="more than 100 MB"):
        read_file("huge.json:acc", tmp_path, 0.0)
