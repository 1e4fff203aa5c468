"""The recipes of docs/task.md, read from the page as a reader would copy them."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "task.md"


@dataclass(frozen=True)
class Recipe:
    """One of them."""

    number: int
    code: str
    perturb: str
    """What the recipe says to perturb with."""


def recipes():
    """Every recipe by its number."""
    _, *parts = re.split(r"^### (\d+)\. .*$", PAGE.read_text("utf-8"), flags=re.M)
    found = {}
    for number, text in zip(parts[::2], parts[1::2], strict=True):
        (code,) = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
        perturb = re.search(r"--perturb (\w+)$", text, re.M)
        found[int(number)] = Recipe(int(number), code, perturb[1] if perturb else "rescale")
    return found


def rows(heading):
    """The cells of the first table below a heading that contains `heading`, without its two first lines."""
    below = re.split(rf"^#+ .*{re.escape(heading)}.*$", PAGE.read_text("utf-8"), maxsplit=1, flags=re.M)[1]
    lines = below[below.index("\n|") :].strip().split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(heading):
    """The names in the first column of that table."""
    return [row[0].strip("`") for row in rows(heading)]
