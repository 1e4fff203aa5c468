"""The documentation site: `make docs` builds it into `site/` from the pages, the commands and the docstrings.

    python tools/docs_site.py [--without-reports] [--out FOLDER]

The studies of the gallery are trained once and kept in `build/gallery`. What is built reads nothing from a network.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from docs_commands import command_pages
from docs_gallery import add_reports
from docs_python import python_pages
from docs_stage import contents, stage, write
from sphinx.cmd.build import main as sphinx

ROOT = Path(__file__).parents[1]


def build(out: Path, staged: Path, studies: Path | None) -> int:
    """Stage the pages, write the generated ones beside them, and run the generator, for which a warning is an error.

    Args:
        out: folder of the site.
        staged: folder of the pages as the site has them.
        studies: folder in which those of the gallery are kept; None leaves their reports out.

    Returns:
        The exit code of the generator.
    """
    stage(ROOT, staged)
    entries = []
    for name, text in command_pages().items():
        write(staged / "reference" / f"{name}.md", text)
        entries.append((text.splitlines()[0].removeprefix("# "), f"reference/{name}.md"))
    for name, text in python_pages().items():
        write(staged / "reference" / f"{name}.rst", text)
        entries.append((text.splitlines()[0], f"reference/{name}.rst"))
    page = staged / "reference.md"
    write(page, page.read_text("utf-8") + generated(entries))
    drawn = staged.with_name("reports")
    drawn.mkdir(parents=True, exist_ok=True)
    if studies is not None:
        add_reports(staged / "gallery.md", studies, drawn / "gallery")
    told = ["-q", "-W", "--keep-going", "-c", str(ROOT / "tools" / "sphinx"), "-D", f"html_extra_path={drawn}"]
    return sphinx([*told, str(staged), str(out)])


def generated(entries: list[tuple[str, str]]) -> str:
    """Return the lists of generated pages, as they stand at the end of the reference's page."""
    commands = [one for one in entries if "/cli" in one[1]]
    modules = [one for one in entries if "/python" in one[1]]
    lines = []
    for title, links in (("Every command", commands), ("Every module", modules)):
        lines += ["", f"## {title}", "", *(f"- [`{label}`]({target})" for label, target in links)]
    return "\n".join([*lines, contents([(label, target.rpartition(".")[0]) for label, target in entries])])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder of the site")
    parser.add_argument("--without-reports", action="store_true", help="leave the reports of the gallery out")
    asked = parser.parse_args()
    kept = None if asked.without_reports else ROOT / "build" / "gallery"
    code = build(asked.out, ROOT / "build" / "site", kept)
    if code == 0:
        print(asked.out / "index.html")
    sys.exit(code)
