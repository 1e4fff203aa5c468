"""The page of a comparison: the decision first, a mark for every run, and no width that needs scrolling."""

import pytest
from browser import browse, needs_browser, root

import lastbit as lb

ARMS = [97.1, 97.4, 96.9], [98.0, 98.4, 98.3], [97.2, 97.3, 97.0], [90.0, 96.0, 93.0], [97.9, 98.0, 98.1]


def test_every_run_and_every_difference_has_its_mark(tmp_path):
    study = lb.compare(*ARMS[:3], better="higher", pairs="all", worth=3, out=tmp_path / "study", quiet=True)
    figures = {
        block.name: block.figure for one in study.page.sections for block in one.blocks if hasattr(block, "figure")
    }
    runs = [trace for trace in figures["arms"].data if trace.legendgroup == "runs"]
    assert [sorted(trace.x) for trace in runs] == [sorted(arm) for arm in ARMS[:3]]
    bars = figures["differences"].data
    assert [bar.x[0] for bar in bars] == [pair.difference.estimate for pair in study.result.pairs]
    reach = [bar.x[0] + bar.error_x.array[0] for bar in bars]
    assert reach == pytest.approx([pair.difference.high for pair in study.result.pairs])
    assert study.page.badge == "A real difference"
    assert study.page.verdict.startswith("B is better than A and C")


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("arms", [2, 5])
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_draws_it_at_every_width(arms, width, tmp_path):
    named = {str(place): arm for place, arm in enumerate(ARMS[:arms])}
    for name, values in named.items():
        (tmp_path / f"a-rather-long-name-of-an-arm-{name}.csv").write_text(",".join(map(str, values)))
    files = sorted(map(str, tmp_path.glob("*.csv")))
    study = lb.compare(*files, better="higher", pairs="all", worth=1, out=tmp_path / "study", quiet=True)
    document, console = browse(study.report(tmp_path / "page.html"), tmp_path / "profile", width)
    assert console == ""
    assert root(document)["drawn"] == "2"
    assert int(root(document)["overflow"]) <= 0
    assert root(document)["wide"] == ""
