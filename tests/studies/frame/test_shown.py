"""A study hands out its figures and its runs: by name, to files, to the frames of other libraries."""

import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.report.blocks import FigureBlock
from lastbit.report.figures.style import blank

STORED = Path(__file__).parents[2] / "data" / "studies-format-1"


@pytest.fixture
def stored(tmp_path):
    """Open a copy of a stored study."""

    def open_copy(kind):
        shutil.copytree(STORED / kind, tmp_path / kind)
        return lb.open_study(tmp_path / kind)

    return open_copy


@pytest.mark.parametrize(
    ("kind", "main", "another"),
    [("audit", "results", "churn"), ("eos", "sweep-ratio", "edge-2"), ("sharpness", "spectrum", "spectrum")],
)
def test_a_figure_is_had_by_its_name_and_the_first_is_the_main_one(stored, kind, main, another):
    study = stored(kind)
    assert study.figures[0] == main
    assert isinstance(study.figure(another), Figure)
    title, _ = study.page.figures[main]
    assert study.plot().get_suptitle() == title
    with pytest.raises(LastbitError, match=rf"unknown figure 'mpa'.*choose one of {', '.join(study.figures)}"):
        study.figure("mpa")


def test_a_report_without_figures_says_so(stored):
    study = stored("audit")
    study.page = lb.open_study(study.path).page.__class__(
        title="t", subtitle="", tone="failure", badge="b", verdict="not reproducible.", advice="", sections=[]
    )
    assert study.figures == []
    for ask in (study.plot, lambda: study.figure("map")):
        with pytest.raises(LastbitError, match=r"its report has no figure: not reproducible\."):
            ask()
    assert study.save_figures(study.path / "drawn") == []


def test_every_figure_is_written_in_both_forms(stored, tmp_path, monkeypatch):
    study, figure = stored("sharpness"), blank()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": "#000000"})
    small = {n: ("", FigureBlock(name=n, figure=figure, height=60, describe="")) for n in ("one", "two")}
    monkeypatch.setattr("lastbit.report.blocks.Page.figures", small)
    files = study.save_figures(tmp_path / "drawn")
    assert [file.name for file in files] == ["one.svg", "one.png", "two.svg", "two.png"]
    assert sorted(file.name for file in (tmp_path / "drawn").iterdir()) == sorted(file.name for file in files)
    assert ElementTree.parse(files[0]).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    with Image.open(files[1]) as image:
        assert image.size[0] == 9 * 140
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in study.save_figures(tmp_path / "drawn")] == before
    (tmp_path / "file").touch()
    with pytest.raises(LastbitError, match=r"cannot make .*file \(File exists\): name another folder"):
        study.save_figures(tmp_path / "file")


@pytest.mark.parametrize("kind", ["audit", "eos"])
def test_the_runs_go_into_the_frames_of_pandas_and_polars(stored, kind, tmp_path):
    study = stored(kind)
    frame = study.to_pandas()
    pandas = pytest.importorskip("pandas")
    back = pandas.read_csv(study.export(tmp_path / "t.csv"), keep_default_na=False, na_values=[""])
    assert list(back.columns) == list(frame.columns)
    assert len(back) == len(frame) > 0
    polars = pytest.importorskip("polars")
    other = study.to_polars()
    assert isinstance(other, polars.DataFrame)
    assert other.columns == list(frame.columns)
    for name, column in frame.items():
        if column.dtype.kind in "iuf":
            np.testing.assert_array_equal(other[name].to_numpy(), column.to_numpy())
        else:
            assert other[name].to_list() == column.tolist()


def test_what_is_missing_is_said_in_one_line(stored, monkeypatch):
    study = stored("audit")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(LastbitError, match=r"^to_polars\(\) needs polars: pip install 'lastbit\[polars\]'$"):
        study.to_polars()


def test_what_has_no_runs_has_no_frame(stored):
    study = stored("sharpness")
    for ask in (study.to_pandas, study.to_polars):
        with pytest.raises(LastbitError, match="has no runs to export"):
            ask()
