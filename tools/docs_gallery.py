"""The reports of the gallery: the commands of its page, run, and what they drew put beside it.

A study is trained once and kept; each build draws its report anew. The page names every command, so that what is shown
is what was run.
"""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from zlib import crc32

from docs_stage import write

__all__ = ["add_reports", "commands_of"]

_BLOCK = re.compile(r"^```console[^\n]*\n\$ (lastbit [^\n]+)\n```\n", re.M)

SHOWN = """
<blockquote><p>{verdict}</p></blockquote>
<p><a href="gallery/{file}">Open the whole report</a></p>
<iframe class="report" src="gallery/{file}" loading="lazy" title="Report of lastbit {kind}"></iframe>
"""


def commands_of(page: str) -> list[str]:
    """Return the commands of a page's console blocks, one a block."""
    return _BLOCK.findall(page)


def add_reports(page: Path, studies: Path, target: Path) -> None:
    """Run what a page shows and put below each command its verdict and its report.

    Args:
        page: staged, from which the commands are read and to which the reports are added.
        studies: folder in which the studies are kept between builds.
        target: folder of the reports.

    Raises:
        RuntimeError: a command left no report.
    """
    target.mkdir(parents=True, exist_ok=True)

    def follow(block: re.Match[str]) -> str:
        folder = made(block.group(1), studies)
        result = json.loads((folder / "result.json").read_text("utf-8"))
        shutil.copy2(folder / "report.html", target / f"{folder.name}.html")
        verdict = html.escape(" ".join(str(result["verdict"]).split()))
        return block.group(0) + SHOWN.format(verdict=verdict, file=f"{folder.name}.html", kind=result["kind"])

    write(page, _BLOCK.sub(follow, page.read_text("utf-8")))


def made(command: str, studies: Path) -> Path:
    """Return the folder of the study that a command makes, trained where it is not there yet, its report drawn anew."""
    words = shlex.split(command)
    folder = studies / f"{words[1]}-{crc32(command.encode()):08x}"
    if (folder / "result.json").exists():
        told = ["report", str(folder)]
    else:
        told = [words[1], "--resume", str(folder)] if folder.exists() else [*words[1:], "--out", str(folder)]
    print(f"lastbit {' '.join(told)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "lastbit", *told, "--quiet"], capture_output=True, text=True)
    if not (folder / "report.html").exists() or not (folder / "result.json").exists():
        raise RuntimeError(f"{command} left no report (exit code {done.returncode}): {done.stderr.strip()}")
    return folder
