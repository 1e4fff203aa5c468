"""What the flags say, and what they may not say; which value of a series counts."""

import math
import shlex
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.launch.metrics import MetricSeries, MetricSpec, chosen, metric_specs

FINITE = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=20)


def test_flags_of_every_reader():
    specs = metric_specs(
        metric=["val_acc", r"/acc=(\S+)/", r"/loss (?P<loss>\S+)/"],
        metric_file=[r"C:\runs\out.json:test.acc"],
        metric_tag=["loss/val"],
        metric_mlflow=["auc"],
        metric_of=["best"],
        better=["higher", "higher", "lower", "higher", "lower", "higher"],
    )
    assert [(spec.name, spec.reader) for spec in specs] == [
        ("val_acc", "name"),
        (r"/acc=(\S+)/", "pattern"),
        ("loss", "pattern"),
        ("test.acc", "file"),
        ("loss/val", "tag"),
        ("auc", "mlflow"),
    ]
    assert specs[3].argument == r"C:\runs\out.json:test.acc"
    assert {spec.of for spec in specs} == {"best"}
    assert [spec.higher_is_better for spec in specs] == [True, True, False, True, False, True]
    assert metric_specs() == ()
    assert metric_specs(metric=["acc"])[0] == MetricSpec(name="acc", reader="name", argument="acc")
    assert MetricSpec(**plain(specs[1])) == specs[1]


def test_names_in_a_table_differ():
    assert [spec.name for spec in metric_specs(metric=["acc"], metric_file=["a.json:acc"])] == [
        "--metric acc",
        "--metric-file a.json:acc",
    ]


@given(st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and not set(text) & set("\n\r\0")))
def test_a_flag_is_read_back_by_a_shell(tag):
    (spec,) = metric_specs(metric_tag=[tag])
    assert shlex.split(spec.flag) == ["--metric-tag", tag]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metric": [""]}, r"--metric '': write the name that the lines carry"),
        ({"metric": ["/acc=(/"]}, r"--metric '/acc=\(/' is no regular expression \(missing \)"),
        ({"metric": ["/acc=.*/"]}, r"has 0 groups and needs one: put the number in \(\.\.\.\)"),
        ({"metric": ["/(a)(b)/"]}, r"has 2 groups and needs one: keep one \(\.\.\.\), and write the others as \(\?:"),
        ({"metric": ["/acc=(x)"]}, r"is a pattern without its end: write '/acc=\(x\)/'"),
        ({"metric": ["//"]}, r"--metric '': write a pattern with one group between slashes"),
        ({"metric": ["/(a\n/"]}, r"write a pattern with one group between slashes"),
        ({"metric_file": ["out.json"]}, r"--metric-file 'out.json' names no key: write PATH:key.path"),
        ({"metric_file": ["out.json:"]}, r"names no key"),
        ({"metric_file": [":acc"]}, r"names no key"),
        ({"metric_file": [r"C:\out.json"]}, r"names no key"),
        ({"metric_tag": [" "]}, r"--metric-tag ' ': write a scalar's tag"),
        ({"metric_mlflow": ["a\nb"]}, r"write a metric's key"),
        (
            {"metric": ["acc"], "metric_of": ["mean:0"]},
            r"write last, best, or mean:N with N from 1, as in mean:5",
        ),
        ({"metric": ["acc"], "metric_of": ["mean:x"]}, r"--metric-of 'mean:x': write last"),
        ({"metric": ["acc"], "metric_of": ["mean"]}, r"--metric-of 'mean': write last"),
        ({"metric": ["acc"], "metric_of": ["mean:" + "9" * 5000]}, r"write last, best"),
        ({"metric": ["acc"], "metric_of": ["first"]}, r"--metric-of 'first': write last"),
        ({"metric": ["acc"], "metric_of": ["best"]}, r"--metric-of best needs --better higher or --better lower"),
        ({"metric": ["acc"], "better": ["hihger"]}, r"did you mean 'higher'"),
        ({"metric": ["acc", "acc"]}, r"--metric acc is given 2 times: give each metric once"),
        ({"metric": ["a", "b", "c"], "better": ["lower", "lower"]}, r"--better is given 2 times for 3 metrics"),
    ],
)
def test_bad_flags_say_what_to_write(given, message):
    with pytest.raises(LastbitError, match=message) as error:
        metric_specs(**given)
    assert "\n" not in str(error.value)


@given(FINITE, st.data())
def test_what_counts_of_a_series(values, data):
    series = MetricSeries(values=tuple(values), where="")
    count = data.draw(st.integers(1, len(values)))
    assert chosen(series) == values[-1]
    assert chosen(series, "best", True) == max(values)
    assert chosen(series, "best", False) == min(values)
    assert chosen(series, f"mean:{count}") == pytest.approx(statistics.fmean(values[-count:]))


def test_what_is_no_number_counts_last():
    series = MetricSeries(values=(math.nan, 0.5, math.inf), where="")
    assert chosen(series, "best", False) == 0.5
    assert chosen(series, "best", True) == math.inf
    assert math.isnan(chosen(series, "mean:3"))
    assert chosen(series, "mean:2") == math.inf
    assert math.isnan(chosen(MetricSeries(values=(math.nan,), where=""), "best", True))
    assert chosen(MetricSeries(values=(1.5e308,) * 4, where=""), "mean:4") == 1.5e308


def test_fewer_values_than_the_mean_takes():
    with pytest.raises(LastbitError, match=r"there are only 2 values \(a list\): write mean:2, or last"):
        chosen(MetricSeries(values=(1.0, 2.0), where="a list"), "mean:5")
    with pytest.raises(LastbitError, match="best needs --better"):
        chosen(MetricSeries(values=(1.0,), where=""), "best")
