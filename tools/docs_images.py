"""Pictures of reports for the docs: `make images` trains what they show (some minutes), draws it and takes them.

Every picture is of the page as Chromium shows it in light colours, cut down to the sections that a page of the docs
speaks of.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

import lastbit as lb
from lastbit.cli import main

IMAGES = Path(__file__).parents[1] / "docs" / "images"

KEEP = """<script>
const titles = %s;
if (titles.length) {
  document.querySelectorAll("main > :not(section)").forEach((e) => e.remove());
  for (const section of document.querySelectorAll("section")) {
    const title = section.querySelector("h2");
    if (!title || !titles.includes(title.textContent)) section.remove();
  }
  document.querySelector("main").style.padding = "6px";
}
</script>"""

PICTURES = (
    ("eos-edge.png", ["eos", "--flow"], ["Sharpness against its limit"], 1044, None),
    ("trace-map.png", ["trace"], ["How the last bit grew", "Which tensors, and when"], 1044, None),
    ("report.png", ["audit"], [], 1200, 1640),
)
"""Of each picture its file, the command, the sections that it shows (none: the page from its beginning), its width and
its height (None: as far as there is something)."""


def picture(page: Path, titles: list[str], width: int, height: int | None, target: Path) -> None:
    """Take the picture of a report."""
    with tempfile.TemporaryDirectory() as name:
        cut, taken = Path(name, "page.html"), Path(name, "taken.png")
        text = page.read_text("utf-8")
        cut.write_text(text.replace("</main>", "</main>" + KEEP % json.dumps(titles), 1), "utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=9000"]
        size = f"--window-size={width},{height or 2400}"
        where = [f"--user-data-dir={name}/profile", f"--screenshot={taken}", cut.as_uri()]
        subprocess.run([browser(), *flags, size, *where], check=True, capture_output=True)
        image = Image.open(taken).convert("RGB")
    if height is None:
        background = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
        image = image.crop((0, 0, width, ImageChops.difference(image, background).getbbox()[3] + 8))
    image.save(target, optimize=True)


def browser() -> str:
    """Return the path of Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    sys.exit("there is no Chromium here to take pictures with")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as root:
        for file, command, titles, width, height in PICTURES:
            folder = Path(root, command[0])
            if main([*command, "--out", str(folder), "--quiet"]):
                sys.exit(f"lastbit {' '.join(command)} failed")
            picture(lb.open_study(folder).report(), titles, width, height, IMAGES / file)
            print(IMAGES / file)
