"""The page in a real browser: every figure is drawn, nothing is written to the console, nothing hostile runs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from drawn import render_report

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the report with")

PROBE = """<script>
addEventListener("securitypolicyviolation", (event) => console.error("blocked " + event.blockedURI));
const wait = setInterval(() => {
  const root = document.documentElement;
  if (document.querySelector("script[data-figure]") && !root.dataset.drawn) return;
  clearInterval(wait);
  root.dataset.overflow = String(root.scrollWidth - root.clientWidth);
  root.dataset.requests = String(performance.getEntriesByType("resource").length);
}, 50);
</script>"""


def browse(target: Path, profile: Path, width: int = 1200) -> tuple[str, str]:
    """Open a page and return its document after the scripts ran, and what it wrote to the console."""
    text = target.read_text("utf-8")
    probed = target.with_name("probed.html")
    probed.write_text(text.replace("</main>", f"</main>{PROBE}", 1), "utf-8")
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
            probed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return done.stdout, "\n".join(console)


def drawn(document: str) -> int:
    return len(re.findall(r'<svg class="main-svg"[^>]*>\s*<defs[^>]*id="defs-', document))


def root(document: str) -> dict[str, str]:
    return dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<html[^>]*>", document).group()))


def test_a_browser_draws_every_figure_of_a_hostile_study_and_runs_none_of_its_text(make_study, hostile, tmp_path):
    study = make_study(name=hostile, label="{}" + hostile, message=hostile, diverged={(0, 1)}, event=hostile)
    document, console = browse(render_report(study), tmp_path / "profile")
    assert console == ""
    facts = root(document)
    assert facts["drawn"] == "6"
    assert drawn(document) == 6
    assert "pwned" not in facts
    assert facts["requests"] == "0"
    assert int(facts["overflow"]) <= 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [600, 700, 1400])
def test_no_width_needs_horizontal_scrolling(make_study, tmp_path, width):
    study = make_study(seeds=6, perturbations=5, crashed={(1, 1)}, message="x" * 200, command="lastbit " + "y" * 300)
    document, console = browse(render_report(study), tmp_path / "profile", width)
    assert console == ""
    assert int(root(document)["overflow"]) <= 0


@pytest.mark.slow
def test_a_page_without_figures_works_too(make_study, tmp_path):
    document, console = browse(render_report(make_study(repeats_match=False)), tmp_path / "profile")
    assert console == ""
    assert drawn(document) == 0
    assert int(root(document)["overflow"]) <= 0
