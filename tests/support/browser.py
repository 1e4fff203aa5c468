"""A page in a real browser: what stands in it after its scripts ran, and what it wrote to the console."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["browse", "needs_browser", "root"]

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the report with")

PROBE = """<script>
addEventListener("securitypolicyviolation", (event) => console.error("blocked " + event.blockedURI));
const wait = setInterval(async () => {
  const root = document.documentElement;
  if (document.querySelector("script[data-figure]") && !root.dataset.drawn) return;
  clearInterval(wait);
  const settled = async () => {
    while (document.querySelector("section:not([hidden]) script[data-figure]:not([data-done])")) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const shown = [...document.querySelectorAll("main *")].filter((e) => e.offsetParent);
  const held = (e) => e.closest(".scroll, .plot, svg");
  const wide = shown.filter((e) => !held(e) && e.getBoundingClientRect().right > innerWidth + 1);
  root.dataset.wide = wide.map((e) => e.tagName + "." + e.className).join(" ");
  root.dataset.overflow = String(root.scrollWidth - root.clientWidth);
  root.dataset.requests = String(performance.getEntriesByType("resource").length);
  %s
  root.dataset.probed = "";
  if (parent !== window) parent.postMessage({ ...root.dataset }, "*");
}, 50);
</script>"""


FRAME = """<!doctype html><html><body style="margin: 0">
<script>addEventListener("message", (event) => Object.assign(document.documentElement.dataset, event.data));</script>
<iframe src="%s" style="border: 0; width: %dpx; height: 2000px"></iframe></body></html>"""


def browse(target: Path, profile: Path, width: int = 1200, script: str | None = "") -> tuple[str, str]:
    """Open a page and return its document after its scripts ran, and what it wrote to the console.

    A probe measures the page, then runs `script`; with None the page is opened as it is.

    A window of Chromium is at least 500 pixels wide: a narrower page is opened in a frame of that width, and its root's
    attributes are all that is returned of it.
    """
    probed = target.with_name("probed.html")
    probe = "" if script is None else PROBE % script
    probed.write_text(target.read_text("utf-8").replace("</main>", f"</main>{probe}", 1), "utf-8")
    opened = probed
    if width < 500:
        opened = target.with_name("frame.html")
        opened.write_text(FRAME % (probed.name, width), "utf-8")
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--v=0",
            f"--window-size={width},2000",
            "--virtual-time-budget=8000",
            f"--user-data-dir={profile}",
            "--dump-dom",
            opened.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if ":CONSOLE" in line)


def root(document: str) -> dict[str, str]:
    """Return the data attributes of the document's element, where the page and the probe write what they saw."""
    return dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<html[^>]*>", document).group()))
