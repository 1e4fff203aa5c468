"""A task's name, its metric's and what its failure says are shown as they are: on a terminal, in lines, in pages."""

import io
import re
from html import escape

import pytest

from lastbit.cli import main

HOSTILE = "[red]x[/] [link=http://a]<b>y</b>\x1b[31m\x07\u202ez"
SHOWN = "[red]x[/] [link=http://a]<b>y</b>\\x1b[31m\\x07\\u202ez"
TASK = f"""
import torch
from lastbit import Metric
from toy import make

NAME = {HOSTILE!r}


class Fails(torch.nn.Linear):
    steps = 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == 5 and self.weight.sum().item() > 0:
            raise RuntimeError("why " + NAME)
        return super().forward(x)


def mine():
    right = Metric(name="metric " + NAME, over_all=lambda outputs, targets: (outputs[:, 0] - targets).square().mean())
    return make(name="name " + NAME, model=lambda: Fails(4, 2), metric=right, epochs=2)
"""


class Screen(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_an_audit_shows_every_name_and_obeys_none(here, monkeypatch, terminal):
    (here / "hostile.py").write_text(TASK)
    out, told = Screen(terminal), Screen(terminal)
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", told)
    monkeypatch.setenv("COLUMNS", "400")
    words = ["--seeds", "3", "--perturbations", "2", "--workers", "1", "--out", "S"]
    code = main(["audit", "--task", "hostile.py:mine", *words])
    monkeypatch.undo()
    assert code == 0, told.getvalue()
    text, page = out.getvalue(), (here / "S" / "report.html").read_text("utf-8")
    shown = re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", text))
    assert f"metric {SHOWN}" in shown
    if not terminal:
        assert f"why {SHOWN}" in told.getvalue()
    for written in (text, told.getvalue()):
        assert "\x1b[31m\x07" not in written
        assert "\x1b]8" not in written  # the link of a terminal
        assert "\u202e" not in written
    for name in ("name", "metric", "why"):
        assert f"{name} {escape(SHOWN)}" in page
    assert "<b>y</b>" not in page
    assert not {"\x1b", "\x07", "\u202e"} & set(page)
