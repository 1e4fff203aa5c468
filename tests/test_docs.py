"""What README and docs show is what happens: their Python runs, their commands parse, their links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from lastbit.cli.app import app

ROOT = Path(__file__).parents[1]
FRONT = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "bench").glob("*.md"))]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Read from top to bottom, a page may use what it showed before.
    shown = {"__name__": "docs", "torch": torch}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), shown)
    assert page.exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_real_options(page):
    import typer.main

    root = typer.main.get_command(app)
    text = page.read_text("utf-8")
    shown = [line for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]
    lines = [line[2:] for line in shown] + re.findall(r"`(lastbit [a-z][^`\n]*)`", text)
    for line in lines:
        words = shlex.split(line, comments=True)
        if not words or not words[0].endswith("lastbit"):
            continue
        command, path = root, []
        while len(words) > 1 and words[1] in getattr(command, "commands", {}):
            command = command.commands[words.pop(1)]
            path.append(command.name)
        assert path, f"{line!r} names no command"
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in words[1:]:
            if re.match(r"--[a-z]", word):
                assert word.split("=")[0] in known | {"--help", "--debug"}, f"{line!r}: {word}"


def links(page):
    """The files that a page links to, each with the heading it names (empty for none)."""
    for target, heading in re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text("utf-8")):
        yield ((page.parent / target).resolve() if target else page), heading


def headings(page):
    """The names under which a page's headings are linked to."""
    prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.S | re.M)
    titles = re.findall(r"^#+ (.+)$", prose, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, heading in links(page):
        assert target.exists(), target
        assert not heading or heading in headings(target), f"{target.name} has no heading #{heading}"


def test_every_page_is_reached_from_the_front():
    reached, todo = set(), [FRONT]
    while todo:
        page = todo.pop()
        reached.add(page)
        todo += [target for target, _ in links(page) if target.suffix == ".md" and target not in reached]
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    """A page may name a file by its path from the root of the project, or one that make leaves behind."""
    text, made = page.read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")
    for path in re.findall(r"(?<![\w./-])((?:src|tests|bench|docs|examples)/[\w./-]*[\w/])", text):
        assert (page.parent / path).exists() or (ROOT / path).exists() or f"={path} " in made, path


def test_make_has_every_target_that_is_named():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for page in PAGES:
        assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text("utf-8"))) <= targets, page.name


def test_the_readme_shows_the_whole_example():
    code = blocks(FRONT, "python")[0]
    example = (ROOT / "examples" / "my_task.py").read_text()
    assert code.strip() in example
