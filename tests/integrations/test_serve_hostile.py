"""Whatever lies in the folder: one line says what is wrong with it, the others are shown, nothing outside is read."""

import os
import re
import shutil
import sqlite3
import threading

import numpy as np
import pytest
from made_studies import StudyMaker

from lastbit.core.errors import LastbitError
from lastbit.integrations.serve.shelf import Shelf
from lastbit.store import StudyFolder
from lastbit.store.database import in_memory

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from served import Client, contents

SECRET = "the-secret-of-another-folder"


@pytest.fixture
def studies(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    (tmp_path / "secret.json").write_text(f'{{"kind": "{SECRET}", "verdict": "{SECRET}", "schema": 2}}')
    return folder


@pytest.fixture
def study(studies):
    StudyMaker(studies)(seeds=2, perturbations=2)
    return studies / "study-1"


def deep(path):
    path.write_text("[" * 100_000)


def huge(path):
    with path.open("wb") as file:
        file.truncate(3 << 30)


def linked(path):
    path.symlink_to(path.parents[2] / "secret.json")


REPLACED = {
    "fifo": os.mkfifo,
    "folder": os.mkdir,
    "deep": deep,
    "huge": huge,
    "link": linked,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"\xff\x00garbage" * 1000),
    "number": lambda path: path.write_text("1" * 5000),
    "list": lambda path: path.write_text("[1]"),
    "other": lambda path: path.write_text('{"schema": 2, "kind": {"a": ["<b>"]}, "task": 3, "verdict": ["x"]}'),
    "nan": lambda path: path.write_text('{"schema": 2, "kind": "audit", "finished": NaN, "verdict": Infinity}'),
}


def by_name(text):
    return dict(re.findall(r'<a href="/study/[^"]*">(.*?)</a>.*?class="state (\w+)"', text, re.S))


@pytest.mark.parametrize("name", ["study.json", "result.json", "runs.sqlite", "runs.sqlite-wal", "lock"])
@pytest.mark.parametrize("what", REPLACED)
def test_a_file_that_is_something_else_costs_its_study_one_line(studies, study, name, what):
    shutil.copytree(study, studies / "good")
    (study / name).unlink(missing_ok=True)
    REPLACED[what](study / name)
    client = Client(studies)
    with_a_watchdog(lambda: check(client, studies, name, what))


def check(client, studies, name, what):
    listed = client.get("/")
    assert listed.status_code == 200
    states = by_name(listed.text)
    assert states["good"] == "finished"
    if name in ("study.json", "runs.sqlite") and what not in ("nan",):
        assert states["study-1"] == "damaged" or (name, what) in {("study.json", "other")}, states
    for address in ("/study/study-1", "/compare?a=study-1&b=good", "/study/study-1/result.json"):
        answer = client.get(address)
        assert answer.status_code in (200, 409)
        assert SECRET not in answer.text
    shown = client.get("/study/study-1").text
    if "cannot be shown" in shown:
        [line] = re.findall(r'<p class="advice">(.*?)</p>', shown, re.S)
        assert len(line) < 1000
        assert "\n" not in line
    assert SECRET not in listed.text


def with_a_watchdog(action):
    """Run it in a thread, so that what waits for a pipe is seen, and does not end."""
    failed = []

    def run():
        try:
            action()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "it waits"
    if failed:
        raise failed[0]


@pytest.mark.parametrize(
    "name", ['"><img src=x onerror=alert(1)>', "a b&c?d#e%2F..", "é漢🙂", "..a", "-x", "{{ 7*7 }}", "\x1b[31m"]
)
def test_a_name_is_text_and_leads_to_its_study(studies, name):
    StudyMaker(studies)(seeds=2, perturbations=2).rename(studies / name)
    client = Client(studies)
    text = client.get("/").text
    assert "<img src=x" not in text
    assert "\x1b" not in text
    [address] = re.findall(r'href="(/study/[^"]*)"', text)
    answer = client.get(address)
    assert answer.status_code == 200
    assert "cannot be shown" not in answer.text
    assert client.get(f"{address}/result.json").status_code == 200


def test_a_name_without_characters_is_left_out(studies):
    os.mkdir(os.fsencode(studies) + b"/\xff")
    (studies / os.fsdecode(b"\xff") / "study.json").write_text("{}")
    assert by_name(Client(studies).get("/").text) == {}


def test_links_out_of_the_folder_are_no_studies(studies, study, tmp_path):
    elsewhere = study.rename(tmp_path / "elsewhere")
    (studies / "link").symlink_to(elsewhere)
    client = Client(studies)
    assert by_name(client.get("/").text) == {}
    assert client.get("/study/link").status_code == 404


@pytest.mark.parametrize("name", ["arrays", "arrays/seed000-p000.npz"])
def test_arrays_that_are_links_are_not_followed(studies, study, tmp_path, name):
    (study / name).rename(tmp_path / "moved")
    (study / name).symlink_to(tmp_path / "moved")
    assert "is a link to another place" in Client(studies).get("/study/study-1").text


