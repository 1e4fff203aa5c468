"""The page on reading a trace: its pictures are light, and its flags are those of the command."""

import re
from pathlib import Path

from lastbit.studies.frame.settings import study_keywords
from lastbit.studies.trace.settings import TraceSettings

DOCS = Path(__file__).parents[3] / "docs"


def test_every_picture_is_there_and_below_200_kb():
    pictures = re.findall(r"\]\((images/[^)]+)\)", (DOCS / "trace.md").read_text("utf-8"))
    assert pictures
    assert all((DOCS / picture).stat().st_size < 200_000 for picture in pictures)


def test_every_flag_on_the_page_is_a_flag_of_the_command():
    flags = set(re.findall(r"--([a-z][a-z-]*)", (DOCS / "trace.md").read_text("utf-8")))
    known = {one.name.replace("_", "-") for one in study_keywords(TraceSettings)} | {"json", "quiet"}
    assert flags <= known
