"""The pages of the repository as the site has them: the same Markdown, its links followed to where a page stands there.

In the repository pages link to each other as GitHub follows links. The site has `docs/` at its root, and the few pages
beside it that readers need. What the site's navigation is, the front page says: each of its sections with a list of
links becomes one of the navigation's.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

__all__ = ["navigation", "site_path", "stage"]

BESIDE = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "bench/RESULTS.md": "costs.md",
}
"""Pages outside `docs/`, and where the site has them."""

FILES = (
    "LICENSE",
    "CITATION.cff",
    "constraints.txt",
    "constraints-minimum.txt",
    ".pre-commit-config.yaml",
    "docs/**/*.png",
    "docs/**/*.json",
    "examples/**/*.py",
    "examples/**/*.sbatch",
)
"""What pages show or link to besides pages."""

_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")
_MARKDOWN = MarkdownIt("commonmark")


def site_path(path: Path) -> Path:
    """Return where the site has a file of the repository.

    Args:
        path: relative to the root of the repository.

    Raises:
        ValueError: the site does not have it.
    """
    if str(path) in BESIDE:
        return Path(BESIDE[str(path)])
    if path.parts[0] == "docs":
        return path.relative_to("docs")
    if path.parts[0] in {pattern.partition("/")[0] for pattern in FILES}:
        return path
    raise ValueError(f"the site has no {path}: link to a page or an example, or name the file as code")


def moved(text: str, page: Path) -> str:
    """Return a page's text with its links as they lead from where the site has the page.

    Args:
        text: of the page.
        page: relative to the root of the repository.
    """
    here = site_path(page).parent

    def follow(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(page.parent / link.group(1)))
        return Path(os.path.relpath(site_path(target), here)).as_posix()

    return _LINK.sub(follow, text)


def navigation(front: str) -> dict[str, list[tuple[str, str]]]:
    """Return the links of each section of the front page that lists some: what they say, and where they lead."""
    found: dict[str, list[tuple[str, str]]] = {}
    section, listed = "", 0
    tokens = _MARKDOWN.parse(front)
    for token, before in zip(tokens, [tokens[0], *tokens], strict=False):
        listed += {"list_item_open": 1, "list_item_close": -1}.get(token.type, 0)
        if before.type == "heading_open" and before.tag == "h2":
            section = token.content
        elif token.type == "inline" and listed:
            found.setdefault(section, []).extend(_links(token.content))
    return {name: links for name, links in found.items() if links}


def _links(text: str) -> Iterator[tuple[str, str]]:
    for label, target in re.findall(r"\[([^\]]+)\]\(([^)#\s]+\.md)\)", text):
        yield label.replace("`", ""), target


def contents(links: list[tuple[str, str]], caption: str = "") -> str:
    """Return the directive by which the site's generator learns of pages that belong under this one."""
    entries = [f"{label} <{target.removesuffix('.md')}>" for label, target in links]
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *options, "", *entries, "```", ""])


def stage(root: Path, target: Path) -> set[Path]:
    """Copy every page and file that the site has, and return where they are.

    What is there already and has not changed is left as it is, so that the generator reads anew only what changed.

    Args:
        root: the repository.
        target: folder of the pages as the site has them.
    """
    staged = set()
    for path in [*(root / name for name in BESIDE), *sorted((root / "docs").rglob("*.md"))]:
        page = path.relative_to(root)
        text = moved(path.read_text("utf-8"), page)
        if page == Path("docs/index.md"):
            text += "".join(contents(links, caption) for caption, links in navigation(text).items())
        staged.add(write(target / site_path(page), text))
    for path in (path for pattern in FILES for path in sorted(root.glob(pattern))):
        staged.add(copy(path, target / site_path(path.relative_to(root))))
    return staged


def write(path: Path, text: str) -> Path:
    """Write a file where it does not say so already, and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
    return path


def copy(path: Path, target: Path) -> Path:
    """Copy a file with its time, where it is another, and return where to."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_bytes() != path.read_bytes():
        shutil.copy2(path, target)
    return target
