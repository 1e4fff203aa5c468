"""What a trace says is composed once: the terminal, Markdown and HTML say the same, and no number of before is lost."""

import html
import re

import numpy as np
import pytest
from small_traces import write_trace

import lastbit as lb
from lastbit.report.markdown import render_markdown
from lastbit.store import StudyFolder
from lastbit.studies.trace.page import trace_page

BEFORE = """\
Restrained: the last-bit difference grew by 7.2 decades, e-folding in 15.7 steps, reached its level by step
239, and stayed bounded at 134% of the weights (relative L2).
head.weight                           34%                 3.21e-01                      1
head.bias                             33%                 3.39e-01                      1
conv.weight                           33%                 3.55e-01                      1
growth episodes: 1, 97% of all growth in 95% of the steps
  steps 1 – 380: × 10^7.2, 0.0438 nats per step, 97% of all growth
  largest jump of twin2: × 60 from step 199 to 200, in 3 tensors up to head.bias
half of all growth fell in 5.7% of the steps
first difference: step 1, largest in conv.weight
while it grew it lived in effectively 2.3 of 3 tensors (participation ratio, step 190)
tangent growth: 0.0505 nats per step, 0.0509 in the second half
  while twins were small (steps 46 – 150): twins 0.0583, tangent 0.0503 nats per step
control passed: largest difference of the exact repeat 0 in every measure
perturbation landed in 100% of 3 twins: it changed 50% of the weights in the first step, 100% by the last
"""
"""The numbers that lastbit 0.1 told of the trace below, line by line; its texts beside them have been put otherwise."""

ROUNDED = {"3.21e-01": "0.321", "3.39e-01": "0.339", "3.55e-01": "0.355"}
"""What has the rounding of the page now."""

NOW = """\
                           value   interval                    samples               note
Growth rate               0.0638   95% interval 0.0603 to      n = 3 twins           nats per step, an
                                   0.0673                                            e-folding in 15.7 steps
Rise                 7.2 decades                               n = 3 twins           lowest to highest
Level                       134%   from 111% to 164%           reached by step 239   of the weights (relative
Half of all growth       in 5.7%                               n = 3 twins           of the steps, the
First difference: step 1, largest in conv.weight
Spread while growing: effectively 2.3 of 3 tensors (participation ratio, step 190)
Exact repeat: passed: largest difference 0, in every measure
Perturbation: landed in 100% of 3 twins
Weights changed in the first step: 50%
Weights changed at the end: 100%
1 growth episode: 97% of all growth in 95% of the steps.
from step   to step   grew by a factor   nats per step   share of all growth
        1       380             10^7.2          0.0438                   97%
largest jump of   from step   to step   grew by a factor   tensors   the last of them
twin2                   199       200                 60         3   head.bias
tensor        share of growth   relative L2 at the end   largest ulp distance
head.weight               34%                    0.321                      1
head.bias                 33%                    0.339                      1
conv.weight               33%                    0.355                      1
bfloat16                40     34 – 48   3 of 3   few samples: 3
float32                218   180 – 263   3 of 3   few samples: 3
float64       not measured               0 of 3   the twins are of order one themselves: those in float64, or
Tangent growth: 0.0505 nats per step over 300 steps
In the second half: 0.0509 nats per step
While twins were small (steps 46 – 150): twins 0.0583, tangent 0.0503 nats per step
"""
"""Lines that the terminal shows, in this order."""


def jumping(arrays):
    """Let the second twin jump by a factor 40 and a tangent grow along."""
    for name in ("l2", "all_l2"):
        arrays[name][2, 200:] *= 40
    growth = 0.05 + 0.01 * np.random.default_rng(3).standard_normal(300)
    names = arrays["tensor"]
    split = np.stack([growth / len(names)] * len(names), 1).astype(np.float32)
    steps = np.arange(1, 301)
    tangent = {"step": steps, "log_growth": growth, "tensor": names, "split": split}
    return arrays | {f"tangent_{name}": values for name, values in tangent.items()}


def numbers(text):
    return {number.rstrip(",") for number in re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", text)}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return lb.open_study(write_trace(tmp_path_factory.mktemp("traces") / "jumping", edit=jumping))


def test_the_terminal_tells_every_number_that_it_told(study):
    told = study.summary()
    assert {ROUNDED.get(number, number) for number in numbers(BEFORE)} <= numbers(told)
    assert told.startswith(BEFORE[: BEFORE.index("head.weight")])


def test_the_terminal_says_it_in_this_order(study):
    told = iter(study.summary().splitlines())
    for line in NOW.splitlines():
        assert line in told, line


def test_page_and_markdown_say_what_the_terminal_says(study, tmp_path):
    told = numbers(study.summary())
    with StudyFolder.read(study.path) as folder:
        markdown = render_markdown(trace_page(folder, study.result))
    assert told <= numbers(markdown)
    page = html.unescape(study.report(tmp_path / "page.html").read_text("utf-8"))
    # Figures and scripts are full of numbers: what is told stands before and between them.
    assert all(number in page for number in told)
    assert study.verdict[1:] in markdown
    assert study.verdict[1:] in page


def test_of_many_episodes_the_terminal_shows_those_that_rose_most(tmp_path):
    def waves(arrays):
        steps = arrays["step"]
        logs = -12 + np.abs((steps % 40) - 20) * np.linspace(0.1, 0.5, len(steps))
        arrays["l2"][1:] = np.exp(logs)[None, :, None] * (steps > 0)[None, :, None]
        arrays["all_l2"] = np.linalg.norm(arrays["l2"], axis=-1)
        return arrays

    study = lb.open_study(write_trace(tmp_path / "waves", edit=waves))
    episodes = study.result.episodes
    assert len(episodes) > 6
    least = min(episodes, key=lambda episode: episode.rise)
    told = study.summary()
    rows = [tuple(line.split()[:2]) for line in told.splitlines()]
    assert sum((str(e.start), str(e.end)) in rows for e in episodes) == 6
    assert (str(least.start), str(least.end)) not in rows
    assert f"The 6 that rose most, of {len(episodes)}." in " ".join(told.split())
    page = html.unescape(study.report(tmp_path / "page.html").read_text("utf-8"))
    assert "All growth episodes" in page


def test_failed_controls_are_told_first_and_nothing_else(tmp_path):
    told = lb.open_study(write_trace(tmp_path / "study", repeat_matches=False)).summary()
    assert told.startswith("Not reproducible here: the exact repeat first differs at step 5 (training loss)")
    assert "Exact repeat: FAILED" in told
    assert "First differs at: step 5" in told
    for forbidden in ("decades", "Growth", "nats", "landed"):
        assert forbidden not in told
