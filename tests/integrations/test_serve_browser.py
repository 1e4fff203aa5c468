"""The pages in a real browser, from a real server: followed as a study grows, by keyboard, on a phone, in the dark."""

import os
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import needs_browser
from driven import driven
from made_studies import HOSTILE, StudyMaker, taken_out
from served import TOKEN

from lastbit.integrations.serve.app import make_app
from lastbit.integrations.serve.guard import allowed_hosts
from lastbit.store import StudyFolder

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")

pytestmark = [needs_browser, pytest.mark.slow]


@contextmanager
def served(folder):
    """Serve a folder, and return the address that `lastbit serve` would print."""
    app = make_app(folder, TOKEN, allowed_hosts("127.0.0.1"), every=0.2)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


@pytest.fixture
def studies(tmp_path, monkeypatch):
    monkeypatch.setattr("lastbit.integrations.serve.kept._REST", 0)
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


@pytest.fixture
def page(tmp_path):
    with driven(tmp_path / "profile") as page:
        page.resize(1200)
        yield page
        assert page.said == [], "nothing is written to the console, and nothing refused by the policy"


def look(page, name):
    """Keep a picture where `LASTBIT_PICTURES` names a folder, for a person to look at."""
    if folder := os.environ.get("LASTBIT_PICTURES"):
        page.picture(Path(folder, f"{name}.png"))


DRAWN = "!document.querySelector('script[data-figure]:not([data-done])') && !!document.querySelector('.main-svg')"


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_study_is_followed_and_the_reader_stays_where_they_are(studies, page):
    path = StudyMaker(studies)(finished=False)
    runs = taken_out(path, "seed002")
    with StudyFolder.resume(path) as folder, served(studies) as address:
        page.open(f"{address}/study/{path.name}?token={TOKEN}")
        assert page.evaluate("location.search") == ""
        assert page.evaluate("document.cookie") == ""
        page.until(DRAWN)
        assert "8 of 12" in page.evaluate("document.querySelector('.sentence').textContent")
        look(page, "following")
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        page.evaluate(
            """{ const all = [...document.querySelectorAll("main > section")], here = all[Math.floor(all.length / 2)];
            here.scrollIntoView(); scrollBy(0, 40); window.kept = here.querySelector("h2").textContent;
            window.place = () => [...document.querySelectorAll("main > section")].find((each) =>
              each.querySelector("h2") && each.querySelector("h2").textContent === kept).getBoundingClientRect().top;
            window.before = place(); document.querySelector("#links a").focus({ preventScroll: true }); }"""
        )
        assert page.evaluate("scrollY") > 500
        assert page.evaluate("before") == pytest.approx(-40, abs=1), "it stands at the top, with enough below it"
        opened = page.evaluate("document.querySelectorAll('details[open]').length")
        for number, run in enumerate(("seed002-p000", "seed002-p001"), 9):
            folder.add(runs[run])
            page.until(f"document.querySelector('.sentence').textContent.includes('{number} of 12')")
            page.until(DRAWN)
            assert abs(page.evaluate("place() - before")) <= 1, "what was at the top still is"
            assert page.evaluate("document.querySelectorAll('details[open]').length") == opened
            assert page.evaluate("document.activeElement.textContent") == "Compare with…"
        assert "New at" in page.evaluate("document.getElementById('followed').textContent")
        assert page.evaluate("document.querySelector('.state').textContent") == "running"
        folder.close()
        page.until("document.querySelector('.state').textContent === 'stopped'")


def test_what_has_not_changed_is_left_alone_and_what_was_chosen_stays_chosen(studies, page):
    made = StudyMaker(studies)
    path = made(finished=False)
    with served(studies) as address:
        page.open(f"{address}/?token={TOKEN}")
        page.evaluate("document.getElementById('q').value = 'half a wo'; document.getElementById('q').focus()")
        page.evaluate(f"document.querySelector('input[name=b][value={path.name}]').checked = true")
        made()
        page.until("document.querySelectorAll('tbody tr').length === 2")
        assert page.evaluate("document.getElementById('q').value") == "half a wo"
        assert page.evaluate("document.activeElement.id") == "q"
        assert page.evaluate("document.querySelector('input[name=b]:checked').value") == path.name


def test_everything_is_reached_by_keyboard(studies, page):
    made = StudyMaker(studies)
    one, two = made(), made(name="zebra")
    with served(studies) as address:
        page.open(f"{address}/?token={TOKEN}")
        seen = []
        for _ in range(20):
            page.press("Tab")
            seen.append(page.evaluate("(document.activeElement.value || document.activeElement.textContent).trim()"))
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'"), seen
            if seen[-1] == one.name and page.evaluate("document.activeElement.tagName") == "A":
                break
        assert seen[0] == "To the content"
        assert {"Search", "Compare A with B"} <= set(seen)
        page.press("Enter")
        page.until(f"location.pathname === '/study/{one.name}'")
        page.open(f"{address}/")
        page.evaluate("document.getElementById('q').focus()")
        page.type("zebra")
        page.press("Enter")
        page.until("location.search === '?q=zebra'")
        assert page.evaluate("document.querySelectorAll('tbody tr').length") == 1
        page.open(f"{address}/")
        for letter, study in (("a", one), ("b", two)):
            page.evaluate(f"document.querySelector('input[name={letter}][value={study.name}]').focus()")
            page.press(" ")
        page.press("Enter")
        page.until("location.pathname === '/compare'")
        # In the order in which they stand in the list.
        assert set(page.evaluate("location.search")[1:].split("&")) == {f"a={one.name}", f"b={two.name}"}


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False), (390, True)])
def test_every_page_has_its_width_and_its_colours(studies, page, width, dark):
    made = StudyMaker(studies)
    one, two = made(seeds=4, diverged={(0, 1)}), made(name=HOSTILE, label="{}" + HOSTILE, message=HOSTILE)
    (studies / "broken").mkdir()
    (studies / "broken" / "study.json").write_text("{")
    page.resize(width)
    if dark:
        page.dark()
    with served(studies) as address:
        pages = {
            "list": f"/?token={TOKEN}",
            "study": f"/study/{one.name}",
            "hostile": f"/study/{two.name}",
            "compare": f"/compare?a={one.name}&b={two.name}",
            "damaged": "/study/broken",
        }
        for name, target in pages.items():
            page.open(address + target)
            if name not in ("list", "damaged"):
                page.until(DRAWN)
            look(page, f"{name}-{width}{'-dark' if dark else ''}")
            assert fits(page), name
            assert page.evaluate("document.documentElement.dataset.pwned") is None
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert paper == ("rgb(16, 20, 24)" if dark else "rgb(246, 247, 249)"), "the style sheet is there"


def test_a_page_says_that_its_server_is_gone(studies, page):
    path = StudyMaker(studies)()
    with served(studies) as address:
        page.open(f"{address}/study/{path.name}?token={TOKEN}")
        page.until(DRAWN)
    page.until("document.getElementById('followed').textContent.includes('does not answer')")
    time.sleep(0.1)
    page.said.clear()  # the browser itself writes that a request failed
