"""The documentation site: `make docs` builds it into `site/` from the pages, the commands and the docstrings.

    python tools/docs_site.py [--without-reports] [--out FOLDER] [--work FOLDER]

The studies of the gallery are trained once and kept in the working folder, `build/docs`. What is built reads nothing
from a network.
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


def build(out: Path, work: Path, with_reports: bool) -> int:
    """Stage the pages, write the generated ones beside them, and run the generator, for which a warning is an error.

    Args:
        out: folder of the site.
        work: folder of what is kept between builds: staged pages, what the generator read of them, studies, reports.
        with_reports: whether the studies of the gallery are trained and their reports shown.

    Returns:
        The exit code of the generator.
    """
    staged, drawn = work / "pages", work / "reports"
    kept = stage(ROOT, staged)
    entries = []
    for name, text in command_pages().items():
        kept.add(write(staged / "reference" / f"{name}.md", text))
        entries.append((text.splitlines()[0].removeprefix("# "), f"reference/{name}.md"))
    for name, text in python_pages().items():
        kept.add(write(staged / "reference" / f"{name}.rst", text))
        entries.append((text.splitlines()[0], f"reference/{name}.rst"))
    for path in {path for path in staged.rglob("*") if path.is_file()} - kept:  # pages that are no more
        path.unlink()
    page = staged / "reference.md"
    write(page, page.read_text("utf-8") + generated(entries))
    drawn.mkdir(parents=True, exist_ok=True)
    if with_reports:
        add_reports(staged / "gallery.md", work / "gallery", drawn / "gallery")
    told = ["-q", "-W", "--keep-going", "-c", str(ROOT / "tools" / "sphinx"), "-d", str(work / "read")]
    return int(sphinx([*told, "-D", f"html_extra_path={drawn}", str(staged), str(out)]))


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
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "docs", help="folder of what is kept between builds"
    )
    asked = parser.parse_args()
    code = build(asked.out.resolve(), asked.work.resolve(), not asked.without_reports)
    if code == 0:
        print(asked.out / "index.html")
    sys.exit(code)
