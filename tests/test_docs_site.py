"""The site: pages are staged with their links, the navigation has every page, and what is built needs no network."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer.main
from browser import BROWSER
from docs_commands import command_pages
from docs_gallery import commands_of
from docs_stage import BESIDE, moved, navigation, stage
from markdown_it import MarkdownIt

from lastbit.cli.app import app

ROOT = Path(__file__).parents[1]
FRONT = (ROOT / "docs" / "index.md").read_text("utf-8")

needs_sphinx = pytest.mark.skipif(
    importlib.util.find_spec("sphinx") is None, reason="no Sphinx here to build the site with: make docs-tools"
)


def test_the_front_leads_to_every_page():
    listed = [target for links in navigation(FRONT).values() for _, target in links]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - {"index.md"}
    assert len(listed) == len(set(listed))
    assert set(listed) == pages | {f"../{path}" for path in BESIDE}


def test_links_are_followed_to_where_the_site_has_a_page():
    text = "[a](../README.md#x), ![b](images/b.png), [c](https://c.org/docs/x.md), [d](#d), [e](../examples/my_task.py)"
    wanted = "[a](readme.md#x), ![b](images/b.png), [c](https://c.org/docs/x.md), [d](#d), [e](examples/my_task.py)"
    assert moved(text, Path("docs/page.md")) == wanted
    assert moved("[a](docs/audit.md)", Path("README.md")) == "[a](audit.md)"
    assert moved("[a](../audit.md) [b](../../CHANGELOG.md#b)", Path("docs/tutorials/t.md")) == (
        "[a](../audit.md) [b](../changelog.md#b)"
    )
    with pytest.raises(ValueError, match="the site has no src/lastbit"):
        moved("[a](../src/lastbit/cli/app.py)", Path("docs/page.md"))


def test_staging_again_leaves_what_has_not_changed(tmp_path):
    stage(ROOT, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    stage(ROOT, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before
    for path in tmp_path.rglob("*.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name} leads to {target}"


def all_commands(words, command):
    yield words, command
    for name, one in getattr(command, "commands", {}).items():
        yield from all_commands((*words, name), one)


def test_the_reference_has_every_command_and_option():
    pages = command_pages()
    commands = dict(all_commands((), typer.main.get_command(app)))
    assert list(pages) == ["-".join(["cli", *words]) for words in commands]
    for words, command in commands.items():
        page = pages["-".join(["cli", *words])]
        tokens = MarkdownIt("commonmark").enable("table").parse(page)
        rows = sum(token.type == "tr_open" for token in tokens) - sum(token.type == "thead_open" for token in tokens)
        assert rows == len(command.params) + len(getattr(command, "commands", {})), page
        for one in command.params:
            flags = [flag for flag in (*one.opts, *one.secondary_opts) if flag.startswith("-")]
            assert all(f"`{flag}`" in page for flag in flags), one.name
            assert " ".join((one.help or "").split()).replace("|", "\\|") in page


def test_each_command_of_the_gallery_is_run():
    page = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    found = commands_of(page)
    assert len(found) == page.count("\n```console") == page.count("\n$ ") > 4
    assert all(command.startswith("lastbit ") for command in found)


def references(page):
    """What a built page loads, and what it links to."""
    text = page.read_text("utf-8")
    loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*?\ssrc=\"([^\"]+)\"", text)
    loaded += re.findall(r"<link\b[^>]*?\shref=\"([^\"]+)\"", text)
    return loaded, re.findall(r"<a\b[^>]*?\shref=\"([^\"]+)\"", text)


def assert_reads_nothing_from_a_network_and_leads_somewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "audit.html", "search.html"} <= {page.name for page in pages}
    named = {page: set(re.findall(r"\sid=\"([^\"]+)\"", page.read_text("utf-8"))) for page in pages}
    for page in pages:
        loaded, linked = references(page)
        assert not [one for one in loaded if re.match(r"(https?:)?//", one)], page
        for one in (*loaded, *linked):
            parts = urlsplit(one)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.exists(), f"{page.name} leads to {one}"
            if parts.fragment and target in named:
                assert unquote(parts.fragment) in named[target], f"{page.name} leads to {one}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text("utf-8")), style
    assert "<math" in (site / "theory-cnn.html").read_text("utf-8")


def found_by_the_search(site, word, profile):
    """The files that the site's search names, opened from disk in a browser."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom"]
    where = [f"--user-data-dir={profile}", f"{(site / 'search.html').as_uri()}?q={word}"]
    done = subprocess.run([str(BROWSER), *flags, *where], capture_output=True, text=True, timeout=120, check=True)
    return set(re.findall(r'<li[^>]*><a href="([^"#?]+)', done.stdout.partition('id="search-results"')[2]))


@pytest.mark.slow
@needs_sphinx
def test_the_site_is_built_without_a_warning_and_works_from_disk(tmp_path):
    site, work = tmp_path / "site", tmp_path / "work"
    command = [sys.executable, "tools/docs_site.py", "--without-reports", "--out", str(site), "--work", str(work)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert_reads_nothing_from_a_network_and_leads_somewhere(site)
    if BROWSER is not None:
        assert "edge-of-stability.html" in found_by_the_search(site, "sharpness", tmp_path / "profile")
        assert not found_by_the_search(site, "zzyzx", tmp_path / "profile")