def test_an_unfinished_study_is_not_concluded_from_links(studies, study, tmp_path):
    (study / "result.json").unlink()
    array = next((study / "arrays").iterdir())
    array.replace(tmp_path / "moved")
    array.symlink_to(tmp_path / "moved")
    client = Client(studies)
    for address in ("/", "/study/study-1"):
        assert f"arrays/{array.name} is a link to another place" in client.get(address).text


def test_a_run_whose_name_leads_elsewhere_is_not_read(studies, study, tmp_path):
    np.savez(tmp_path / "outside.npz", x=np.ones(1))
    with sqlite3.connect(study / "runs.sqlite") as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("UPDATE runs SET run = '../../../outside' WHERE run = 'seed000-p000'")
    database.close()
    (study / "result.json").unlink()
    with StudyFolder.read(study) as folder, pytest.raises(LastbitError, match="no name of a run"):
        folder.files("../../../outside")
    answer = Client(studies).get("/study/study-1")
    assert answer.status_code == 200
    assert "no name of a run" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/study/../secret.json",
        "/study/%2e%2e",
        "/study/%2e%2e%2fsecret.json",
        "/study/..%2f..%2fetc%2fpasswd",
        "/study/study-1%00",
        "/study/study-1/output/%2e%2e/stdout.txt",
        "/study/study-1/output/run/..%2f..%2f..%2f..%2fsecret.json",
        "/study/study-1/output/run/study.json",
        "/study/study-1/runs.sqlite",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/base.html.j2",
        "//etc/passwd",
    ],
)
def test_no_address_leads_out_of_the_folder(studies, study, path):
    answer = Client(studies).get(path)
    assert answer.status_code == 404
    assert SECRET not in answer.text


def test_what_a_run_printed_is_shown_as_text(studies, study, tmp_path):
    (study / "output" / "run").mkdir(parents=True)
    (study / "output" / "run" / "stdout.txt").write_text("<script>alert(1)</script>")
    (study / "output" / "run" / "stderr.txt").symlink_to(tmp_path / "secret.json")
    client = Client(studies)
    answer = client.get("/study/study-1/output/run/stdout.txt")
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert client.get("/study/study-1/output/run/stderr.txt").status_code == 403


def test_what_is_damaged_is_not_read_again_until_it_changes(studies, study, monkeypatch):
    (study / "study.json").write_text("{")
    shelf, read = Shelf(studies), []
    monkeypatch.setattr("lastbit.integrations.serve.shelf._FRESH", 0)
    monkeypatch.setattr("lastbit.integrations.serve.shelf.read_json", lambda path: read.append(path) or {}["x"])
    for _ in range(3):
        [entry] = shelf.entries()
        assert entry.state == "damaged"
    assert len(read) == 1
    (study / "study.json").write_text("{{")
    shelf.entries()
    assert len(read) == 2


def test_a_copy_of_a_database_is_whole_while_its_log_is_moved_into_it(tmp_path):
    """Rows come in pairs, each pair in one transaction; the log begins anew every few of them."""
    path, done = tmp_path / "runs.sqlite", threading.Event()

    def write():
        writer = sqlite3.connect(path)
        writer.execute("PRAGMA wal_autocheckpoint = 3")
        for number in range(400):
            with writer:
                writer.executemany("INSERT INTO runs VALUES (?, ?)", [(number, "x" * 900)] * 2)
        writer.close()
        done.set()

    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE runs (number, text)")
    database.close()
    writing = threading.Thread(target=write)
    writing.start()
    counts = []
    while not done.is_set() or not counts:
        copy = in_memory(path)
        counts.append(copy.execute("SELECT count(*) FROM runs").fetchone()[0])
        assert copy.execute("PRAGMA quick_check").fetchone() == ("ok",)
        copy.close()
    writing.join()
    assert all(count % 2 == 0 for count in counts)
    assert counts == sorted(counts)
    copy = in_memory(path)
    assert copy.execute("SELECT count(*) FROM runs").fetchone() == (800,)
    copy.close()
    assert {file.name for file in tmp_path.iterdir()} == {"runs.sqlite"}


@pytest.mark.slow
def test_two_hundred_readers_at_once_hinder_no_writer_and_leave_no_trace(studies):
    made = StudyMaker(studies)
    path, other = made(finished=False), made()
    client = Client(studies)
    before = set(contents(path))
    stop, added = threading.Event(), []

    def write():
        while not stop.is_set():
            with StudyFolder.resume(path) as folder:
                folder.add(folder.runs()[len(added) % 12])
            added.append(1)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        address = f"/study/{path.name}"
        wanted = [f"/compare?a={path.name}&b={other.name}", *[address, "/", f"{address}/result.json"] * 16]
        answers = client.at_once([*wanted * 4, *wanted[1:5]])
    finally:
        stop.set()
        writing.join()
    assert {answer.status_code for answer in answers} == {200}
    assert not [answer for answer in answers if "cannot be shown" in answer.text]
    assert len(added) > 3
    assert set(contents(path)) == before
